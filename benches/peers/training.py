#!/usr/bin/env python3
"""A training step of the paper's network, batch of 4, in PyTorch and in spinect: seconds per step, alternating, medians.

    pip install torch
    python3 benches/peers/training.py [--rounds 3] [--threads 2] [--channels 32,64,128,256,512]
"""

import argparse
import re
import statistics
import subprocess
import time

import torch
from torch import nn

from network import PAPER_PARAMETERS, UNet3d


def torch_step(arguments, channels):
    torch.set_num_threads(arguments.threads)
    network = UNet3d(channels).train()
    assert channels != [32, 64, 128, 256, 512] or network.parameter_count() == PAPER_PARAMETERS
    optimizer = torch.optim.SGD(network.parameters(), lr=5e-4)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 20.0]))
    x, classes = torch.randn(4, 1, 32, 64, 64), torch.randint(0, 3, (4, 32, 64, 64))

    def step():
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss(network.logits(x), classes).backward()
        optimizer.step()
        return time.perf_counter() - started

    step()
    return step


def spinect_step(arguments, channels):
    command = ["cargo", "bench", "--quiet", "--features", "trainer", "--bench", "training", "--"]
    command += [",".join(map(str, channels)), "4", str(arguments.threads), "3"]

    def step():
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(re.search(r"([\d.]+) s per step", output).group(1))

    step()
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels", default="32,64,128,256,512")
    arguments = parser.parse_args()
    channels = [int(n) for n in arguments.channels.split(",")]
    steps = {"spinect": spinect_step(arguments, channels), f"PyTorch {torch.__version__}": torch_step(arguments, channels)}
    seconds = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            seconds[name].append(step())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"channels {channels}, batch of 4 patches of 32×64×64, {arguments.threads} threads, {arguments.rounds} rounds\n")
    print("| | seconds per step: median (min to max) | to PyTorch |\n|---|---|---|")
    for name, values in seconds.items():
        ratio = medians[name] / medians[list(steps)[1]]
        print(f"| {name} | {medians[name]:.2f} ({min(values):.2f} to {max(values):.2f}) | {ratio:.2f} |")


if __name__ == "__main__":
    main()
