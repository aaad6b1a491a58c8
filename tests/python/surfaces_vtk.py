#!/usr/bin/env python3
"""Reads surfaces that spinect wrote with VTK and checks them: closed, 2-manifold, oriented outward, of the right volume, in
the right world.

Run by hand:

    python3 -m venv venv && venv/bin/pip install vtk numpy
    venv/bin/python tests/python/surfaces_vtk.py FOLDER

FOLDER holds surfaces (.stl, .obj, .ply, .vtp) and `expected.json`, which maps each file's name to what must hold of it:

    {"nerve.vtp": {"volume_mm3": 1234.5, "world": "RAS", "euler": 2}}

`volume_mm3` is that of the voxels; `world` and `euler` (the Euler characteristic) may be left out. Exit status 1, with one
line per failure, if anything does not hold.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

VOLUME_TOLERANCE = 0.02
SAMPLED_TRIANGLES = 400


def read(path):
    """The surface, and the world that the file names in the words of 3D Slicer."""
    reader = {
        ".stl": vtk.vtkSTLReader,
        ".obj": vtk.vtkOBJReader,
        ".ply": vtk.vtkPLYReader,
        ".vtp": vtk.vtkXMLPolyDataReader,
    }[path.suffix.lower()]()
    errors = []
    reader.AddObserver("ErrorEvent", lambda *_: errors.append("VTK could not read it"))
    reader.SetFileName(str(path))
    reader.Update()
    mesh = reader.GetOutput()
    if path.suffix.lower() == ".vtp":
        space = mesh.GetFieldData().GetAbstractArray("SPACE")
        words = "SPACE=" + space.GetValue(0) if space else ""
    elif path.suffix.lower() == ".stl":
        words = reader.GetHeader()
    elif path.suffix.lower() == ".obj":
        words = reader.GetComment()
    else:
        comments = reader.GetComments()
        words = " ".join(comments.GetValue(at) for at in range(comments.GetNumberOfValues()))
    world = re.search(r"SPACE=(RAS|LPS)", words or "")
    return mesh, world and world.group(1), errors


def edges_that(mesh, boundary, non_manifold):
    filter = vtk.vtkFeatureEdges()
    filter.SetInputData(mesh)
    filter.SetBoundaryEdges(boundary)
    filter.SetNonManifoldEdges(non_manifold)
    filter.FeatureEdgesOff()
    filter.ManifoldEdgesOff()
    filter.Update()
    return filter.GetOutput().GetNumberOfCells()


def rings_per_point(triangles, count):
    """The largest number of rings that the triangles around a point form: more than one, and the surface is pinched there."""
    around = [[] for _ in range(count)]
    for a, b, c in triangles.tolist():
        around[a].append((b, c))
        around[b].append((c, a))
        around[c].append((a, b))
    most = 0
    for pairs in around:
        following, rings = dict(pairs), 0
        while following:
            rings += 1
            at = next(iter(following))
            while at in following:
                at = following.pop(at)
        most = max(most, rings)
    return most


def wrong_sides(mesh, points, triangles):
    """Of a sample of triangles, those with the inside before them or the outside behind them."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    # The larger ones: beside a sliver in a fold, a small step may already be on another side.
    candidates = np.argsort(-lengths, kind="stable")[: max(SAMPLED_TRIANGLES, len(lengths) // 2)]
    sample = candidates[:: max(1, len(candidates) // SAMPLED_TRIANGLES)]
    centers = ((a + b + c) / 3)[sample]
    steps = 0.02 * np.sqrt(lengths[sample])[:, None] * normals[sample] / lengths[sample][:, None]
    probes = vtk.vtkPoints()
    probes.SetData(numpy_to_vtk(np.concatenate([centers + steps, centers - steps]), deep=True))
    cloud = vtk.vtkPolyData()
    cloud.SetPoints(probes)
    enclosed = vtk.vtkSelectEnclosedPoints()
    enclosed.SetInputData(cloud)
    enclosed.SetSurfaceData(mesh)
    enclosed.SetTolerance(1e-9)
    enclosed.CheckSurfaceOn()
    enclosed.Update()
    inside = np.array([enclosed.IsInside(at) for at in range(2 * len(sample))], bool)
    return int(inside[: len(sample)].sum() + (~inside[len(sample) :]).sum()), 2 * len(sample)


def check(path, expected):
    mesh, world, failures = read(path)
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
    if mesh.GetPolys().GetNumberOfCells() != len(triangles) or mesh.GetNumberOfCells() != len(triangles):
        failures.append("not all cells are triangles")
    boundary, non_manifold = edges_that(mesh, True, False), edges_that(mesh, False, True)
    if boundary or non_manifold:
        failures.append(f"{boundary} boundary edges, {non_manifold} non-manifold edges")
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    codes = directed[:, 0] * len(points) + directed[:, 1]
    if len(np.unique(codes)) != len(codes):
        failures.append("two triangles go along an edge in the same direction")
    elif (rings := rings_per_point(triangles, len(points))) != 1:
        failures.append(f"the triangles around a point form {rings} rings")
    euler = len(np.unique(triangles)) - len(codes) // 2 + len(triangles)
    if "euler" in expected and euler != expected["euler"]:
        failures.append(f"Euler characteristic {euler}, expected {expected['euler']}")
    properties = vtk.vtkMassProperties()
    properties.SetInputData(mesh)
    properties.Update()
    # VTK's volume has no sign; ours has, and is positive only if the triangles look outward.
    from_center = points - points.mean(axis=0)
    a, b, c = (from_center[triangles[:, corner]] for corner in range(3))
    signed = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    for name, volume in [("by VTK", properties.GetVolume()), ("signed", signed)]:
        if abs(volume / expected["volume_mm3"] - 1) > VOLUME_TOLERANCE:
            failures.append(f"volume {name} {volume:.3f} mm³, that of the voxels {expected['volume_mm3']:.3f} mm³")
    wrong, probes = wrong_sides(mesh, points, triangles)
    if wrong:
        failures.append(f"{wrong} of {probes} places beside triangles are on the wrong side")
    if "world" in expected and world != expected["world"]:
        failures.append(f"the file says {world}, expected {expected['world']}")
    relative = 100 * (signed / expected["volume_mm3"] - 1)
    print(
        f"{'FAILED' if failures else 'ok    '} {path.name}: {len(points)} points, {len(triangles)} triangles, {boundary} boundary and "
        f"{non_manifold} non-manifold edges, Euler {euler}, volume {relative:+.3f} %, {wrong}/{probes} wrong sides, {world}"
    )
    for failure in failures:
        print(f"  {path.name}: {failure}")
    return not failures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    folder = arguments.parse_args().folder
    expected = json.loads((folder / "expected.json").read_text())
    if not expected:
        sys.exit("error: expected.json names no surface")
    print(f"VTK {vtk.vtkVersion.GetVTKVersion()}")
    good = [check(folder / name, what) for name, what in sorted(expected.items())]
    print(f"{sum(good)} of {len(good)} surfaces hold")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
