"""The preset's 3D U-Net in PyTorch, and its weights as a spinect model file.

The module's parameter names are the tensor names of the model file, so that writing the file is listing `state_dict`.
"""

import json
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WINDOW = (32, 64, 64)  # D, H, W
STRIDE = (20, 40, 40)
PAPER_PARAMETERS = 22_581_411
MEAN, STD = -31.5, 312.9  # whitening, Hounsfield units
BATCH_NORM_EPS = 1e-3


class Unit(nn.Module):
    """Convolution, batch norm where the network has it, ReLU."""

    def __init__(self, inputs, outputs, normalized):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        if normalized:
            self.norm = nn.BatchNorm3d(outputs, eps=BATCH_NORM_EPS)

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.norm(x) if hasattr(self, "norm") else x)


def stage(inputs, outputs, first_normalized=False):
    return nn.Sequential(Unit(inputs, outputs, first_normalized), Unit(outputs, outputs, True))


class UNet3d(nn.Module):
    """[N, 1, D, H, W] whitened intensities to [N, classes, D, H, W] probabilities; `logits` are before the softmax."""

    def __init__(self, channels=(32, 64, 128, 256, 512), classes=3):
        super().__init__()
        self.channels = channels
        fine_and_coarse = list(zip(channels, channels[1:]))
        self.encoder = nn.ModuleList(
            [stage(1, channels[0], True)] + [stage(fine, coarse) for fine, coarse in fine_and_coarse])
        self.upsample = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, stride=2) for fine, coarse in fine_and_coarse)
        self.decoder = nn.ModuleList(stage(2 * fine, fine) for fine, _ in fine_and_coarse)
        self.head = nn.Conv3d(channels[0], classes, 1)

    def logits(self, x):
        skips = []
        for level, encoder in enumerate(self.encoder):
            x = encoder(F.max_pool3d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](torch.cat([skips[level], self.upsample[level](x)], dim=1))
        return self.head(x)

    def forward(self, x):
        return torch.softmax(self.logits(x), dim=1)

    def file_tensors(self):
        """What a model file holds: everything but PyTorch's own step counters."""
        return {name: tensor.detach() for name, tensor in self.state_dict().items()
                if not name.endswith("num_batches_tracked")}

    def parameter_count(self):
        """As the paper's framework counts: running mean and variance are parameters too."""
        return sum(tensor.numel() for tensor in self.file_tensors().values())


def untrained(seed=0):
    """He-normal weights and batch norms that are not the identity, so that folding them wrongly would show."""
    torch.manual_seed(seed)
    network = UNet3d().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
                # A transposed convolution's fan-in is its input channels: its kernels do not overlap.
                fan_in = layer.in_channels * (27 if layer.kernel_size == (3, 3, 3) else 1)
                layer.weight.normal_(0, (2 / fan_in) ** 0.5)
                layer.bias.normal_(0, 0.05)
            elif isinstance(layer, nn.BatchNorm3d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
        network.head.weight.mul_(0.25)  # a saturated softmax would hide differences
    assert network.parameter_count() == PAPER_PARAMETERS, network.parameter_count()
    return network


def configuration(network):
    """The model file's `config`."""
    tensors = network.file_tensors()
    return {
        "format_version": 1,
        "name": "peers-benchmark",
        "version": "1",
        "architecture": {
            "kind": "unet3d",
            "in_channels": 1,
            "channels": list(network.channels),
            "convs_per_stage": 2,
            "norm": {
                "kind": "batch",
                "eps": BATCH_NORM_EPS,
                "layers": [name.removesuffix(".norm.weight") for name in tensors if name.endswith(".norm.weight")],
            },
            "activation": {"kind": "relu"},
            "downsample": "max_pool",
            "upsample": "transposed_conv",
        },
        "preprocess": {
            "orientation": "LPS",
            "spacing_mm": [1, 1, 1],
            "interpolation": "nearest",
            "clip_hu": [-1024, 3071],
            "mean": MEAN,
            "std": STD,
        },
        "window": {"size": list(WINDOW), "stride": list(STRIDE), "weighting": "uniform"},
        "labels": [
            {"value": 0, "name": "background", "color": [0, 0, 0]},
            {"value": 1, "name": "bone", "color": [241, 214, 145]},
            {"value": 2, "name": "nerve", "color": [244, 214, 49]},
        ],
        "provenance": {"trained_on": "nothing: random weights for a benchmark"},
    }


def write_model(network, path):
    """Writes a safetensors file: header length (u64, little endian), JSON header, tensors."""
    metadata = {"format": "spinect-model", "config": json.dumps(configuration(network))}
    header, blobs, end = {"__metadata__": metadata}, [], 0
    for name, tensor in network.file_tensors().items():
        blob = np.ascontiguousarray(tensor.numpy(), dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)
