#!/usr/bin/env python3
"""Seconds per window on the CPU: spinect beside OpenVINO, PyTorch and ONNX Runtime.

    pip install torch onnx onnxruntime openvino matplotlib
    cargo build --release --features cli
    python3 benches/peers/peers.py --bf16 --cold --chart docs/peers.svg     (minutes; `--rounds 2` for a first look)

Everybody runs the same network (the preset, 22,581,411 parameters) with the same random weights on the same windows in
f32 and with the same number of threads. One run, in rounds: each round gives every runtime its turn, in the same order,
so that a machine that slows down slows down for all. A turn is a short pause (no runtime's idle threads may spin into
the next one's turn), one call that is not counted, one that is.

Two settings, a table each: a single window (latency), and a volume 16 windows deep (throughput, seconds per window).
`--windows N ...` chooses others; without a number there is no table. The others take a volume window by window; OpenVINO
has a second row there that computes several windows at a time (`PERFORMANCE_HINT` `THROUGHPUT`, `AsyncInferQueue`). The
yardstick is OpenVINO's faster f32 row: spinect is to take at most 0.25 of its time.

What is timed is what a caller waits for: spinect from Hounsfield units to labels (`spinect_session_segment_into`, through
the C ABI and in this process, after `spinect_session_prepare`), overlaps added up; the others from whitened windows to
probabilities, overlaps left alone.

spinect's C ABI gives labels and the winning probability, not all probabilities. So that is what is compared, for everyone:
the largest difference of a voxel's winning probability to PyTorch's in f32, and the voxels whose label differs although
PyTorch's two largest probabilities lie more than 1e-3 apart.

    --bf16         more rows, for information: OpenVINO and PyTorch in bf16, with their errors
    --isa avx2     everybody without AVX-512: oneDNN, which computes for OpenVINO and PyTorch, and PyTorch itself obey an
                   environment variable, and OpenVINO's row tells what it really ran. ONNX Runtime has no such switch.
                   Nor has spinect: its row is the network only, as `cargo bench --bench stages` measures the AVX2 kernels
                   on windows that every thread takes for itself, so it is there for volumes only
    --cold         seconds from the start of a `spinect segment` to its label map on disk, beside a session that is warm
    --chart FILE   the tables as bars, in an SVG
"""

import argparse
import os
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
AVX2_ENVIRONMENT = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--windows", type=int, nargs="*", default=[1, 16], help="depths of the volumes, in windows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="also OpenVINO and PyTorch in bf16")
    parser.add_argument("--isa", choices=["avx2"], help="compare without AVX-512")
    parser.add_argument("--cold", action="store_true", help="also measure a cold start")
    parser.add_argument("--chart", type=Path, help="also draw the tables, as an SVG")
    parser.add_argument("--without", choices=["spinect", "openvino", "onnxruntime"], nargs="*", default=[])
    parser.add_argument("--library", type=Path, default=release / "libspinect.so", help="the shared library")
    parser.add_argument("--program", type=Path, default=release / "spinect", help="the command line, for --cold")
    parser.add_argument("--stages-binary", type=Path, help="for --isa avx2: the built benchmark instead of cargo bench")
    parser.add_argument("--model", type=Path, help="keep the model file here")
    setup = parser.parse_args()
    if setup.isa and setup.bf16:
        parser.error("AVX2 has no bf16")
    if setup.isa and setup.cold:
        parser.error("spinect has no switch for AVX2: measure the cold start without --isa")
    if setup.chart and not setup.windows:
        parser.error("a chart needs a table: --windows 1")
    return setup


def main():
    setup = arguments()
    if setup.isa:
        os.environ.update(AVX2_ENVIRONMENT)
    # Only now: PyTorch and oneDNN read the environment as they are loaded.
    import cold_start
    import comparison
    with tempfile.TemporaryDirectory() as folder:
        comparison.set_up(setup, Path(folder))
        results = comparison.compare(setup)
        if setup.cold:
            cold_start.report(setup, Path(folder))
    if setup.chart:
        import chart
        chart.draw(results, comparison.conditions(setup), setup.chart)


if __name__ == "__main__":
    main()
