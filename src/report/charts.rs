//! The paper's Figures 3 and 4 as SVG: how Dice converges, and the loss.

use std::ops::Range;

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::{DrawingArea, IntoDrawingArea, LineSeries, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, IntoTextStyle, RGBColor, ShapeStyle, WHITE};

use super::history::{History, LossPoint, Validation};
use super::palette::shades;
use super::text::line;
use crate::error::{Error, ErrorKind, Result};

/// Width and height without the legend in SVG's units: fine enough for plotters, which draws at whole ones.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 640;
/// The height of a line of the legend.
const LINE: u32 = 44;
/// Any font without serifs: text stays text, and nothing is measured when the chart is made.
const FONT: (&str, u32) = ("sans-serif", 28);
const GRAY: RGBColor = RGBColor(0x66, 0x66, 0x66);
const FAINT: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
/// Points of a curve beyond which nothing can be seen, only stored.
const MOST_POINTS: usize = 1000;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Curves are drawn in pieces, because a value that is not finite leaves a gap.
type Pieces = Vec<Vec<(u64, f64)>>;

impl History {
    /// The training loss over iterations as SVG: every value light, their running average strong, epochs marked. `None`
    /// without a finite loss.
    ///
    /// The average forgets half within a hundredth of the training. Values far above it are drawn at the upper edge.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the chart cannot be drawn.
    pub fn loss_chart(&self) -> Result<Option<String>> {
        let losses: Vec<LossPoint> = self.losses.iter().map(drawable).collect();
        let finite = || losses.iter().map(|point| point.loss).filter(|loss| loss.is_finite());
        let (low, high) = finite().fold((0f64, f64::NEG_INFINITY), |(low, high), loss| (low.min(loss), high.max(loss)));
        if high == f64::NEG_INFINITY {
            return Ok(None);
        }
        let average = average(&losses);
        let top = average.iter().flatten().map(|(_, loss)| *loss).fold(low, f64::max);
        let top = high.min(low + (top - low) * 1.5).max(low + f64::max(1e-4, low.abs() * 1e-6));
        let mut raw = pieces(losses.iter().map(|point| (point.iteration, point.loss)));
        raw.iter_mut().flatten().for_each(|(_, loss)| *loss = loss.min(top));
        let end = losses.iter().map(|point| point.iteration).max().unwrap_or(0);
        let epochs = epoch_starts(&losses);
        let blue = rgb(shades(1).on_light);
        let curves = [
            Curve { name: "each iteration".into(), points: thinned(&raw), style: blue.mix(0.4).stroke_width(1) },
            Curve { name: "running average".into(), points: sampled(&average), style: blue.stroke_width(4) },
        ];
        draw(&Axes { end, values: low..top, name: "loss", epochs }, &curves, None).map(Some)
    }

    /// The Dice scores of the validations over iterations as SVG: each class, and their mean with the best one marked.
    /// `None` without a validation.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the chart cannot be drawn.
    pub fn dice_chart(&self) -> Result<Option<String>> {
        let Some(last) = self.validations.iter().map(|validation| validation.iteration).max() else { return Ok(None) };
        let losses: Vec<LossPoint> = self.losses.iter().map(drawable).collect();
        let epochs = epoch_starts(&losses);
        let end = losses.iter().map(|point| point.iteration).fold(last.min(MOST_ITERATIONS), u64::max);
        let place = |validation: &Validation| validation.iteration.min(MOST_ITERATIONS);
        let points = |dice: &dyn Fn(&Validation) -> Option<f64>| {
            thinned(&pieces(self.validations.iter().map(|validation| (place(validation), dice(validation).unwrap_or(f64::NAN)))))
        };
        let mut curves: Vec<Curve> = Vec::new();
        for (index, class) in self.classes.iter().enumerate() {
            let points = points(&|validation| validation.dice.get(index).copied().flatten());
            curves.push(Curve { name: line(class), points, style: rgb(shades(index).on_light).stroke_width(3) });
        }
        let best = self.best().and_then(|best| Some((place(best), best.mean?)));
        let name = best.map_or_else(|| "mean".into(), |(at, dice)| format!("mean, best {dice:.3} at {at}"));
        curves.push(Curve { name, points: points(&|validation| validation.mean), style: BLACK.stroke_width(4) });
        draw(&Axes { end, values: 0.0..1.0, name: "Dice score", epochs }, &curves, best).map(Some)
    }
}

/// No training is longer, and no loss larger: plotters counts its ticks in numbers that have an end.
const MOST_ITERATIONS: u64 = 1_000_000_000_000;
const LARGEST_LOSS: f64 = 1e9;

/// The point as far as it can be drawn.
fn drawable(point: &LossPoint) -> LossPoint {
    let loss = if point.loss.is_finite() { point.loss.clamp(-LARGEST_LOSS, LARGEST_LOSS) } else { f64::NAN };
    LossPoint { iteration: point.iteration.min(MOST_ITERATIONS), loss, ..*point }
}

type Drawn = std::result::Result<(), plotters::drawing::DrawingAreaErrorKind<std::io::Error>>;

/// What a chart is drawn in.
struct Axes {
    /// The last iteration.
    end: u64,
    values: Range<f64>,
    /// What the values are.
    name: &'static str,
    /// Epochs to mark.
    epochs: Vec<(u64, u32)>,
}

/// A curve with its entry in the legend.
struct Curve {
    name: String,
    points: Pieces,
    style: ShapeStyle,
}

/// Curves with axes, a grid, epochs and a legend; `marked` is circled.
fn draw(axes: &Axes, curves: &[Curve], marked: Option<(u64, f64)>) -> Result<String> {
    let mut svg = String::new();
    let legend = legend(curves);
    let lines = legend.last().map_or(0, |last| last.2 + 1);
    let drawn =
        draw_on(&SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT + LINE * lines)).into_drawing_area(), axes, curves, marked, &legend);
    drawn.map_err(|error| Error::new(ErrorKind::Io, format!("cannot draw the chart of {}: {error}", axes.name)))?;
    Ok(svg)
}

fn draw_on(area: &Area, axes: &Axes, curves: &[Curve], marked: Option<(u64, f64)>, legend: &[(String, u32, u32)]) -> Drawn {
    let Axes { end, values, name, epochs } = axes;
    let decimals = (2.0 - (values.end - values.start).log10().floor()).clamp(0.0, 6.0) as usize;
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(HEIGHT);
    let mut chart = ChartBuilder::on(&above)
        .margin(16)
        .margin_top(40)
        .margin_right(48)
        .x_label_area_size(80)
        .y_label_area_size(112)
        .build_cartesian_2d(0..(*end).max(1), values.clone())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(GRAY)
        .x_labels(8)
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .x_desc("iteration")
        .y_desc(*name)
        .label_style(FONT)
        .axis_desc_style(FONT)
        .draw()?;
    let top = values.end;
    chart.draw_series(epochs.iter().map(|&(at, _)| PathElement::new([(at, values.start), (at, top)], FAINT.stroke_width(2))))?;
    let style = ("sans-serif", 24).into_text_style(area).color(&GRAY).pos(Pos::new(HPos::Center, VPos::Bottom));
    chart.draw_series(epochs.iter().map(|&(at, epoch)| Text::new(format!("epoch {epoch}"), (at, top), style.clone())))?;
    for (curve, piece) in curves.iter().flat_map(|curve| curve.points.iter().map(move |piece| (curve, piece))) {
        // A lone point is a dot, not a line without length.
        let radius = if piece.len() == 1 { 4 } else { 0 };
        chart.draw_series(LineSeries::new(piece.iter().copied(), curve.style).point_size(radius))?;
    }
    chart.draw_series(marked.map(|place| Circle::new(place, 9, BLACK.stroke_width(3))))?;
    let style = FONT.into_text_style(area).color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    for (curve, (name, left, line)) in curves.iter().zip(legend) {
        let (x, y) = (*left as i32, (LINE * line + LINE / 2) as i32);
        below.draw(&PathElement::new([(x, y), (x + 40, y)], curve.style))?;
        below.draw(&Text::new(name.as_str(), (x + 52, y), style.clone()))?;
    }
    area.present()
}

/// The legend below a chart: of each curve the name, the left edge and the line. Letters have no width here, so a wide one
/// is assumed.
fn legend(curves: &[Curve]) -> Vec<(String, u32, u32)> {
    const LEFT: u32 = 128;
    const LETTER: u32 = 15;
    let (mut left, mut line) = (LEFT, 0);
    curves
        .iter()
        .map(|curve| {
            let name: String = curve.name.chars().take(60).collect();
            let width = 52 + LETTER * name.chars().count() as u32 + 32;
            if left > LEFT && left + width > WIDTH {
                (left, line) = (LEFT, line + 1);
            }
            left += width;
            (name, left - width, line)
        })
        .collect()
}

fn rgb([red, green, blue]: [u8; 3]) -> RGBColor {
    RGBColor(red, green, blue)
}

/// The points between those that are not finite.
fn pieces(points: impl Iterator<Item = (u64, f64)>) -> Pieces {
    let (mut pieces, mut open): (Pieces, _) = (Vec::new(), false);
    for point in points {
        if !point.1.is_finite() {
            open = false;
        } else if let (true, Some(piece)) = (open, pieces.last_mut()) {
            piece.push(point);
        } else {
            pieces.push(vec![point]);
            open = true;
        }
    }
    pieces
}

/// The exponential running average of the losses, without the bias of its start. Losses that are not finite are skipped.
fn average(losses: &[LossPoint]) -> Pieces {
    let keep = 0.5f64.powf(1.0 / (losses.len() as f64 / 100.0).max(1.0));
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = losses.iter().filter(|point| point.loss.is_finite());
    let average = finite.map(|point| {
        sum = keep * sum + (1.0 - keep) * point.loss;
        weight = keep * weight + (1.0 - keep);
        (point.iteration, sum / weight)
    });
    pieces(average)
}

/// At most about twice [`MOST_POINTS`]: of more, the lowest and the highest of every group of neighbors.
fn thinned(curve: &Pieces) -> Pieces {
    let group = curve.iter().map(Vec::len).sum::<usize>().div_ceil(MOST_POINTS);
    if group <= 2 {
        return curve.clone();
    }
    let ends = |group: &[(u64, f64)]| -> Vec<(u64, f64)> {
        let low = group.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = group.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut ends: Vec<_> = low.into_iter().chain(high).copied().collect();
        ends.sort_by_key(|point| point.0);
        ends.dedup();
        ends
    };
    curve.iter().map(|piece| piece.chunks(group).flat_map(ends).collect()).collect()
}

/// At most [`MOST_POINTS`] of a smooth curve: the last of every group of neighbors.
fn sampled(curve: &Pieces) -> Pieces {
    let group = curve.iter().map(Vec::len).sum::<usize>().div_ceil(MOST_POINTS).max(1);
    curve.iter().map(|piece| piece.chunks(group).filter_map(<[_]>::last).copied().collect()).collect()
}

/// Where at most five epochs begin, at equal distances; none where there is only one.
fn epoch_starts(losses: &[LossPoint]) -> Vec<(u64, u32)> {
    let mut starts: Vec<(u64, u32)> = Vec::new();
    for point in losses {
        if starts.last().is_none_or(|&(_, epoch)| point.epoch > epoch) {
            starts.push((point.iteration, point.epoch));
        }
    }
    let last = starts.last().map_or(0, |&(_, epoch)| epoch);
    let step = (0..).flat_map(|power| [1u32, 2, 5].map(|digit| digit.saturating_mul(10u32.saturating_pow(power))));
    let step = step.into_iter().find(|step| last / step < 6).unwrap_or(u32::MAX);
    starts.retain(|&(_, epoch)| epoch > 0 && epoch % step == 0);
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(values: &[f64]) -> Vec<LossPoint> {
        values.iter().zip(1..).map(|(&loss, iteration)| LossPoint { iteration, epoch: 0, loss }).collect()
    }

    /// The text elements of a chart.
    fn texts(svg: &str) -> Vec<&str> {
        svg.split("<text").skip(1).filter_map(|part| part.split_once(">\n")?.1.split_once('\n')).map(|(text, _)| text).collect()
    }

    #[test]
    fn a_chart_names_its_axes_classes_and_best_validation_as_text() {
        let validation = |iteration, bone, mean| Validation { iteration, dice: vec![bone], mean };
        let history = History {
            classes: vec!["b<o>ne".into()],
            losses: losses(&[3.0, 2.0]),
            validations: vec![
                validation(100, Some(0.5), Some(0.4)),
                validation(200, Some(0.7), Some(0.654_3)),
                validation(300, None, None),
            ],
        };
        let dice = history.dice_chart().unwrap().unwrap();
        for text in ["iteration", "Dice score", "b&lt;o&gt;ne", "mean, best 0.654 at 200", "300", "1.00"] {
            assert!(texts(&dice).contains(&text), "{text} is not among {:?}", texts(&dice));
        }
        assert!(dice.contains("font-family=\"sans-serif\"") && dice.starts_with("<svg") && dice.trim_end().ends_with("</svg>"));
        let loss = history.loss_chart().unwrap().unwrap();
        assert!(["loss", "running average"].iter().all(|text| texts(&loss).contains(text)), "{:?}", texts(&loss));
    }

    #[test]
    fn charts_of_any_values_are_drawn_or_left_out() {
        for values in [&[][..], &[f64::NAN], &[f64::INFINITY, f64::NEG_INFINITY]] {
            assert_eq!(History { losses: losses(values), ..History::default() }.loss_chart().unwrap(), None, "{values:?}");
        }
        assert_eq!(History::default().dice_chart().unwrap(), None);
        for values in [&[0.0][..], &[1.0], &[-3.0, -3.0], &[1e300, 1e-300], &[f64::MAX, f64::MIN], &[2.0, f64::NAN, 1.0], &[5e-324]] {
            let chart = History { losses: losses(values), ..History::default() }.loss_chart().unwrap().unwrap();
            assert!(!chart.contains("NaN") && !chart.contains("inf"), "{values:?}: {chart}");
        }
        let never = vec![LossPoint { iteration: u64::MAX, epoch: u32::MAX, loss: 1.0 }];
        assert!(History { losses: never, ..History::default() }.loss_chart().unwrap().is_some());
        let validations = vec![Validation { iteration: 0, dice: vec![], mean: None }];
        assert!(History { validations, classes: vec!["bone".into()], ..History::default() }.dice_chart().unwrap().is_some());
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_a_gap() {
        let points = [1.0, f64::NAN, f64::INFINITY, 2.0, 3.0].into_iter().enumerate().map(|(at, value)| (at as u64, value));
        assert_eq!(pieces(points), [vec![(0, 1.0)], vec![(3, 2.0), (4, 3.0)]]);
    }

    #[test]
    fn the_running_average_of_a_constant_is_that_constant_from_the_start() {
        assert!(average(&losses(&[4.0; 300])).iter().flatten().all(|(_, loss)| (loss - 4.0).abs() < 1e-12));
    }

    #[test]
    fn a_long_curve_keeps_its_extremes_and_few_points() {
        let long: Vec<_> = (0..100_000u64).map(|at| (at, if at == 54_321 { 9.0 } else { (at % 7) as f64 })).collect();
        let thin = thinned(&vec![long]);
        assert!(thin[0].len() <= 2 * MOST_POINTS && thin[0].contains(&(54_321, 9.0)) && thin[0].is_sorted());
    }

    #[test]
    fn a_legend_keeps_to_the_width_of_the_chart() {
        let curve = |letters: usize| Curve { name: "x".repeat(letters), points: Vec::new(), style: BLACK.stroke_width(1) };
        let legend = legend(&[curve(10), curve(10), curve(90), curve(40), curve(10)]);
        let lines: Vec<u32> = legend.iter().map(|entry| entry.2).collect();
        assert_eq!((lines, legend[2].0.len()), (vec![0, 0, 1, 2, 2], 60));
        assert!(legend[0].1 == legend[2].1 && legend[1].1 > legend[0].1);
    }

    #[test]
    fn at_most_five_epochs_are_marked_where_they_begin() {
        let trained = |epochs: u32| -> Vec<LossPoint> {
            (0..epochs * 4).map(|at| LossPoint { iteration: u64::from(at) + 1, epoch: at / 4, loss: 1.0 }).collect()
        };
        assert_eq!(epoch_starts(&trained(1)), []);
        assert_eq!(epoch_starts(&trained(3)), [(5, 1), (9, 2)]);
        let marked: Vec<u32> = epoch_starts(&trained(100)).into_iter().map(|(_, epoch)| epoch).collect();
        assert_eq!(marked, [20, 40, 60, 80]);
    }
}
