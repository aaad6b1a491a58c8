"""The command line module of 3D Slicer, run by 3D Slicer's own libraries, without its window. Run by hand:

    python3.11 -m venv venv && venv/bin/pip install SimpleITK numpy slicer-core
    cargo build --release --features cli && ln -sf libspinect.so target/release/libspinect.so.1
    c++ -std=c++17 -Iinclude c_examples/slicer/SpinectSegmentation/SpinectSegmentation.cpp -Ltarget/release -lspinect \
        -Wl,-rpath,"$PWD/target/release" -o SpinectSegmentation
    venv/bin/python tests/python/slicer_module.py target/release/spinect ./SpinectSegmentation models/demonstration.safetensors CT

CT is any CT with bone (.nii.gz, .nrrd); a small one will do. It is stored in eight orientations and an oblique one, loaded into
a scene (what is left-handed, made in it: 3D Slicer turns it round when it reads a file), and segmented by the module as 3D Slicer
does it: vtkSlicerCLIModuleLogic parses the answer to --xml, writes the volume,
runs the program, follows its progress, and reads the segmentation. That is compared voxel by voxel with the command line.
"""

import ctypes
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATIONS = ["LPS", "RAS", "RAI", "LAS", "PSL", "SRA", "AIR", "ILP"]
program, module, model, ct_file = (Path(argument).resolve() for argument in sys.argv[1:5])
folder = Path(tempfile.mkdtemp(prefix="spinect-slicer-"))
checks = 0


def check(condition, message):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {message}")


# ------------------------------------------------------------------------------------------------------ 3D Slicer's parser


class Description:
    """A description as 3D Slicer's parser reads it. Python is not offered that class, so its C++ is called by its names; the
    strings are those of the wheel's C++ library, a pointer each."""

    def __init__(self, xml):
        libraries = Path(slicer.__file__).parent.parent / "slicer_core"
        self.parser = ctypes.CDLL(str(libraries / "third_party.libs/libModuleDescriptionParser.so"))
        self.nodes = ctypes.CDLL(str(libraries / "libMRMLCLI.so"))
        self.standard = ctypes.CDLL("libstdc++.so.6")
        self.memory = ctypes.create_string_buffer(1 << 16)
        self.parser._ZN17ModuleDescriptionC1Ev(self.memory)
        self.status = self.parser._ZN23ModuleDescriptionParser5ParseERKSsR17ModuleDescription(
            ctypes.create_string_buffer(8), self.text(xml), self.memory
        )

    def text(self, value):
        string, allocator = ctypes.create_string_buffer(16), ctypes.create_string_buffer(8)
        self.standard._ZNSsC1EPKcRKSaIcE(string, ctypes.c_char_p(value.encode()), allocator)
        return string

    def register(self, target):
        self.parser._ZN17ModuleDescription7SetTypeERKSs(self.memory, self.text("CommandLineModule"))
        self.parser._ZN17ModuleDescription9SetTargetERKSs(self.memory, self.text(str(target)))
        self.parser._ZN17ModuleDescription11SetLocationERKSs(self.memory, self.text(str(target)))
        self.nodes._ZN28vtkMRMLCommandLineModuleNode25RegisterModuleDescriptionE17ModuleDescription(self.memory)


def description_is_what_3d_slicer_parses():
    answer = subprocess.run([module, "--xml"], capture_output=True, text=True)
    check(answer.returncode == 0 and answer.stderr == "", f"--xml: {answer}")
    check(answer.stdout.startswith("<?xml"), "the answer to --xml does not begin as XML")
    check(Description(answer.stdout.replace("</file>", "</fille>")).status != 0, "the parser takes anything")
    description = Description(answer.stdout)
    check(description.status == 0, f"3D Slicer's parser says {description.status}")
    description.register(module)
    node = slicer.vtkMRMLCommandLineModuleNode()
    node.SetModuleDescription("Spinect Segmentation")
    groups = range(node.GetNumberOfParameterGroups())
    read = {}
    for group in groups:
        for n in range(node.GetNumberOfParametersInGroup(group)):
            tag, channel = node.GetParameterTag(group, n), node.GetParameterChannel(group, n)
            told = node.GetParameterIndex(group, n) or node.GetParameterLongFlag(group, n)
            read[node.GetParameterName(group, n)] = (tag, channel, told, node.GetParameterCoordinateSystem(group, n))
    check(
        read
        == {
            "inputVolume": ("image", "input", "0", ""),
            "outputSegmentation": ("image", "output", "1", ""),
            "model": ("file", "input", "model", ""),
            "region": ("region", "", "region", "ras"),
            "point": ("point", "", "point", "ras"),
            "structure": ("string", "", "structure", ""),
            "distance": ("double", "output", "", ""),
            "volume": ("double", "output", "", ""),
            "warnings": ("string", "output", "", ""),
            "device": ("string-enumeration", "", "device", ""),
            "threads": ("integer", "", "threads", ""),
        },
        f"3D Slicer reads {read}",
    )
    print(f"3D Slicer's parser reads the description: {len(read)} parameters in {len(groups)} groups")


# ------------------------------------------------------------------------------------------------------ scenes and volumes


def affine_of(matrix):
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def close(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-4)


def voxels_of(image):
    """Indexed i, j, k."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def sitk_affine(image):
    """Index to RAS millimeters of a SimpleITK image, whose world is LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


class Scene:
    """A scene, and the logics that 3D Slicer has about it."""

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        for name in ["vtkMRMLSelectionNode", "vtkMRMLInteractionNode"]:
            self.scene.AddNewNodeByClass(name)
        self.scene.SetCacheManager(slicer.vtkCacheManager())  # without it, reading a result crashes
        self.scene.RegisterNodeClass(slicer.vtkMRMLCommandLineModuleNode())
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetTemporaryPath(str(folder))
        self.application.SetMRMLScene(self.scene)
        self.application.CreateProcessingThread()  # without it, no result is ever read
        self.segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
        self.segmentations.SetMRMLScene(self.scene)
        self.logic = slicer.vtkSlicerCLIModuleLogic()
        self.logic.SetMRMLApplicationLogic(self.application)
        self.logic.SetMRMLScene(self.scene)

    def close(self):
        self.application.TerminateProcessingThread()

    def add(self, name):
        node = self.scene.AddNewNodeByClass(name)
        check(node is not None, f"no {name} in this scene")
        return node

    def load(self, path):
        """A volume from a file, by the storage node that 3D Slicer takes."""
        node, storage = self.add("vtkMRMLScalarVolumeNode"), self.add("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(path))
        check(storage.ReadData(node) == 1, f"3D Slicer does not load {path}")
        return node

    def make(self, image):
        """A volume from an image, as it is: what 3D Slicer reads from a file becomes right-handed."""
        node, voxels, matrix = self.add("vtkMRMLScalarVolumeNode"), vtk.vtkImageData(), vtk.vtkMatrix4x4()
        voxels.SetDimensions(*image.GetSize())
        voxels.GetPointData().SetScalars(numpy_to_vtk(sitk.GetArrayFromImage(image).ravel(), deep=True))
        matrix.DeepCopy(sitk_affine(image).ravel())
        node.SetAndObserveImageData(voxels)
        node.SetIJKToRASMatrix(matrix)
        return node

    def run(self, ct, output, **parameters):
        """The module on a volume; the node of the run."""
        node = self.add("vtkMRMLCommandLineModuleNode")
        node.SetModuleDescription("Spinect Segmentation")
        node.SetParameterAsNode("inputVolume", ct)
        node.SetParameterAsNode("outputSegmentation", output)
        node.SetParameterAsString("model", str(model))
        node.SetParameterAsString("device", "cpu")
        for name, value in parameters.items():
            setter = node.SetParameterAsString if isinstance(value, str) else node.SetParameterAsNode
            setter(name, value)
        self.logic.ApplyAndWait(node, False)
        return node

    def segment(self, ct, output, **parameters):
        node = self.run(ct, output, **parameters)
        check(node.GetStatus() == node.Completed and not node.GetErrorText(), f"{node.GetStatusString()}: {node.GetErrorText()}")
        return node


def labels_of(node):
    """A segmentation's labels, indexed i, j, k, on the extent of its label map, and where that lies."""
    image = node.GetBinaryLabelmapInternalRepresentation("Segment_1")
    extent = image.GetExtent()
    shape = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in range(3)]
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape, order="F"), extent, affine_of(matrix)


def on_grid(array, affine, shape, other):
    """An array on another grid of the same voxels: only the order of the axes, and which way they lead, may be another."""
    places = np.linalg.inv(affine) @ other
    index = np.einsum("ab,bijk->aijk", places[:3, :3], np.indices(shape)) + places[:3, 3].reshape(3, 1, 1, 1)
    whole = np.rint(index)
    limits = np.array(array.shape).reshape(3, 1, 1, 1)
    check(np.abs(index - whole).max() < 1e-3 and (whole >= 0).all() and (whole < limits).all(), f"not the same voxels: {places}")
    return array[tuple(whole.astype(int))]


def command_line(ct, name):
    """The labels by the command line."""
    arguments = [program, "segment", ct, "--model", model, "-o", folder / name, "--device", "cpu", "--force"]
    result = subprocess.run(arguments, capture_output=True, text=True)
    check(result.returncode == 0, result.stderr)
    return sitk.ReadImage(str(folder / name))


# ------------------------------------------------------------------------------------------------------------------- the checks

EXPECTED = {
    "Segment_1": (1, "bone", [241, 214, 145], "SCT^85756007^Tissue~SCT^272673000^Bone"),
    "Segment_2": (2, "nerve", [244, 214, 49], "SCT^85756007^Tissue~SCT^119410002^Nerve"),
}


def check_segments(node):
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    check(ids == list(EXPECTED), f"{ids}")
    for segment_id, (value, name, color, codes) in EXPECTED.items():
        segment = segmentation.GetSegment(segment_id)
        check((segment.GetName(), segment.GetLabelValue()) == (name, value), f"{segment.GetName()} {segment.GetLabelValue()}")
        check(np.allclose(np.array(segment.GetColor()) * 255, color, atol=0.01), f"{name}: {segment.GetColor()}")
        start = "Segmentation category and type - 3D Slicer General Anatomy list~"
        check(segment.GetTerminology() == f"{start}{codes}~^^~Anatomic codes - DICOM master list~^^~^^", segment.GetTerminology())


def every_orientation_gives_the_labels_of_the_command_line(original):
    for n, orientation in enumerate([*ORIENTATIONS, "oblique"]):
        if orientation == "oblique":
            image = sitk.Image(original)
            turn = sitk.VersorTransform([0.2, -0.1, 0.3], 0.35).GetMatrix()
            image.SetDirection((np.array(turn).reshape(3, 3) @ np.array(original.GetDirection()).reshape(3, 3)).ravel().tolist())
        else:
            image = sitk.DICOMOrient(original, orientation)
        stored = folder / f"ct-{orientation}{['.nrrd', '.nii.gz'][n % 2]}"
        sitk.WriteImage(image, str(stored))
        scene = Scene()
        right_handed = np.linalg.det(sitk_affine(image)[:3, :3]) > 0
        ct, output = scene.load(stored) if right_handed else scene.make(image), scene.add("vtkMRMLSegmentationNode")
        matrix = vtk.vtkMatrix4x4()
        ct.GetIJKToRASMatrix(matrix)
        check(close(affine_of(matrix), sitk_affine(image)), f"{orientation}: 3D Slicer has the CT elsewhere")
        scene.segment(ct, output)
        check_segments(output)
        labels, extent, affine = labels_of(output)
        expected = command_line(stored, f"labels-{orientation}.nii.gz")
        check(sorted(extent[1::2]) == sorted(size - 1 for size in image.GetSize()) and not any(extent[::2]), f"{orientation}: {extent}")
        differ = int((labels != on_grid(voxels_of(expected), sitk_affine(expected), labels.shape, affine)).sum())
        check(differ == 0, f"{orientation}: {differ} voxels differ from the command line")
        counts = [int((labels == value).sum()) for value in range(3)]
        check(counts[1] > 100, f"{orientation}: {counts}: hardly any bone, nothing is tested")
        if orientation == ORIENTATIONS[0]:
            first = expected
        elif orientation != "oblique":
            back = voxels_of(sitk.DICOMOrient(expected, ORIENTATIONS[0]))
            check((back == voxels_of(first)).all(), f"{orientation}: another answer than for {ORIENTATIONS[0]}")
        check(output.CreateClosedSurfaceRepresentation(), f"{orientation}: no closed surface")
        surface = output.GetClosedSurfaceInternalRepresentation("Segment_1")
        bounds, where = np.array(surface.GetBounds()).reshape(3, 2), np.argwhere(labels == 1)
        centers = (affine[:3, :3] @ where.T).T + affine[:3, 3]
        reach = np.abs(affine[:3, :3]).sum(axis=1)
        inside = (bounds[:, 0] >= centers.min(axis=0) - reach).all() and (bounds[:, 1] <= centers.max(axis=0) + reach).all()
        check(surface.GetNumberOfPolys() > 100 and inside, f"{orientation}: the surface lies at {bounds}")
        # Saved by 3D Slicer, read by spinect: the same labels.
        storage, saved = scene.add("vtkMRMLSegmentationStorageNode"), folder / f"saved-{orientation}.seg.nrrd"
        output.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(saved))
        check(storage.WriteData(output) == 1, f"{orientation}: 3D Slicer does not save")
        arguments = [program, "evaluate", "--truth", folder / f"labels-{orientation}.nii.gz", "--prediction", saved, "--json"]
        scores = json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)["labels"]
        check(scores["bone"]["dice"] == 1.0, f"{orientation}: saved and read: {scores}")
        scene.close()
        made = stored.suffix if right_handed else "made"
        print(f"{orientation:8} {made:5} {counts[1]:6} bone, {counts[2]:5} nerve, {differ} voxels differ from the command line")
    return first


def points_regions_and_label_maps(original):
    stored = folder / "ct-PSL.nrrd"
    scene = Scene()
    ct, output = scene.load(stored), scene.add("vtkMRMLSegmentationNode")
    # A point to the patient's right of all bone, in RAS.
    labels = command_line(stored, "labels.nii.gz")
    bone = np.argwhere(voxels_of(labels) == 1)
    affine = sitk_affine(labels)
    centers = (affine[:3, :3] @ bone.T).T + affine[:3, 3]
    point = centers[centers[:, 0].argmax()] + [25.0, 1.5, -2.0]
    fiducials = scene.add("vtkMRMLMarkupsFiducialNode")
    fiducials.AddControlPoint(vtk.vtkVector3d(*(point + [40, 0, 0])))
    fiducials.AddControlPoint(vtk.vtkVector3d(*point))
    run = scene.segment(ct, output, point=fiducials, structure="bone")
    text = ",".join(f"{value:.6g}" for value in point)
    query = [program, "query", folder / "labels.nii.gz", "--point", text, "--label", "bone", "--json"]
    answer = json.loads(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
    told = float(run.GetParameterAsString("distance"))
    check(abs(told - answer["distance_mm"]) < 1e-3 and 15 < told < 30, f"{told} mm and not {answer['distance_mm']} mm")
    volume = float(run.GetParameterAsString("volume"))
    check(abs(volume - len(bone) * np.prod(labels.GetSpacing()) / 1000) < 0.01, f"{volume} ml")
    check("model_not_clinical" in run.GetParameterAsString("warnings"), run.GetParameterAsString("warnings"))
    check("filter-" not in run.GetOutputText() and "bone" in run.GetOutputText(), run.GetOutputText())
    print(f"a fiducial's distance: {told:.3f} mm, by the query of the command line {answer['distance_mm']:.3f} mm; {volume:.1f} ml")

    # A region: in the box as in the whole, and less of it outside. A box to one side tells left from right.
    whole, _, affine = labels_of(output)
    middle = centers.mean(axis=0)
    roi = scene.add("vtkMRMLMarkupsROINode")
    roi.SetCenter(*(middle + [30.0, 5.0, 0.0]))
    roi.SetSize(30.0, 40.0, 30.0)
    part_node = scene.add("vtkMRMLSegmentationNode")
    scene.segment(ct, part_node, region=roi)
    part, _, _ = labels_of(part_node)
    places = np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(whole.shape)) + affine[:3, 3].reshape(3, 1, 1, 1)
    offset = np.abs(places - (middle + [30.0, 5.0, 0.0]).reshape(3, 1, 1, 1))
    inside = (offset <= np.array([15.0, 20.0, 15.0]).reshape(3, 1, 1, 1)).all(axis=0)
    check((part[inside] == whole[inside]).all() and (whole[inside] > 0).any(), "in the region, the labels are others")
    check((part > 0).sum() < (whole > 0).sum(), "the region is the whole")
    print(f"a region of {int(inside.sum())} voxels: as the whole in it; {int((part > 0).sum())} of {int((whole > 0).sum())} labeled voxels")

    # As a label map volume.
    volume_node = scene.add("vtkMRMLLabelMapVolumeNode")
    scene.segment(ct, volume_node)
    values = vtk_to_numpy(volume_node.GetImageData().GetPointData().GetScalars()).reshape(whole.shape, order="F")
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    check((values == whole).all() and close(affine_of(matrix), affine), "as a label map, the labels are others")
    scene.close()
    print("as a label map volume: the same labels in the same place")


def failures_reach_the_user():
    scene = Scene()
    ct, output = scene.load(folder / "ct-PSL.nrrd"), scene.add("vtkMRMLSegmentationNode")
    for parameters, word in [({"model": "missing.safetensors"}, "missing.safetensors"), ({"structure": "liver", "point": None}, "liver")]:
        if "point" in parameters:
            parameters["point"] = scene.add("vtkMRMLMarkupsFiducialNode")
            parameters["point"].AddControlPoint(vtk.vtkVector3d(0, 0, 0))
        node = scene.run(ct, output, **parameters)
        check(node.GetStatus() == node.CompletedWithErrors, f"{word}: {node.GetStatusString()}")
        check("error: " in node.GetErrorText() and word in node.GetErrorText(), node.GetErrorText())
        check(output.GetSegmentation().GetNumberOfSegments() == 0, "there is a result in spite of the failure")
    scene.close()
    usage = subprocess.run([module, "--model", "m", "--point", "1,2", "a", "b"], capture_output=True, text=True)
    check(usage.returncode == 2 and "--point takes three numbers" in usage.stderr, f"{usage}")
    print("failures: status and words of the module's node, and no segments")


def the_terminology_loads():
    """Nerves and levels that no terminology of 3D Slicer has."""
    file = Path(__file__).parents[2] / "c_examples/slicer/SlicerSpinect/Spinect/Resources/Terminologies/Spinect.term.json"
    logic, category, entry = slicer.vtkSlicerTerminologiesModuleLogic(), slicer.vtkSlicerTerminologyCategory(), slicer.vtkSlicerTerminologyType()
    name = logic.LoadTerminologyFromFile(str(file))
    codes = set()
    for n in range(logic.GetNumberOfCategoriesInTerminology(name)):
        check(logic.GetNthCategoryInTerminology(name, n, category), f"category {n}")
        for m in range(logic.GetNumberOfTypesInTerminologyCategory(name, category)):
            check(logic.GetNthTypeInTerminologyCategory(name, category, m, entry), f"type {m}")
            codes.add(entry.GetCodeValue())
    check({"272673000", "119410002", "45272004", "40958000"} <= codes, f"{codes}")
    print(f"3D Slicer loads the terminology: {len(codes)} codes")


def progress_and_cancel():
    arguments = [module, "--model", model, "--device", "cpu", folder / "ct-PSL.nrrd"]
    output = subprocess.run([*arguments, folder / "progress.seg.nrrd"], capture_output=True, text=True, check=True).stdout
    told = [float(value) for value in re.findall("<filter-progress>(.*?)</filter-progress>", output)]
    check(len(told) > 3 and told == sorted(told) and told[-1] == 1.0, f"{told}")
    check(output.startswith("<filter-start>") and output.rstrip().endswith("</filter-end>"), output)
    before = set(folder.iterdir())
    process = subprocess.Popen([*arguments, folder / "cancelled.seg.nrrd"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "<filter-progress>" not in process.stdout.readline():
        pass
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    check(process.returncode == 1 and "CANCELLED" in errors, f"{process.returncode}: {errors}")
    check(set(folder.iterdir()) == before, "a cancelled run leaves files behind")
    print(f"progress: {len(told)} steps; a run that is told to end does so after {time.monotonic() - started:.2f} s and leaves no file")


description_is_what_3d_slicer_parses()
the_terminology_loads()
ct_image = sitk.ReadImage(str(ct_file))
every_orientation_gives_the_labels_of_the_command_line(ct_image)
points_regions_and_label_maps(ct_image)
failures_reach_the_user()
progress_and_cancel()
print(f"{checks} checks passed, with 3D Slicer's libraries of {getattr(slicer, '__version__', 'slicer-core')}")
