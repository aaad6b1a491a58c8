"""A picture of a CT and its segmentation, drawn by VTK from the nodes of a scene of 3D Slicer, without its window:

    venv/bin/pip install slicer-core numpy
    venv/bin/python tests/python/slicer_picture.py CT SEGMENTATION.seg.nrrd PICTURE.png

An axial and a sagittal slice with the segments over them, and their closed surfaces from the patient's left and behind, each in the color
of its segment; all but the last segment (the nerve) are cut open at the sagittal slice. The slices are those with most of the last
segment. The axial one is drawn in the radiological way: the patient's right is on the left.
"""

import sys

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

ct_file, segmentation_file, picture = sys.argv[1:4]
SIDE = 460
# What the pictures' axes show, as directions in RAS: to the right, up, towards the viewer.
AXIAL = np.array([[-1.0, 0, 0], [0, 1.0, 0], [0, 0, -1.0]])
SAGITTAL = np.array([[0, -1.0, 0], [0, 0, 1.0], [1.0, 0, 0]])


def load(class_name, storage_name, path):
    node, storage = (scene.AddNewNodeByClass(name) for name in (class_name, storage_name))
    storage.SetFileName(path)
    if storage.ReadData(node) != 1:
        sys.exit(f"3D Slicer does not load {path}")
    return node


def affine_of(matrix):
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def array_of(image):
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def resampled(array, affine, axes, center, empty):
    """A square slice through a point: `axes` says where its columns, rows and normal lead; a pixel is one millimeter wide."""
    size = 300
    steps = np.arange(size) - size / 2
    points = center + steps[:, None, None] * axes[0] + steps[None, :, None] * axes[1]
    index = np.rint((np.linalg.inv(affine[:3, :3]) @ (points.reshape(-1, 3) - affine[:3, 3]).T)).astype(int)
    inside = ((index >= 0) & (index < np.array(array.shape)[:, None])).all(axis=0)
    values = np.full(size * size, empty, array.dtype)
    values[inside] = array[tuple(index[:, inside])]
    return values.reshape(size, size)


def slice_image(axes, center):
    """Gray values of soft tissue, the segments' colors half over them."""
    gray = np.clip((resampled(ct, ct_affine, axes, center, -1000) + 160.0) / 400.0, 0, 1)
    rgb = np.repeat(gray[:, :, None] * 255, 3, axis=2)
    where = resampled(labels, label_affine, axes, center, 0)
    for value, color in colors.items():
        rgb[where == value] = 0.45 * rgb[where == value] + 0.55 * 255 * np.array(color)
    image = vtk.vtkImageData()
    image.SetDimensions(*rgb.shape[:2], 1)
    flat = np.ascontiguousarray(rgb.transpose(1, 0, 2).reshape(-1, 3).astype(np.uint8))
    scalars = numpy_to_vtk(flat, deep=True)
    image.GetPointData().SetScalars(scalars)
    return image


scene = slicer.vtkMRMLScene()
segmentations = slicer.vtkSlicerSegmentationsModuleLogic()  # knows how surfaces are made
segmentations.SetMRMLScene(scene)
ct_node = load("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", ct_file)
node = load("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", segmentation_file)
matrix = vtk.vtkMatrix4x4()
ct_node.GetIJKToRASMatrix(matrix)
ct, ct_affine = array_of(ct_node.GetImageData()), affine_of(matrix)
segmentation = node.GetSegmentation()
ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
label_map = node.GetBinaryLabelmapInternalRepresentation(ids[0])
label_map.GetImageToWorldMatrix(matrix)
labels, label_affine = array_of(label_map), affine_of(matrix)
corner = np.array(label_map.GetExtent()[::2], float)
label_affine[:3, 3] += label_affine[:3, :3] @ corner
colors = {segmentation.GetSegment(name).GetLabelValue(): segmentation.GetSegment(name).GetColor() for name in ids}

# Where the last segment has most voxels.
places = np.argwhere(labels == max(colors)) if (labels == max(colors)).any() else np.argwhere(labels > 0)
ras = (label_affine[:3, :3] @ places.T).T + label_affine[:3, 3]
center = np.median(ras, axis=0)
for axis in (0, 2):
    values, counts = np.unique(np.rint(ras[:, axis]), return_counts=True)
    center[axis] = values[counts.argmax()]

window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(3 * SIDE, SIDE)
window.SetMultiSamples(8)
for n, axes in enumerate([AXIAL, SAGITTAL]):
    renderer = vtk.vtkRenderer()
    renderer.SetViewport(n / 3, 0, (n + 1) / 3, 1)
    actor = vtk.vtkImageActor()
    actor.GetMapper().SetInputData(slice_image(axes, center))
    renderer.AddActor(actor)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    renderer.ResetCamera()
    camera.SetParallelScale(140)
    window.AddRenderer(renderer)
if not node.CreateClosedSurfaceRepresentation():
    sys.exit("no closed surface")
renderer = vtk.vtkRenderer()
renderer.SetViewport(2 / 3, 0, 1, 1)
renderer.SetBackground(0.09, 0.1, 0.13)
opened = vtk.vtkPlane()
opened.SetOrigin(*center)
opened.SetNormal(1, 0, 0)
for name in ids:
    surface = node.GetClosedSurfaceInternalRepresentation(name)
    if surface is None or surface.GetNumberOfPoints() == 0:
        continue
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(surface)
    mapper.ScalarVisibilityOff()
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*segmentation.GetSegment(name).GetColor())
    if name != ids[-1]:
        mapper.AddClippingPlane(opened)
    renderer.AddActor(actor)
    print(f"{segmentation.GetSegment(name).GetName()}: {surface.GetNumberOfPolys()} triangles")
camera = renderer.GetActiveCamera()
camera.SetFocalPoint(*center)
camera.SetPosition(*(center + np.array([-700.0, -330.0, 120.0])))
camera.SetViewUp(0, 0, 1)
renderer.ResetCamera()
camera.Zoom(1.35)
window.AddRenderer(renderer)
window.Render()
capture, writer = vtk.vtkWindowToImageFilter(), vtk.vtkPNGWriter()
capture.SetInput(window)
capture.ReadFrontBufferOff()
writer.SetFileName(picture)
writer.SetInputConnection(capture.GetOutputPort())
writer.Write()
print(f"slices through {center.round(1)} (RAS)")
