#!/usr/bin/env python3
"""Proof by hand that DICOM series are read as others read them.

Makes series with pydicom from the real CT of the shared data folder (environment variable SPINECT_SHARED, else ../shared
beside the repository), in several orientations, transfer syntaxes and ways to store numbers, under shuffled file names. Each
is read by `spinect image` and by SimpleITK's ImageSeriesReader; dimensions, affine and Hounsfield units of every voxel must
agree. Then series that must be refused, and every test file of pydicom, whole and cut off: read, or refused in one line.

    python3 -m venv venv && venv/bin/pip install pydicom SimpleITK nibabel numpy pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg
    cargo build --release --features cli,dicom
    venv/bin/python tests/python/dicom_series.py [path of the program]
"""

import copy
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pydicom.data
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/release/spinect"
SHARED = Path(os.environ.get("SPINECT_SHARED", ROOT.parent / "shared"))
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
random.seed(7)
passed = 0


def check(condition, what):
    global passed
    if not condition:
        sys.exit(f"FAILED: {what}")
    passed += 1


def real_ct():
    """Hounsfield units [i, j, k] and index to LPS mm; a part of the CT, so that the whole takes a minute."""
    image = nibabel.load(SHARED / "data/ct-abdomen-pelvis-3mm.nii.gz")
    voxels = np.asarray(image.dataobj)[20:83, 30:80, 15:37]
    start = np.eye(4)
    start[:3, 3] = [20, 30, 15]
    check(voxels.min() < -500 and voxels.max() > 500, "the CT has air and bone")
    return np.rint(voxels).astype(int), RAS_TO_LPS @ image.affine @ start


def turned(voxels, affine, axes, flips):
    """The same anatomy with its array axes in another order and direction."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips)):
        change[old, new] = -1 if flip else 1
        change[old, 3] = voxels.shape[old] - 1 if flip else 0
    voxels = np.transpose(voxels, axes)
    for axis, flip in enumerate(flips):
        voxels = np.flip(voxels, axis) if flip else voxels
    return voxels, affine @ change


def rotated(affine, degrees):
    """The affine after turns about x, y and z."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    result = affine.copy()
    result[:3] = turn @ affine[:3]
    return result


def decimal(values):
    return [f"{value:.10f}"[:16] for value in values]


def jpeg_lossless(data, stored):
    """PixelData as GDCM encodes it in JPEG Lossless."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "a.dcm")
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(path)
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(stored))
        encoded = pydicom.dcmread(path)
        check(encoded.file_meta.TransferSyntaxUID == JPEGLosslessSV1, "GDCM writes JPEG Lossless")
        data.PixelData = encoded.PixelData
        data["PixelData"].is_undefined_length = True
        data["PixelData"].VR = "OB"
        data.BitsStored, data.HighBit = encoded.BitsStored, encoded.HighBit
        data.PixelRepresentation = encoded.PixelRepresentation


def write_series(folder, voxels, affine, syntax=ExplicitVRLittleEndian, signed=True, bits=16, rescale=lambda k: (1, -1024), change=None):
    """Writes a series under shuffled names, slices in an order that neither names nor instance numbers tell."""
    folder.mkdir(parents=True, exist_ok=True)
    uid, study, frame = generate_uid(), generate_uid(), generate_uid()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    row, column = affine[:3, 0] / spacing[0], affine[:3, 1] / spacing[1]
    names = random.sample(range(1000, 9999), voxels.shape[2])
    for k, name in enumerate(names):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Modality, data.SeriesDescription, data.PatientName = "CT", "proof", "Nobody^Here"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, uid, frame
        data.InstanceNumber = name
        data.PatientPosition = "HFS"
        data.SliceThickness = f"{spacing[2]:.4f}"
        data.ImagePositionPatient = decimal((affine @ [0, 0, k, 1])[:3])
        data.ImageOrientationPatient = decimal([*row, *column])
        data.PixelSpacing = decimal([spacing[1], spacing[0]])
        data.Columns, data.Rows = voxels.shape[0], voxels.shape[1]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
        data.PixelRepresentation = int(signed)
        slope, intercept = rescale(k)
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = str(slope), str(intercept), "HU"
        stored = np.rint((voxels[:, :, k].T - intercept) / slope)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        stored = np.clip(stored, low, high).astype("<i2" if signed else "<u2")
        data.PixelData = np.ascontiguousarray(stored).tobytes()
        data["PixelData"].VR = "OW"
        # A private sequence of undefined length, as many scanners add.
        private = data.private_block(0x0009, "SPINECT PROOF", create=True)
        private.add_new(0x01, "SQ", [copy.deepcopy(pydicom.Dataset())])
        data[private.get_tag(0x01)].is_undefined_length = True
        if change:
            change(data, k)
        if syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
            data.compress(syntax, generate_instance_uid=False)
        elif syntax == JPEGLosslessSV1:
            jpeg_lossless(data, stored)
        meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        explicit, little = syntax != ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
            pydicom.dcmwrite(folder / f"{name}", data, enforce_file_format=True, implicit_vr=not explicit, little_endian=little)
        else:
            pydicom.dcmwrite(folder / f"{name}", data, enforce_file_format=True)
    return uid


def spinect(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    check(result.returncode in (0, 1), f"{arguments}: exit status {result.returncode}: {result.stderr}")
    check(result.returncode == 0 or len(result.stderr.splitlines()) == 1, f"{arguments}: {result.stderr}")
    check("please report" not in result.stderr and "panick" not in result.stderr, f"{arguments}: {result.stderr}")
    return result


def read_by_spinect(folder, *options):
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "ct.nii.gz"
        result = spinect("image", folder, "-o", output, *options)
        check(result.returncode == 0, f"{folder}: {result.stderr}")
        image = nibabel.load(output)
        return image.get_fdata(), RAS_TO_LPS @ image.affine


def read_by_itk(folder):
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder))
    reader.SetFileNames(names)
    # Hounsfield units as floating point, because files may differ in rescale.
    reader.SetOutputPixelType(sitk.sitkFloat64)
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, affine


def compare(name, folder):
    ours, our_affine = read_by_spinect(folder)
    theirs, their_affine = read_by_itk(folder)
    check(ours.shape == theirs.shape, f"{name}: {ours.shape} voxels, ITK {theirs.shape}")
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*(n - 1 for n in ours.shape), 1]
    apart = np.abs(corners @ (our_affine - their_affine).T).max()
    # NIfTI-1 holds an affine in 32 bits.
    check(apart < 1e-3, f"{name}: corners up to {apart} mm apart")
    wrong = np.abs(ours - theirs).max()
    check(wrong < 1e-3, f"{name}: up to {wrong} HU apart")
    print(f"{name:44} {ours.shape}  corners within {apart:.1e} mm, voxels within {wrong:.1e} HU")
    return ours


def agreement(place, voxels, affine):
    axial = turned(voxels, affine, (0, 1, 2), (affine[0, 0] < 0, affine[1, 1] < 0, affine[2, 2] < 0))
    orientations = {
        "axial": axial,
        "axial, feet first": turned(*axial, (0, 1, 2), (True, False, True)),
        "axial, prone": turned(*axial, (0, 1, 2), (True, True, False)),
        "axial, mirrored rows": turned(*axial, (0, 1, 2), (False, True, False)),
        "sagittal": turned(*axial, (1, 2, 0), (False, True, False)),
        "coronal": turned(*axial, (0, 2, 1), (False, True, False)),
        "coronal, backwards": turned(*axial, (2, 0, 1), (True, False, True)),
        "oblique": (axial[0], rotated(axial[1], (12, -7, 21))),
        "oblique sagittal": (lambda v, a: (v, rotated(a, (3, 25, -14))))(*turned(*axial, (1, 2, 0), (True, True, True))),
    }
    for name, (turned_voxels, turned_affine) in orientations.items():
        folder = place / name
        write_series(folder, turned_voxels, turned_affine)
        ours = compare(name, folder)
        check(ours.shape == turned_voxels.shape and abs(ours.sum() - turned_voxels.sum()) < 1, f"{name}: the CT itself")
    syntaxes = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEG2000Lossless)
    for syntax in syntaxes:
        for signed in (True, False):
            name = f"{UID(syntax).name.split(',')[0]}, {'signed' if signed else 'unsigned'}"
            folder = place / name
            write_series(folder, *axial, syntax=syntax, signed=signed, bits=16)
            ours = compare(name, folder)
            check(np.abs(ours - np.clip(axial[0], -1024 if not signed else -40000, 40000)).max() == 0, f"{name}: the CT itself")
    cases = {
        "12 bits stored, signed": dict(bits=12, signed=True, rescale=lambda k: (1, 0)),
        "12 bits stored, unsigned": dict(bits=12, signed=False),
        "12 bits stored, signed, JPEG 2000": dict(bits=12, signed=True, rescale=lambda k: (1, 0), syntax=JPEG2000Lossless),
        "intercept differs between slices": dict(rescale=lambda k: (1, -1000 - k)),
        "slope differs between slices": dict(rescale=lambda k: (0.5 + k / 64, -1024)),
        "slope 2": dict(rescale=lambda k: (2, -1024)),
    }
    for name, options in cases.items():
        write_series(place / name, *axial, **options)
        compare(name, place / name)
    return axial


def refusals(place, voxels, affine):
    def refused(name, words, folder=None, **options):
        folder = folder or place / name
        if not folder.exists():
            write_series(folder, voxels, affine, **options)
        if name == "a missing slice":
            at = [path for path in folder.iterdir() if float(pydicom.dcmread(path).ImagePositionPatient[2]) == middle][0]
            at.unlink()
        for command in (("info", folder), ("image", folder, "-o", place / "no.nii.gz")):
            result = spinect(*command)
            check(result.returncode == 1 and all(word in result.stderr for word in words), f"{name}: {result.stderr or 'not refused'}")
        check(not (place / "no.nii.gz").exists(), f"{name}: a file was left")
        print(f"{name:28} {result.stderr.strip().replace(str(place), '')[:200]}")

    def put(tag, value, where=lambda k: k == 5):
        return lambda data, k: setattr(data, tag, value) if where(k) else None

    middle = float(decimal((affine @ [0, 0, 8, 1])[:3])[2])
    refused("a missing slice", ["mm apart", "missing"])
    refused("a slice twice", ["same position"], change=put("ImagePositionPatient", decimal((affine @ [0, 0, 4, 1])[:3])))
    shift = lambda data, k: setattr(data, "ImagePositionPatient", decimal((affine @ [0, 0, k, 1])[:3] + [0, 0.3 * k, 0]))
    refused("a tilted gantry", ["tilted"], change=shift)
    refused("no CT", ["modality", "MR"], change=put("Modality", "MR", lambda k: True))
    refused("another spacing", ["PixelSpacing"], change=put("PixelSpacing", ["1.0", "1.0"]))
    refused("another frame of reference", ["FrameOfReferenceUID"], change=put("FrameOfReferenceUID", generate_uid()))
    refused("another orientation", ["ImageOrientationPatient"], change=put("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"]))
    refused("many frames", ["one slice per file"], change=put("NumberOfFrames", 2, lambda k: True))
    refused("JPEG-LS", ["JPEG-LS", "not decoded"], syntax=JPEGLSLossless) if can_encode(JPEGLSLossless) else None
    refused("gray turned around", ["MONOCHROME1"], change=put("PhotometricInterpretation", "MONOCHROME1", lambda k: True))
    refused("no intercept", ["RescaleIntercept"], change=lambda data, k: delattr(data, "RescaleIntercept"))

    both = place / "two series"
    first = write_series(both, voxels, affine)
    second = write_series(both, voxels[:, :, :7], affine)
    refused("two series", ["holds 2 series", first, second, "7 files", "proof"], folder=both)
    chosen, _ = read_by_spinect(both, "--series", second)
    check(chosen.shape[2] == 7, "the series that was chosen")
    (both / "notes.txt").write_text("no DICOM")
    info = spinect("info", both, "--series", first, "--json")
    check('"other_series": 7' in info.stdout and '"not_dicom": 1' in info.stdout, f"what was skipped: {info.stdout}{info.stderr}")


def can_encode(syntax):
    return pydicom.pixels.get_encoder(syntax).is_available


def test_files_of_pydicom(place):
    read = refused = 0
    decoded = 0
    files = sorted(path for path in (Path(pydicom.data.DATA_ROOT) / "test_files").rglob("*") if path.is_file())
    for path in files:
        folder = place / "one"
        folder.mkdir(exist_ok=True)
        original = path.read_bytes()
        lengths = [len(original), *(int(len(original) * share) for share in (0.03, 0.2, 0.5, 0.9, 0.999)), len(original) - 1]
        for length in lengths if len(original) < 3_000_000 else lengths[:1]:
            (folder / "a").write_bytes(original[:length])
            result = spinect("info", folder)
            read, refused = read + (result.returncode == 0), refused + (result.returncode == 1)
        # As a CT of two slices, so that its voxels are decoded, whole and cut off.
        try:
            data = pydicom.dcmread(path)
            expected = data.pixel_array
        except Exception:
            continue
        finally:
            (folder / "a").unlink()
        if expected.ndim != 2 or data.get("BitsAllocated") != 16:
            continue
        data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.RescaleSlope, data.RescaleIntercept, data.PixelSpacing = "1", "0", ["1", "1"]
        data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        for tag in ("RescaleType", "NumberOfFrames", "ModalityLUTSequence"):
            if tag in data:
                del data[tag]
        for k in range(2):
            data.ImagePositionPatient = ["0", "0", str(k)]
            data.save_as(folder / f"{k}")
        result = spinect("image", folder, "-o", place / "two.nii", "--force")
        if result.returncode == 0:
            ours = nibabel.load(place / "two.nii").get_fdata()
            wrong = np.abs(ours[:, :, 0] - expected.T).max()
            # The lossy wavelet is computed in floating point: decoders may round to either side.
            bound = 1 if data.file_meta.TransferSyntaxUID == JPEG2000 else 0
            check(ours.shape[2] == 2 and wrong <= bound, f"{path.name}: voxels up to {wrong} from those of pydicom")
            decoded += 1
            print(f"{path.name:44} {data.file_meta.TransferSyntaxUID.name[:50]}: within {wrong:.0f} of pydicom")
            whole = (folder / "1").read_bytes()
            for length in [int(len(whole) * n / 40) for n in range(40)] + [len(whole) - n for n in range(1, 9)]:
                (folder / "1").write_bytes(whole[:length])
                spinect("image", folder, "-o", place / "two.nii", "--force")
        else:
            print(f"{path.name:44} {result.stderr.strip().replace(str(folder), '')[:120]}")
        for k in range(2):
            (folder / f"{k}").unlink()
    print(f"{len(files)} files of pydicom: whole and cut off, {read} read, {refused} refused; {decoded} decoded as pydicom does")
    check(decoded >= 5, "some were decoded")


def main():
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        axial = agreement(place, *real_ct())
        refusals(place / "refused", *axial)
        test_files_of_pydicom(place)
    print(f"passed: {passed} checks")


main()
