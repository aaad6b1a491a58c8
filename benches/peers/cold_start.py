"""Cold start: from the start of a `spinect segment` to the label map of a cube on disk, beside a session that is warm.

The process reads the model file (90 MB, in the system's file cache) and the cube, segments, and writes. Warm is
`spinect_session_segment_into` of the same cube after `spinect_session_prepare`: the arithmetic. What lies between is to be
at most 0.5 s. Both must give the same labels. A virtual machine whose host hands out memory only when it is first touched
shows that in the largest figure.
"""

import statistics
import struct
import subprocess
import time

import numpy as np

from network import MEAN, STD
from spinect_c import WORLD_RAS, Session

EDGE = 64
TARGET_SECONDS = 0.5
NIFTI_INT16, NIFTI_MILLIMETERS, NIFTI_VOXELS_AT = 4, 2, 352


def report(setup, folder):
    cube = np.random.default_rng(setup.seed).normal(MEAN, STD, (EDGE,) * 3).round().clip(-1024, 3071).astype("<i2")
    image, labels = folder / "cube.nii", folder / "labels.nii"
    image.write_bytes(nifti(cube))
    session = Session(setup.library, setup.model, setup.threads)
    session.prepare(cube, WORLD_RAS)
    command = [setup.program, "segment", image, "--model", setup.model, "-o", labels, "--force", "--threads", str(setup.threads)]

    warm, cold = [], []
    for _ in range(setup.rounds):
        seconds(session.segment_into)
        warm.append(seconds(session.segment_into))
        cold.append(seconds(lambda: subprocess.run(command, check=True, capture_output=True)))
    file = labels.read_bytes()
    # The label table lies between the header and the voxels; vox_offset says how far they begin.
    written = np.frombuffer(file[int(struct.unpack_from("<f", file, 108)[0]):], np.uint8)
    assert np.array_equal(written, session.labels.ravel()), "the process and the C ABI give different labels"
    session.close()

    difference = statistics.median(cold) - statistics.median(warm)
    print(f"\nCold start: a cube of {EDGE}×{EDGE}×{EDGE} voxels at 1 mm\n")
    print("| | seconds: median (min to max) |\n|---|---|")
    print(f"| a new process, from its start to the label map on disk | {spread(cold)} |")
    print(f"| a warm session | {spread(warm)} |")
    print(f"| **beyond the arithmetic** (target: {TARGET_SECONDS:g}) | {difference:.3f} |")


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def nifti(voxels):
    """An uncompressed NIfTI-1 file of int16 [k, j, i] at 1 mm whose indices are RAS millimeters."""
    depth, height, width = voxels.shape
    header = bytearray(NIFTI_VOXELS_AT)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, NIFTI_INT16, 16)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<3f", header, 108, NIFTI_VOXELS_AT, 1, 0)
    header[123] = NIFTI_MILLIMETERS
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, *np.eye(4)[:3].ravel())
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.tobytes()
