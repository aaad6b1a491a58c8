"""The file formats of spinect beside the tools that others read and write them with. Run by hand:

    python3 -m venv venv && venv/bin/pip install SimpleITK nibabel pynrrd numpy slicer-core
    cargo build --release --features cli --bin spinect
    venv/bin/python tests/python/formats.py target/release/spinect

SimpleITK and pynrrd write, spinect reads; spinect writes, SimpleITK, pynrrd, nibabel and the MRML library of 3D Slicer
read. Voxels are compared by the SHA-256 that spinect tells of its input, places by the affine that it prints.
"""

import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TO_RAS = {"right-anterior-superior": np.eye(4), "left-posterior-superior": LPS_TO_RAS, "left-anterior-superior": np.diag([-1.0, 1, 1, 1])}
SHORT = {"right-anterior-superior": "RAS", "left-posterior-superior": "LPS", "left-anterior-superior": "LAS"}
TYPES = ["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"]

program = Path(sys.argv[1]).resolve()
folder = Path(tempfile.mkdtemp(prefix="spinect-formats-"))
checks = 0


def check(condition, message):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {message}")


def spinect(*arguments, fails=False):
    result = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    if fails:
        check(result.returncode != 0, f"{arguments} succeeded")
        return result.stderr
    check(result.returncode == 0, f"{arguments}: {result.stderr}")
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def affine_of(image):
    """Index to RAS millimeters of a SimpleITK image, whose world is LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


def voxels_of(image):
    """Indexed i, j, k."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def close(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-5)


def rotation(generator):
    q = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def voxels(generator, dtype, shape=(9, 8, 7)):
    if dtype.startswith("float"):
        return generator.normal(0, 500, shape).astype(dtype)
    info = np.iinfo(dtype)
    return generator.integers(max(info.min, -(2**31)), min(info.max, 2**31 - 1), shape, endpoint=True).astype(dtype)


def segment(name, output, *more):
    return spinect("segment", name, "--model", "model.safetensors", "-o", output, "--force", "--json", *more)


def check_equal_labels(name):
    """spinect reads this label map as it reads out.nii."""
    scores = spinect("evaluate", "--truth", "out.nii", "--prediction", name, "--json")["labels"]
    check(list(scores) == ["bone", "nerve"] and all(label["dice"] == 1.0 for label in scores.values()), f"{name}: {scores}")


def agrees(name, array, affine, dtype):
    """spinect reads this file as these voxels in this place."""
    info = spinect("info", name, "--json")
    check(info["dims"] == list(array.shape) and info["voxel_type"] == dtype, f"{name}: {info}")
    check(close(np.array(info["affine"]).reshape(4, 4), affine), f"{name}: {info['affine']} and not {affine}")
    packed = np.asfortranarray(array.astype(np.dtype(dtype).newbyteorder("<"))).tobytes(order="F")
    told = segment(name, "labels.nii.gz")["input_sha256"]
    check(told == hashlib.sha256(packed).hexdigest(), f"{name}: other voxels")


def what_pynrrd_writes_is_read():
    generator = np.random.default_rng(1)
    for dtype, endian, encoding, space in itertools.product(TYPES, ["little", "big"], ["raw", "gzip"], TO_RAS):
        array = voxels(generator, dtype)
        spacing, origin = generator.uniform(0.4, 3.0, 3), generator.uniform(-300, 300, 3)
        directions = (rotation(generator) * spacing).T  # a row per axis
        named = space if encoding == "raw" else SHORT[space]
        header = {"space": named, "space directions": directions, "space origin": origin, "endian": endian, "encoding": encoding}
        nrrd.write(str(folder / "a.nrrd"), array.astype(np.dtype(dtype).newbyteorder("<" if endian == "little" else ">")), header)
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = directions.T, origin
        agrees("a.nrrd", array, TO_RAS[space] @ affine, dtype)
        if dtype == "int16" and encoding == "raw":  # pynrrd's short names are for itself; ITK takes the long ones
            check(close(affine_of(sitk.ReadImage(str(folder / "a.nrrd"))), TO_RAS[space] @ affine), "SimpleITK places it elsewhere")
    print("pynrrd writes, spinect reads:", len(TYPES) * 12, "files")


def what_simpleitk_writes_is_read():
    generator = np.random.default_rng(2)
    for dtype, compressed, axes in itertools.product(TYPES, [False, True], itertools.permutations(range(3))):
        image = sitk.GetImageFromArray(voxels(generator, dtype).transpose(2, 1, 0))
        direction = np.eye(3)[list(axes)] * generator.choice([-1, 1], 3) if not compressed else rotation(generator)
        image.SetDirection(direction.ravel().tolist())
        image.SetSpacing(generator.uniform(0.4, 3.0, 3).tolist())
        image.SetOrigin(generator.uniform(-300, 300, 3).tolist())
        sitk.WriteImage(image, str(folder / "b.nrrd"), compressed)
        agrees("b.nrrd", voxels_of(image), affine_of(image), dtype)
    print("SimpleITK writes, spinect reads:", len(TYPES) * 12, "files")


def what_is_ambiguous_or_no_volume_is_refused():
    array = np.zeros((4, 3, 2), "int16")
    nrrd.write(str(folder / "c.nrrd"), array, {"spacings": [1, 2, 3]})
    check("space directions" in spinect("info", "c.nrrd", fails=True), "spacings without a space")
    directions = {"space directions": np.eye(3), "space origin": [0, 0, 0]}
    nrrd.write(str(folder / "c.nrrd"), array, {"space dimension": 3, **directions})
    check("left from right" in spinect("info", "c.nrrd", fails=True), "no space")
    nrrd.write(str(folder / "c.nhdr"), array, {"space": "LPS", **directions})
    check("one .nrrd" in spinect("info", "c.nhdr", fails=True), ".nhdr")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), "uint8"), isVector=True), str(folder / "c.nrrd"))
    check("vectors" in spinect("info", "c.nrrd", fails=True), "vectors")


def make_ct():
    """A CT in an oblique place, with what makes an untrained network answer differently from voxel to voxel."""
    generator = np.random.default_rng(3)
    array = np.clip(generator.normal(0, 600, (40, 36, 30)), -1024, 3071).astype("int16")
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetDirection(rotation(generator).ravel().tolist())
    image.SetSpacing([1.1, 0.9, 1.3])
    image.SetOrigin([-31.25, 12.5, 100.75])
    for name in ["ct.nrrd", "ct.nii.gz"]:
        sitk.WriteImage(image, str(folder / name), True)
    return image


def what_spinect_writes_is_read(ct):
    labels = {}
    for name in ["out.nii", "out.nii.gz", "out.nrrd", "out.seg.nrrd"]:
        result = segment("ct.nrrd", name, "--confidence", "confidence" + ("".join(Path(name).suffixes)).replace(".seg", ""))
        image = sitk.ReadImage(str(folder / name))
        check(image.GetPixelIDTypeAsString() == "8-bit unsigned integer", f"{name}: {image.GetPixelIDTypeAsString()}")
        check(close(affine_of(image), affine_of(ct)), f"{name} lies elsewhere")
        labels[name] = voxels_of(image)
        for label in result["labels"]:
            check((labels[name] == label["value"]).sum() == label["voxels"], f"{name}: {label}")
    first = labels["out.nii"]
    check(len(np.unique(first)) > 1, "the network says one thing everywhere: nothing is tested")
    check(all((other == first).all() for other in labels.values()), "formats differ")
    for name in ["out.nii", "out.nii.gz"]:
        image = nibabel.load(folder / name)
        check((np.asarray(image.dataobj) == first).all() and close(image.affine, affine_of(ct)), f"{name} in nibabel")
        offset = image.dataobj.offset
        check(offset % 16 == 0 and offset > 352, f"{name}: the voxels begin at {offset}")
        # As TotalSegmentator's load_multilabel_nifti does.
        root = ElementTree.fromstring(image.header.extensions[0].get_content())
        names = [(label.get("Key"), label.text) for label in root.find("VolumeInformation/LabelTable")]
        check(names == [("0", "background"), ("1", "bone"), ("2", "nerve")], f"{names}")
    for name in ["out.nrrd", "out.seg.nrrd"]:
        array, header = nrrd.read(str(folder / name))
        check((array == first).all() and header["kinds"] == ["domain"] * 3, f"{name} in pynrrd")
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
        check(close(TO_RAS[header["space"]] @ affine, affine_of(ct)), f"{name} lies elsewhere in pynrrd")
        check(header["Segment0_Name"] == "bone" and "Segment2_ID" not in header, f"{name}: segments")
    plain, packed = sitk.ReadImage(str(folder / "confidence.nrrd")), sitk.ReadImage(str(folder / "confidence.nii.gz"))
    check((voxels_of(plain) == voxels_of(packed)).all() and close(affine_of(plain), affine_of(ct)), "confidence.nrrd")
    check(plain.GetPixelIDTypeAsString() == "32-bit float", "confidence.nrrd is float32")
    # The same CT as .nii.gz and as .nrrd: the same input and the same labels.
    [a, b] = [segment(name, f"{name}.seg.nrrd") for name in ["ct.nrrd", "ct.nii.gz"]]
    check(a["input_sha256"] == b["input_sha256"], "ct.nrrd and ct.nii.gz")
    # spinect reads its own label maps as images, and compares them.
    for name in ["out.nrrd", "out.seg.nrrd"]:
        check_equal_labels(name)
    print("spinect writes, SimpleITK, nibabel and pynrrd read: 4 label maps, 2 confidences")
    return first


def load_in_slicer(path):
    import slicer

    scene = slicer.vtkMRMLScene()
    node, storage = slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    check(storage.ReadData(node) == 1, f"3D Slicer does not read {path}")
    return scene, node


def array_in_slicer(node, segment_id):
    """A segment's voxels as 0 and 1 on the extent of its layer, indexed i, j, k, with that extent."""
    from vtk.util.numpy_support import vtk_to_numpy

    segment = node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation("Binary labelmap")
    extent = image.GetExtent()
    shape = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in range(3)]
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape, order="F")
    return values == segment.GetLabelValue(), extent, image


def what_spinect_writes_3d_slicer_loads(ct, labels):
    import vtk

    for name in ["out.seg.nrrd", "out.nrrd"]:
        scene, node = load_in_slicer(folder / name)
        segmentation = node.GetSegmentation()
        ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
        check(ids == ["Segment_1", "Segment_2"], f"{ids}")
        expected = {
            "Segment_1": (1, "bone", [241, 214, 145], "SCT^85756007^Tissue~SCT^272673000^Bone"),
            "Segment_2": (2, "nerve", [244, 214, 49], "SCT^85756007^Tissue~SCT^119410002^Nerve"),
        }
        for segment_id, (value, told, color, codes) in expected.items():
            segment = segmentation.GetSegment(segment_id)
            check((segment.GetName(), segment.GetLabelValue()) == (told, value), f"{segment.GetName()} {segment.GetLabelValue()}")
            check(np.allclose(np.array(segment.GetColor()) * 255, color, atol=0.01), f"{told}: {segment.GetColor()}")
            check(not segment.GetNameAutoGenerated() and not segment.GetColorAutoGenerated(), "made by somebody")
            entry = vtk.reference("")
            check(segment.GetTag("TerminologyEntry", entry), f"{told} has no terminology")
            start = "Segmentation category and type - 3D Slicer General Anatomy list~"
            check(str(entry) == f"{start}{codes}~^^~Anatomic codes - DICOM master list~^^~^^", f"{entry}")
            voxels, extent, image = array_in_slicer(node, segment_id)
            check(extent == (0, 39, 0, 35, 0, 29) and (voxels == (labels == value)).all(), f"{told}: other voxels")
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
            check(close(affine, affine_of(ct)), f"{told} lies elsewhere: {affine}")
        check(segmentation.GetConversionParameter("Reference image geometry").endswith(";0;39;0;35;0;29;"), "no reference geometry")
        # Written again by 3D Slicer, spinect reads the same voxels.
        again = f"again-{name}"
        storage = [scene.GetNthNodeByClass(n, "vtkMRMLSegmentationStorageNode") for n in range(1)][0]
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(folder / again))
        check(storage.WriteData(node) == 1, f"3D Slicer does not write {again}")
        spinect("info", again, "--json")
        check((voxels_of(sitk.ReadImage(str(folder / again))) == labels).all(), f"{again}: other voxels")
        check_equal_labels(again)
    print("spinect writes, 3D Slicer loads and writes again: names, colors, terminology, voxels, place")


spinect("init", "--preset", "spinect", "--channels", "4,8,16,32,64", "-o", "model.safetensors")
what_pynrrd_writes_is_read()
what_simpleitk_writes_is_read()
what_is_ambiguous_or_no_volume_is_refused()
ct = make_ct()
labels = what_spinect_writes_is_read(ct)
what_spinect_writes_3d_slicer_loads(ct, labels)
print(f"{checks} checks passed")
