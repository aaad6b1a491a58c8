"""The rounds, and the table of each setting."""

import os
import shlex
import statistics
import time
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import torch

from network import WINDOW, untrained, write_model
from runtimes import Volume, available, takes_part

PAUSE_SECONDS = 0.3
CERTAIN_MARGIN = 1e-3
HEADER = ("| runtime | seconds per window: median (min to max) | to OpenVINO | to PyTorch "
          "| largest difference of the winning probability | other labels |\n|---|---|---|---|---|---|")


@dataclass
class Row:
    peer: object
    seconds: list
    difference: float | None
    other_labels: int | None

    @property
    def median(self):
        return statistics.median(self.seconds)


@dataclass
class Result:
    """A setting's rows, and the medians that the ratios are to."""

    windows: int
    rows: dict
    certain: float

    @property
    def openvino(self):
        own = [row.median for row in self.rows.values() if row.peer.is_openvino and row.peer.precision == "f32"]
        return min(own, default=float("nan"))

    @property
    def pytorch(self):
        return self.rows["pytorch"].median

    @property
    def title(self):
        return "A single window" if self.windows == 1 else f"A volume of {self.windows} windows"


def set_up(setup, folder):
    """The network, its model file and its ONNX graph."""
    setup.network = untrained(setup.seed)
    setup.model = setup.model or folder / "peers.safetensors"
    write_model(setup.network, setup.model)
    setup.onnx = str(folder / "peers.onnx")
    torch.onnx.export(setup.network, torch.zeros(1, 1, *WINDOW), setup.onnx, input_names=["window"],
                      output_names=["probabilities"], dynamo=False)


def compare(setup):
    """Measures every setting and prints its table."""
    print(conditions(setup))
    if not setup.windows:
        return []
    cores = os.sched_getaffinity(0)
    peers = available(setup)
    os.sched_setaffinity(0, cores)  # no runtime's pinning may bind the others
    results = []
    for windows in setup.windows:
        volume = Volume(windows, setup.seed)
        taking_part = {key: peer for key, peer in peers.items() if takes_part(peer, windows)}
        for peer in taking_part.values():
            peer.take(volume)
        results.append(judge(windows, taking_part, measure(taking_part, setup.rounds)))
        print_table(results[-1])
    return results


def measure(peers, rounds):
    """Seconds per window of every peer, round by round."""
    seconds = {key: [] for key in peers}
    for _ in range(rounds):
        for key, peer in peers.items():
            time.sleep(PAUSE_SECONDS)
            seconds[key].append(peer.turn())
    return seconds


def judge(windows, peers, seconds):
    """Every peer's answer beside PyTorch's."""
    reference = peers["pytorch"].mean_probabilities()
    runner_up, winner = np.partition(reference, 1, axis=0)[1:]
    certain, labels = winner - runner_up > CERTAIN_MARGIN, reference.argmax(axis=0)
    rows = {}
    for key, peer in peers.items():
        difference = other_labels = None
        if answer := peer.answer():
            confidence, own_labels = answer
            difference = None if key == "pytorch" else np.abs(confidence - winner).max()
            other_labels = (certain & (own_labels != labels)).sum()
        rows[key] = Row(peer, seconds[key], difference, other_labels)
    return Result(windows, rows, certain.mean())


def print_table(result):
    print(f"\n{result.title} of 32×64×64; {result.certain:.1%} of the voxels have a margin above {CERTAIN_MARGIN:g}\n\n{HEADER}")
    for row in result.rows.values():
        name = f"**{row.peer.name}**" if row.peer.is_spinect else row.peer.name
        difference = "–" if row.difference is None else f"{row.difference:.1e}"
        other_labels = "–" if row.other_labels is None else row.other_labels
        to_openvino = "–" if isnan(result.openvino) else f"{row.median / result.openvino:.2f}"
        print(f"| {name} | {row.median:.3f} ({min(row.seconds):.3f} to {max(row.seconds):.3f}) | {to_openvino} "
              f"| {row.median / result.pytorch:.2f} | {difference} | {other_labels} |", flush=True)


def conditions(setup):
    restricted = ", restricted to AVX2" if setup.isa else ""
    return (f"{processor()}{restricted}, {setup.threads} thread{'s' * (setup.threads > 1)}, f32 where a row says nothing else, "
            f"{setup.rounds} round{'s' * (setup.rounds > 1)}: {command(setup)}")


def command(setup):
    """How to get these tables, without anyone's paths."""
    words = ["python3", "benches/peers/peers.py", "--rounds", setup.rounds, "--threads", setup.threads]
    words += ["--windows", *setup.windows]
    words += ["--seed", setup.seed] * (setup.seed != 0) + ["--bf16"] * setup.bf16 + ["--cold"] * setup.cold
    words += ["--isa", "avx2"] * bool(setup.isa)
    words += ["--without", *setup.without] * bool(setup.without)
    return shlex.join(map(str, words))


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"
