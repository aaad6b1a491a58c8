#!/usr/bin/env python3
"""Talks to the OpenIGTLink server (c_examples/openigtlink) with pyigtl, an implementation of its own of the protocol, and sends
it what must not take it down.

Run by hand:

    python3 -m venv venv && venv/bin/pip install pyigtl numpy nibabel
    venv/bin/python tests/python/openigtlink.py SERVER SPINECT MODEL CT.nii.gz

SERVER is the built server, SPINECT the command line, which segments the same CT for comparison. Labels must be equal voxel by
voxel for every scalar type, both byte orders, RAS and LPS; surface and clearances are measured again from the labels. Exit
status 1, with one line per failure, if anything does not hold.
"""

import argparse
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pyigtl
from pyigtl.messages import CRC64, ImageMessage, MessageBase, message_type_to_class_constructor

LENGTH, RADIUS = 40.0, 1.5
PATIENCE = 600
BUSY, OVERFLOW, CHECKSUM, CONFIGURATION, RESOURCE, UNKNOWN, NOT_READY, VERSION = 6, 8, 9, 10, 11, 12, 13, 17

failures = []


def check(holds, what):
    print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)
    if not holds:
        failures.append(what)


class Raw(MessageBase):
    """What pyigtl does not decode."""

    def _unpack_content(self, content):
        self.content = content


for name in ["POLYDATA", "LBMETA", "STATUS"]:
    message_type_to_class_constructor[name] = Raw


class BigEndianImage(ImageMessage):
    """pyigtl sends big-endian voxels wrongly: numpy does not call them the same type."""

    def _pack_content(self):
        content = bytearray(super()._pack_content())
        content[4] = 1
        content[72:] = self.image.byteswap().tobytes()
        return bytes(content)


# ------------------------------------------------------------------------------------------------ a client of sockets only


def frame(type, content, *, version=1, device="test", size=None, crc=None):
    header = struct.pack("> H 12s 20s Q Q Q", version, type.encode(), device.encode(), 7 << 32,
                         len(content) if size is None else size, CRC64(content) if crc is None else crc)
    return header + content


def image_content(size, matrix, coord=2, *, scalar=4, endian=2, components=1, voxels=None, offset=(0, 0, 0), part=None, version=1):
    header = struct.pack("> H B B B B 3H 12f 3H 3H", version, components, scalar, endian, coord, *size, *matrix, *offset, *(part or size))
    return header + (bytes(2 * int(np.prod(size))) if voxels is None else voxels)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:  # closed with something left unread
                return None
            if not piece:
                return None
            data += piece
        return data

    def receive(self):
        """(type, content) or None if the server has closed."""
        header = self.exactly(58)
        if header is None:
            return None
        _, type, _, _, size, crc = struct.unpack("> H 12s 20s Q Q Q", header)
        content = self.exactly(size)
        assert CRC64(content) == crc, "a checksum of the server is wrong"
        return type.rstrip(b"\0").decode(), content

    def status(self):
        """The code of the next STATUS; None if the server has closed."""
        while (received := self.receive()) is not None:
            if received[0] == "STATUS":
                return struct.unpack("> H", received[1][:2])[0]
        return None

    def close(self):
        self.socket.close()


# ------------------------------------------------------------------------------------------------------------- good clients


def box_distance(points, affine, voxels):
    """From points to the nearest of the boxes of voxels, of an affine along the axes of the world."""
    half = np.abs(np.diag(affine)[:3]) / 2
    centers = voxels @ affine[:3, :3].T + affine[:3, 3]
    least = np.inf
    for chunk in np.array_split(centers, max(1, len(centers) // 2000)):
        away = np.maximum(np.abs(points[:, None] - chunk[None]) - half, 0)
        least = min(least, np.sqrt((away**2).sum(axis=2)).min())
    return least


def exchange(port, voxels, affine, world, big_endian=False, has_nerve=True):
    """Sends a CT (i, j, k) and returns the answers: labels, table, surface; without a nerve there is none."""
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    kind = BigEndianImage if big_endian else ImageMessage
    array = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    client.send_message(kind(array, ijk_to_world_matrix=affine, world_coordinate_system=world, device_name="ct"), wait=True)
    labels = client.wait_for_message("spinect-labels", timeout=PATIENCE)
    table = client.wait_for_message("spinect-table", timeout=PATIENCE)
    surface = client.wait_for_message("spinect-nerve", timeout=PATIENCE) if has_nerve else None
    return client, labels, table, surface


def surface_of(content):
    counts = struct.unpack("> 10I", content[:40])
    points = np.frombuffer(content, ">f4", 3 * counts[0], 40).reshape(-1, 3).astype(float)
    polygons = np.frombuffer(content, ">u4", 4 * counts[5], 40 + 12 * counts[0]).reshape(-1, 4)
    assert counts[6] == 16 * counts[5] and (polygons[:, 0] == 3).all() and len(content) == 40 + 12 * counts[0] + counts[6]
    return points, polygons[:, 1:].astype(int)


def volume_of(points, triangles):
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def good_clients(port, ct, truth):
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    hounsfield = np.asanyarray(ct.dataobj).astype(np.float64)
    affine = ct.affine.astype(np.float32).astype(np.float64)
    nerve = np.argwhere(truth == 2)

    def round_trip(voxels, world, big_endian, expected, what):
        placed = affine if world == "ras" else to_lps @ affine
        client, labels, table, surface = exchange(port, voxels, placed, world, big_endian)
        if not (labels and table and surface):
            check(False, f"{what}: labels, table and surface come")
            client.stop()
            return None, None
        got = labels.image.transpose(2, 1, 0)
        check(got.dtype == np.uint8 and np.array_equal(got, expected), f"{what}: the labels are those of the command line")
        check(labels.world_coordinate_system == world and np.allclose(labels.ijk_to_world_matrix, placed, atol=1e-3), f"{what}: at their place")
        return client, (table.content, surface.content)

    for voxels, what in [(hounsfield.astype(np.int16), "int16"), (hounsfield.astype(np.int32), "int32"),
                         (hounsfield.astype(np.float32), "float32"), (hounsfield, "float64")]:
        for big_endian in [False, True]:
            for world in ["ras", "lps"] if what == "int16" else ["lps"]:
                name = f"{what}, {'big' if big_endian else 'little'} endian, {world}"
                client, answers = round_trip(voxels, world, big_endian, truth, name)
                if client is None:
                    continue
                table, surface = answers
                if what == "int16":
                    elements = [struct.unpack("> 64s 20s B B 4B 3H 20s", table[at : at + 116]) for at in range(0, len(table), 116)]
                    names = {element[2]: element[0].rstrip(b"\0").decode() for element in elements}
                    check(names == {1: "bone", 2: "nerve"}, f"{name}: the table names bone and nerve")
                    extent = nerve.max(axis=0) - nerve.min(axis=0) + 1
                    check(list(elements[1][8:11]) == extent.tolist(), f"{name}: and says how large the nerve's box is")
                    points, triangles = surface_of(surface)
                    mm3 = len(nerve) * abs(np.linalg.det(affine[:3, :3]))
                    check(abs(volume_of(points, triangles) / mm3 - 1) < 0.05, f"{name}: the surface has the nerve's volume, outward")
                    low, high = (nerve @ affine[:3, :3].T + affine[:3, 3]).min(axis=0), (nerve @ affine[:3, :3].T + affine[:3, 3]).max(axis=0)
                    check((points.min(axis=0) > low - 2).all() and (points.max(axis=0) < high + 2).all(), f"{name}: in RAS")
                    clearances(client, affine, nerve, name)
                client.stop()
    # What cannot hold -1024: the same numbers, cut, against those in 16 bits with a sign.
    for kind, low, high in [(np.int8, -128, 127), (np.uint8, 0, 255), (np.uint16, 0, 4000), (np.uint32, 0, 4000)]:
        cut = np.clip(hounsfield, low, high)
        client, labels, _, _ = exchange(port, cut.astype(np.int16), affine, "ras", has_nerve=False)
        client.stop()
        expected = labels.image
        for big_endian in [False, True]:
            client, labels, _, _ = exchange(port, cut.astype(kind), affine, "ras", big_endian, has_nerve=False)
            client.stop()
            what = f"{kind.__name__}, {'big' if big_endian else 'little'} endian: labels {np.unique(expected).tolist()}"
            # Nothing looks like bone below 128 HU.
            check((kind is np.int8 or len(np.unique(expected)) > 1) and np.array_equal(labels.image, expected), f"{what} as from int16")


def clearances(client, affine, nerve, name):
    """Tools at random places outside the nerve, measured again with its voxels."""
    generator = np.random.default_rng(1)
    middle = (nerve @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    worst, crossing = 0.0, 0
    for n in range(20):
        axis = generator.normal(size=3)
        axis /= np.linalg.norm(axis)
        side = np.cross(axis, [axis[1], axis[2], axis[0]] if abs(axis @ [axis[1], axis[2], axis[0]]) < 0.99 else [1, 0, 0])
        side /= np.linalg.norm(side)
        tip = middle + generator.uniform(5, 60) * axis
        matrix = np.eye(4)
        matrix[:3, :4] = np.column_stack([side, np.cross(axis, side), axis, tip])
        client.send_message(pyigtl.TransformMessage(matrix, device_name="tool", timestamp=1000.5 + n), wait=True)
        answer = client.wait_for_message("spinect-clearance", timeout=PATIENCE)
        if answer is None or abs(answer.timestamp - (1000.5 + n)) > 1e-6:
            check(False, f"{name}: an answer with the time of its question")
            return
        said = json.loads(answer.string)
        samples = tip + np.linspace(0, LENGTH, 400)[:, None] * axis
        away = box_distance(samples.astype(np.float32).astype(float), affine, nerve)
        if said["crosses"] or away == 0:
            crossing += 1
            worst = max(worst, 0.0 if said["distance_mm"] < 0.2 - RADIUS else np.inf)
        else:
            worst = max(worst, abs(said["distance_mm"] - (away - RADIUS)))
    check(worst < 0.02, f"{name}: 20 clearances ({crossing} tools through the nerve) differ by {worst:.4f} mm from the voxels'")


# -------------------------------------------------------------------------------------------------------------- bad clients


def ask(port, data):
    """A new client's first answer, once the server has seen that those before have gone; None if it closes instead."""
    for _ in range(1000):
        client = Client(port).send(data)
        answer = client.receive()
        client.close()
        if answer is None or b"too many clients" not in answer[1]:
            break
    return answer


def alive(port):
    answer = ask(port, frame("GET_STATUS", b""))
    return answer is not None and answer[0] == "STATUS" and struct.unpack("> H", answer[1][:2])[0] == NOT_READY


def bad_clients(port):
    one = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    size = (8, 8, 8)
    nan = float("nan")
    good = image_content(size, one)
    tool = struct.pack("> 12f", *one)
    stretched = struct.pack("> 12f", *([3] + one[1:]))
    # What is sent, which STATUS comes, and whether the connection goes on.
    cases = [
        ("a header of version 9", frame("IMAGE", good, version=9), VERSION, False),
        ("a body of 2^63 bytes", frame("IMAGE", good, size=1 << 63), RESOURCE, False),
        ("a body of 2^31 bytes", frame("IMAGE", good, size=1 << 31), RESOURCE, False),
        ("a wrong checksum", frame("IMAGE", good, crc=1), CHECKSUM, True),
        ("an unknown type", frame("NONSENSE", b"123"), UNKNOWN, True),
        ("a type without an end", frame("IMAGEIMAGEIM", b""), UNKNOWN, True),
        ("an IMAGE without content", frame("IMAGE", b""), CONFIGURATION, True),
        ("an IMAGE of half a header", frame("IMAGE", good[:40]), CONFIGURATION, True),
        ("an IMAGE without its last byte", frame("IMAGE", good[:-1]), CONFIGURATION, True),
        ("an IMAGE with a byte too many", frame("IMAGE", good + b"0"), CONFIGURATION, True),
        ("65535 voxels along each axis", frame("IMAGE", image_content((65535,) * 3, one, voxels=b"0" * 64)), CONFIGURATION, True),
        ("no voxels along an axis", frame("IMAGE", image_content((0, 8, 8), one)), CONFIGURATION, True),
        ("three components", frame("IMAGE", image_content(size, one, components=3)), CONFIGURATION, True),
        ("a part of a volume", frame("IMAGE", image_content(size, one, part=(4, 8, 8), voxels=bytes(512))), CONFIGURATION, True),
        ("a part beyond the volume", frame("IMAGE", image_content(size, one, offset=(9, 0, 0))), CONFIGURATION, True),
        ("an image of version 7", frame("IMAGE", image_content(size, one, version=7)), CONFIGURATION, True),
        ("no byte order", frame("IMAGE", image_content(size, one, endian=0)), CONFIGURATION, True),
        ("neither RAS nor LPS", frame("IMAGE", image_content(size, one, coord=3)), CONFIGURATION, True),
        ("a matrix that is no number", frame("IMAGE", image_content(size, [nan] * 12)), CONFIGURATION, True),
        ("a singular matrix", frame("IMAGE", image_content(size, [0] * 12)), CONFIGURATION, True),
        ("a TRANSFORM before any CT", frame("TRANSFORM", tool), NOT_READY, True),
        ("a TRANSFORM of 47 bytes", frame("TRANSFORM", tool[:-1]), OVERFLOW, True),
        ("a TRANSFORM that is no number", frame("TRANSFORM", struct.pack("> 12f", *[nan] * 12)), CONFIGURATION, True),
        ("a TRANSFORM that stretches", frame("TRANSFORM", stretched), CONFIGURATION, True),
        ("an extended header beyond the body", frame("TRANSFORM", struct.pack("> H H I I", 65535, 0, 0, 0), version=2), OVERFLOW, True),
        ("metadata beyond the body", frame("TRANSFORM", struct.pack("> H H I I", 12, 65535, 0xFFFFFFFF, 0) + tool, version=2), OVERFLOW, True),
        ("half an extended header", frame("TRANSFORM", b"12345", version=2), OVERFLOW, True),
    ]
    cases += [(f"scalar type {type}", frame("IMAGE", image_content(size, one, scalar=type)), CONFIGURATION, True) for type in [0, 1, 8, 9, 12, 13, 255]]
    for what, data, code, goes_on in cases:
        client = Client(port)
        got = client.send(data).status()
        follows = client.send(frame("GET_STATUS", b"")).status() if goes_on else client.receive()
        client.close()
        check(got == code and follows == (NOT_READY if goes_on else None), f"{what}: STATUS {got}, then {follows}")
    # Good ones in version 2 of the header.
    client = Client(port)
    extended = struct.pack("> H H I I", 12, 2, 0, 5) + tool + b"\0\0"
    check(client.send(frame("TRANSFORM", extended, version=2)).status() == NOT_READY, "a TRANSFORM with metadata is understood")
    client.close()
    many = []
    for _ in range(1000):  # until the server has seen that those before have gone
        client = Client(port)
        if client.send(frame("GET_STATUS", b"")).status() == NOT_READY:
            many.append(client)
        if len(many) == 8:
            break
    check(len(many) == 8, "eight clients are answered at a time")
    late = Client(port)
    check(late.status() == BUSY and late.receive() is None, "a ninth is told so and closed")
    for client in [*many, late]:
        client.close()
    check(alive(port), "and there is room again")
    # Those who go in the middle.
    for cut in [1, 57, 58, 100]:
        Client(port).send(frame("IMAGE", good)[:cut]).close()
    Client(port).send(frame("IMAGE", image_content((64, 64, 64), one))).close()
    check(alive(port), "clients that go in the middle of a message, or of their segmentation")
    answered = 0
    for attempt in range(20):
        answered += ask(port, random.Random(attempt).randbytes(5000)) is not None
    check(answered == 20 and alive(port), f"noise: {answered} of 20 answered")
    generator = random.Random(7)
    answered = 0
    for attempt in range(300):
        content = bytearray(image_content((4, 4, 4), one))
        for _ in range(generator.randint(1, 6)):
            content[generator.randrange(72)] = generator.randrange(256)
        cut = content[: generator.choice([len(content), generator.randrange(len(content))])]
        answered += ask(port, frame("IMAGE", bytes(cut))) is not None
    check(answered == 300 and alive(port), f"headers of images with bytes changed: {answered} of 300 answered")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["server", "spinect", "model", "ct"]:
        arguments.add_argument(name, type=lambda path: Path(path).resolve())
    given = arguments.parse_args()
    ct = nibabel.load(given.ct)
    if np.abs(ct.affine[:3, :3] - np.diag(np.diag(ct.affine)[:3])).max() > 1e-6:
        sys.exit("error: the CT must lie along the axes of the world")
    with tempfile.TemporaryDirectory() as folder:
        # OpenIGTLink has 32-bit numbers for the place of an image, so the command line gets the same.
        same = nibabel.Nifti1Image(np.asanyarray(ct.dataobj).astype(np.int16), ct.affine.astype(np.float32).astype(np.float64))
        nibabel.save(same, f"{folder}/ct.nii.gz")
        subprocess.run([given.spinect, "segment", f"{folder}/ct.nii.gz", "--model", given.model, "-o", f"{folder}/labels.nii.gz"], check=True,
                       stdout=subprocess.DEVNULL)
        truth = np.asanyarray(nibabel.load(f"{folder}/labels.nii.gz").dataobj).astype(np.uint8)
    server = subprocess.Popen([given.server, given.model, "--port", "0", "--tool-length", str(LENGTH), "--tool-radius", str(RADIUS)],
                              stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().split()[-1])
        bad_clients(port)
        good_clients(port, same, truth)
        check(server.poll() is None, "the server is still there")
        server.send_signal(signal.SIGTERM)
        check(server.wait(timeout=30) == 0, "and goes when it is asked to")
    finally:
        server.kill()
    print(f"{len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
