"""Who is compared: every runtime behind the same few methods."""

import re
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

from network import MEAN, STD, STRIDE, WINDOW
from spinect_c import Session


class Volume:
    """Noise in Hounsfield units, `count` windows deep, and the whitened windows it is cut into."""

    def __init__(self, count, seed):
        depth = WINDOW[0] + STRIDE[0] * (count - 1)
        noise = np.random.default_rng(seed).normal(MEAN, STD, (depth, *WINDOW[1:]))
        self.hounsfield = noise.round().clip(-1024, 3071).astype(np.int16)
        whitened = (self.hounsfield.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
        self.starts = [STRIDE[0] * index for index in range(count)]
        self.windows = [np.ascontiguousarray(whitened[None, None, start:start + WINDOW[0]]) for start in self.starts]


class Peer:
    """A runtime: takes a volume, then its turns."""

    precision, is_spinect, is_openvino = "f32", False, False

    def turn(self):
        """Seconds per window of a call, after one that is not counted."""
        self.run()
        begin = time.perf_counter()
        self.run()
        return (time.perf_counter() - begin) / len(self.volume.windows)


class SpinectPeer(Peer):
    is_spinect = True

    def __init__(self, setup):
        self.session = Session(setup.library, setup.model, setup.threads)
        self.name = f"spinect {self.session.version}"

    def take(self, volume):
        self.volume = volume
        self.session.prepare(volume.hounsfield)

    def run(self):
        self.session.segment_into()

    def answer(self):
        """Every voxel's winning probability, and its label."""
        return self.session.confidence(), self.session.segment_into()


class SpinectStages(Peer):
    """The AVX2 kernels, which the C ABI chooses on no processor that has better ones, in a benchmark of their own."""

    is_spinect, name = True, "spinect (AVX2, network only)"

    def __init__(self, setup):
        program = [setup.stages_binary.resolve()] if setup.stages_binary else ["cargo", "bench", "--bench", "stages", "--"]
        self.command, self.threads = [*program, "--kernels", "avx2", str(setup.threads)], setup.threads
        self.turn()  # builds it

    def take(self, volume):
        pass

    def turn(self):
        """The threads compute a window each in the time that is printed."""
        printed = subprocess.run(self.command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True).stdout
        milliseconds = re.search(r"\*\*in all\*\* \| ([\d.]+)", printed).group(1)
        return float(milliseconds) / 1e3 / self.threads

    def answer(self):
        return None


class WindowPeer(Peer):
    """A runtime that turns one whitened window into probabilities."""

    def take(self, volume):
        self.volume = volume

    def run(self):
        return [self.probabilities(window) for window in self.volume.windows]

    def mean_probabilities(self):
        total = np.zeros((3, *self.volume.hounsfield.shape), np.float32)
        for start, probabilities in zip(self.volume.starts, self.run()):
            total[:, start:start + WINDOW[0]] += probabilities[0]
        return total / total.sum(axis=0)

    def answer(self):
        mean = self.mean_probabilities()
        return mean.max(axis=0), mean.argmax(axis=0)


class PyTorchPeer(WindowPeer):
    version = torch.__version__.split("+")[0]

    def __init__(self, setup):
        torch.set_num_threads(setup.threads)
        self.network = setup.network
        self.name = f"PyTorch {self.version} eager"
        if setup.isa:
            self.name += f" ({torch.backends.cpu.get_cpu_capability()})"

    def probabilities(self, window):
        with torch.inference_mode():
            return self.network(torch.from_numpy(window)).numpy()


class PyTorchBf16Peer(PyTorchPeer):
    precision = "bf16"

    def __init__(self, setup):
        super().__init__(setup)
        self.name = f"PyTorch {self.version} bf16 autocast"

    def probabilities(self, window):
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            return self.network(torch.from_numpy(window)).float().numpy()


class OnnxRuntimePeer(WindowPeer):
    def __init__(self, setup):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = setup.threads, 1
        self.name = f"ONNX Runtime {onnxruntime.__version__}" + (" (not restricted)" if setup.isa else "")
        self.session = onnxruntime.InferenceSession(setup.onnx, options, providers=["CPUExecutionProvider"])

    def probabilities(self, window):
        return self.session.run(None, {"window": window})[0]


class OpenVinoPeer(WindowPeer):
    is_openvino, hint, suffix = True, "LATENCY", ""

    def __init__(self, setup):
        import openvino
        # Without the precision's hint OpenVINO computes in bf16 where the CPU can.
        self.compiled = openvino.Core().compile_model(setup.onnx, "CPU", {
            "INFERENCE_PRECISION_HINT": self.precision, "INFERENCE_NUM_THREADS": setup.threads, "PERFORMANCE_HINT": self.hint})
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}{self.suffix}"
        if setup.isa:
            self.name += f" ({self.instructions()})"
        self.begin(openvino)

    def instructions(self):
        """The instruction sets that the compiled network's kernels are named after."""
        nodes = self.compiled.get_runtime_model().get_ops()
        kernels = " ".join(node.get_rt_info()["primitiveType"].astype(str) for node in nodes)
        return " and ".join(name.upper() for name in sorted(set(re.findall(r"avx\d*", kernels))))

    def begin(self, openvino):
        self.request = self.compiled.create_infer_request()

    def probabilities(self, window):
        return self.request.infer({"window": window})[0]


class OpenVinoBf16Peer(OpenVinoPeer):
    precision, suffix = "bf16", " bf16"


class OpenVinoThroughputPeer(OpenVinoPeer):
    """As many windows at a time as OpenVINO wants."""

    hint, suffix = "THROUGHPUT", ", throughput hint"

    def begin(self, openvino):
        self.queue = openvino.AsyncInferQueue(self.compiled)
        self.queue.set_callback(self.keep)

    def keep(self, request, index):
        self.results[index] = request.get_output_tensor().data.copy()

    def run(self):
        self.results = [None] * len(self.volume.windows)
        for index, window in enumerate(self.volume.windows):
            self.queue.start_async({"window": window}, index)
        self.queue.wait_all()
        return self.results


def available(setup):
    """Those of this run by name, in the order of their turns."""
    peers = {
        "spinect": SpinectStages if setup.isa else SpinectPeer,
        "openvino": OpenVinoPeer,
        "openvino throughput": OpenVinoThroughputPeer,
        "pytorch": PyTorchPeer,
        "onnxruntime": OnnxRuntimePeer,
    }
    if setup.bf16:
        peers |= {"openvino bf16": OpenVinoBf16Peer, "pytorch bf16": PyTorchBf16Peer}
    return {key: peer(setup) for key, peer in peers.items() if key.split()[0] not in setup.without}


def takes_part(peer, windows):
    """Whether a peer has a row for volumes of so many windows."""
    return windows > 1 or not isinstance(peer, (OpenVinoThroughputPeer, SpinectStages))
