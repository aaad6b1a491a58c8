"""The tables as horizontal bars, in an SVG that is the same for the same times."""

import textwrap
from math import isnan

import matplotlib
from matplotlib import pyplot

HIGHLIGHT, F32, BF16, INK, MUTED = "#0b6e4f", "#9aa5b1", "#d3d9df", "#1f2933", "#616e7c"
WIDTH_INCHES, BAR_INCHES, TITLE_INCHES, CAPTION_INCHES = 800 / 96, 0.28, 0.45, 0.5  # 800 pixels
LEFT_SHARE, LABEL_SHARE, RIGHT_SHARE = 0.015, 0.385, 0.985
ROOM_FOR_FIGURES = 1.37

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spinect",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
    "font.size": 10,
    "text.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def draw(results, conditions, path):
    matplotlib.use("svg")
    bars = [len(result.rows) for result in results]
    heights = [TITLE_INCHES + BAR_INCHES * count for count in bars]
    total = sum(heights) + CAPTION_INCHES
    longest = max(row.median for result in results for row in result.rows.values())
    with matplotlib.rc_context(STYLE):
        figure = pyplot.figure(figsize=(WIDTH_INCHES, total))
        top = total
        for result, count, height in zip(results, bars, heights):
            bottom = (top - height) / total
            axes = figure.add_axes((LABEL_SHARE, bottom, RIGHT_SHARE - LABEL_SHARE, BAR_INCHES * count / total))
            draw_setting(axes, result, longest)
            middle = (top - TITLE_INCHES * 0.62) / total
            figure.text(LEFT_SHARE, middle, title(result), fontsize=11, weight="bold", va="center")
            top -= height
        caption = "\n".join(textwrap.wrap(conditions, 120, break_on_hyphens=False))
        figure.text(LEFT_SHARE, CAPTION_INCHES / 2 / total, caption, fontsize=8, color=MUTED, va="center", linespacing=1.5)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def draw_setting(axes, result, longest):
    rows = list(result.rows.values())
    axes.barh(range(len(rows)), [row.median for row in rows], height=0.68, color=[color(row.peer) for row in rows])
    axes.set_xlim(0, longest * ROOM_FOR_FIGURES)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.peer.name for row in rows])
    axes.tick_params(length=0, pad=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    for place, (label, row) in enumerate(zip(axes.get_yticklabels(), rows)):
        weight, ink = ("bold", HIGHLIGHT) if row.peer.is_spinect else ("normal", INK)
        label.set(weight=weight, color=ink)
        axes.text(row.median + longest * 0.015, place, figures(row, result), va="center", weight=weight, color=ink)


def title(result):
    return f"{result.title}: seconds per window, and as a multiple of OpenVINO's"


def figures(row, result):
    ratio = row.median / result.openvino
    return f"{row.median:.3f} s" + ("" if isnan(ratio) else f" · {ratio:.2f} ×")


def color(peer):
    if peer.is_spinect:
        return HIGHLIGHT
    return F32 if peer.precision == "f32" else BF16
