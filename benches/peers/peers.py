#!/usr/bin/env python3
"""Seconds per window on the CPU: spinect beside PyTorch, ONNX Runtime and OpenVINO.

    pip install torch onnx onnxruntime openvino
    cargo build --release
    python3 benches/peers/peers.py

Everybody runs the same network (the preset, 22,581,411 parameters) with the same random weights on the same windows in
f32 and with the same number of threads. One run, in rounds: each round gives every runtime its turn, in the same order,
so that a machine that slows down slows down for all. A turn is a short pause (no runtime's idle threads may spin into
the next one's turn), one call that is not counted, one that is.

What is timed is what a caller waits for: spinect from Hounsfield units to labels (`spinect_session_segment_into`, through
the C ABI and in this process, after `spinect_session_prepare`); the others from whitened windows to probabilities, window
by window. With `--windows N` the volume is N windows deep: then spinect adds the overlaps up too, the others do not.

spinect's C ABI gives labels and the winning probability, not all probabilities. So that is what is compared, for everyone:
the largest difference of a voxel's winning probability to PyTorch's, and the voxels whose label differs although PyTorch's
two largest probabilities lie more than 1e-3 apart.

Prints a Markdown table. `--without spinect` needs no library; `--model PATH` keeps the model file.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from network import MEAN, STD, STRIDE, WINDOW, untrained, write_model
from spinect_c import Session

PAUSE_SECONDS = 0.3
CERTAIN_MARGIN = 1e-3


class SpinectPeer:
    def __init__(self, setup):
        self.session = Session(setup.library, setup.model, setup.threads)
        self.name = f"**spinect {self.session.version}**"
        self.session.prepare(setup.hounsfield)

    def run(self):
        self.session.segment_into()

    def answer(self):
        return self.session.confidence(), self.session.segment_into()


class WindowPeer:
    """A runtime that turns one whitened window into probabilities."""

    def __init__(self, setup):
        self.windows, self.shape = setup.windows, setup.hounsfield.shape

    def run(self):
        for window in self.windows:
            self.probabilities(window)

    def mean_probabilities(self):
        total = np.zeros((3, *self.shape), np.float32)
        for index, window in enumerate(self.windows):
            start = index * STRIDE[0]
            total[:, start:start + WINDOW[0]] += self.probabilities(window)[0]
        return total / total.sum(axis=0)

    def answer(self):
        mean = self.mean_probabilities()
        return mean.max(axis=0), mean.argmax(axis=0)


class PyTorchPeer(WindowPeer):
    def __init__(self, setup):
        super().__init__(setup)
        torch.set_num_threads(setup.threads)
        self.name, self.network = f"PyTorch {torch.__version__} eager", setup.network

    def probabilities(self, window):
        with torch.inference_mode():
            return self.network(torch.from_numpy(window)).numpy()


class OnnxRuntimePeer(WindowPeer):
    def __init__(self, setup):
        super().__init__(setup)
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = setup.threads, 1
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self.session = onnxruntime.InferenceSession(setup.onnx, options, providers=["CPUExecutionProvider"])

    def probabilities(self, window):
        return self.session.run(None, {"window": window})[0]


class OpenVinoPeer(WindowPeer):
    def __init__(self, setup):
        super().__init__(setup)
        import openvino
        # Without the hint OpenVINO computes in bf16 where the CPU can: everybody is compared in f32 here.
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": setup.threads, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(setup.onnx, "CPU", options)
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        self.request = compiled.create_infer_request()

    def probabilities(self, window):
        return self.request.infer({"window": window})[0]


PEERS = {"spinect": SpinectPeer, "pytorch": PyTorchPeer, "onnxruntime": OnnxRuntimePeer, "openvino": OpenVinoPeer}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    repository = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", repository / "target"))
    parser.add_argument("--library", type=Path, default=target / "release" / "libspinect.so", help="the shared library")
    parser.add_argument("--model", type=Path, help="keep the model file here")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--windows", type=int, default=1, help="windows along the depth of the volume")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=[name for name in PEERS if name != "pytorch"], nargs="*", default=[])
    return parser.parse_args()


def set_up(setup, folder):
    """The network, its model file, its ONNX graph, and a volume that is cut into windows."""
    setup.network = untrained(setup.seed)
    setup.model = setup.model or folder / "peers.safetensors"
    write_model(setup.network, setup.model)
    setup.onnx = str(folder / "peers.onnx")
    torch.onnx.export(setup.network, torch.zeros(1, 1, *WINDOW), setup.onnx, input_names=["window"],
                      output_names=["probabilities"], dynamo=False)
    depth = WINDOW[0] + STRIDE[0] * (setup.windows - 1)
    noise = np.random.default_rng(setup.seed).normal(MEAN, STD, (depth, *WINDOW[1:]))
    setup.hounsfield = noise.round().clip(-1024, 3071).astype(np.int16)
    whitened = ((setup.hounsfield.astype(np.float32) - np.float32(MEAN)) / np.float32(STD))
    starts = range(0, depth - WINDOW[0] + 1, STRIDE[0])
    setup.windows = [np.ascontiguousarray(whitened[None, None, start:start + WINDOW[0]]) for start in starts]


def measure(peers, rounds, windows):
    """Seconds per window of every peer, round by round."""
    seconds = {key: [] for key in peers}
    for _ in range(rounds):
        for key, peer in peers.items():
            time.sleep(PAUSE_SECONDS)
            peer.run()
            begin = time.perf_counter()
            peer.run()
            seconds[key].append((time.perf_counter() - begin) / windows)
    return seconds


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def main():
    setup = arguments()
    with tempfile.TemporaryDirectory() as folder:
        set_up(setup, Path(folder))
        cores = os.sched_getaffinity(0)
        peers = {key: peer(setup) for key, peer in PEERS.items() if key not in setup.without}
        os.sched_setaffinity(0, cores)  # no runtime's pinning may bind the others
        seconds = measure(peers, setup.rounds, len(setup.windows))

        reference = peers["pytorch"].mean_probabilities()
        runner_up, winner = np.partition(reference, 1, axis=0)[1:]
        certain = winner - runner_up > CERTAIN_MARGIN
        labels, pytorch = reference.argmax(axis=0), statistics.median(seconds["pytorch"])
        print(f"{processor()}, {setup.threads} threads, {len(setup.windows)} window(s) of 32×64×64, "
              f"{setup.rounds} rounds; {certain.mean():.1%} of the voxels have a margin above {CERTAIN_MARGIN:g}\n")
        print("| f32 | seconds per window: median (min to max) | to PyTorch | largest difference of the winning probability "
              "| other labels |\n|---|---|---|---|---|")
        for key, peer in peers.items():
            times, (confidence, own_labels) = seconds[key], peer.answer()
            difference = "–" if key == "pytorch" else f"{np.abs(confidence - winner).max():.1e}"
            print(f"| {peer.name} | {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f}) "
                  f"| {statistics.median(times) / pytorch:.2f} | {difference} | {(certain & (own_labels != labels)).sum()} |")


if __name__ == "__main__":
    main()
