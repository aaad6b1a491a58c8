/// vtkSlicerSpinectLogicTest MODEL: the logic on a CT made here, in an oblique and left-handed place. What it delivers is
/// compared with the library called on the same voxels in another order and in LPS; distances with a search over all voxels.
#include "vtkSlicerSpinectLogic.h"

#include <vtkMRMLLinearTransformNode.h>
#include <vtkMRMLMarkupsFiducialNode.h>
#include <vtkMRMLMarkupsLineNode.h>
#include <vtkMRMLMarkupsROINode.h>
#include <vtkMRMLScalarVolumeNode.h>
#include <vtkMRMLScene.h>
#include <vtkMRMLSegmentationDisplayNode.h>
#include <vtkMRMLSegmentationNode.h>
#include <vtkMRMLSelectionNode.h>
#include <vtkMRMLTableNode.h>
#include <vtkOrientedImageData.h>
#include <vtkSegment.h>
#include <vtkSegmentation.h>
#include <vtkSegmentationConverter.h>
#include <vtkSegmentationConverterFactory.h>

#include <vtkAddonTestingMacros.h>
#include <vtkBinaryLabelmapToClosedSurfaceConversionRule.h>
#include <vtkCallbackCommand.h>
#include <vtkImageCast.h>
#include <vtkImageData.h>
#include <vtkMatrix4x4.h>
#include <vtkNew.h>
#include <vtkTable.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "spinect.hpp"

namespace
{

constexpr int DIMS[3] = { 62, 54, 40 };

/// Bone, soft tissue, fat and air, with a little texture.
short HounsfieldUnits(int i, int j, int k)
{
  const double x = (i - 30) * 1.6, y = (j - 27) * 1.6, z = (k - 20) * 2.0;
  const double body = x * x / (45 * 45) + y * y / (40 * 40);
  const double bone = (x * x + y * y) / (17 * 17) + z * z / (24 * 24);
  const int texture = (i * 7919 + j * 104729 + k * 1299709) % 41 - 20;
  return static_cast<short>(texture + (bone < 0.8 ? 350 : bone < 1 ? 900 : body < 0.85 ? 45 : body < 1 ? -100 : -1000));
}

/// Adds a CT to the scene: i runs towards the left, oblique, and the first voxel is not index 0 where `offset` is not.
vtkMRMLScalarVolumeNode* AddCT(vtkMRMLScene* scene, int scalarType = VTK_SHORT, int offset = 0)
{
  vtkNew<vtkImageData> image;
  image->SetExtent(offset, offset + DIMS[0] - 1, offset, offset + DIMS[1] - 1, offset, offset + DIMS[2] - 1);
  image->AllocateScalars(VTK_SHORT, 1);
  short* voxel = static_cast<short*>(image->GetScalarPointer());
  for (int k = 0; k < DIMS[2]; ++k)
  {
    for (int j = 0; j < DIMS[1]; ++j)
    {
      for (int i = 0; i < DIMS[0]; ++i)
      {
        *voxel++ = HounsfieldUnits(i, j, k);
      }
    }
  }
  vtkNew<vtkImageCast> cast;
  cast->SetInputData(image);
  cast->SetOutputScalarType(scalarType);
  cast->Update();
  vtkNew<vtkMatrix4x4> ijkToRAS;
  const double angle = 0.15;
  const double elements[16] = { -1.6 * std::cos(angle), 1.6 * std::sin(angle), 0, 48, //
                                1.6 * std::sin(angle),  1.6 * std::cos(angle), 0, -61, //
                                0,                      0,                     2, 117, //
                                0,                      0,                     0, 1 };
  ijkToRAS->DeepCopy(elements);
  for (int row = 0; row < 3; ++row)
  {
    const double moved = ijkToRAS->GetElement(row, 0) + ijkToRAS->GetElement(row, 1) + ijkToRAS->GetElement(row, 2);
    ijkToRAS->SetElement(row, 3, ijkToRAS->GetElement(row, 3) - offset * moved);
  }
  auto* ct = vtkMRMLScalarVolumeNode::SafeDownCast(scene->AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT"));
  ct->SetAndObserveImageData(cast->GetOutput());
  ct->SetIJKToRASMatrix(ijkToRAS);
  return ct;
}

vtkMRMLSegmentationNode* AddSegmentation(vtkMRMLScene* scene)
{
  return vtkMRMLSegmentationNode::SafeDownCast(scene->AddNewNodeByClass("vtkMRMLSegmentationNode", "Spine"));
}

vtkMRMLMarkupsNode* AddMarkup(vtkMRMLScene* scene, const char* className, const std::vector<std::array<double, 3>>& points)
{
  auto* markup = vtkMRMLMarkupsNode::SafeDownCast(scene->AddNewNodeByClass(className));
  for (const std::array<double, 3>& point : points)
  {
    markup->AddControlPointWorld(point[0], point[1], point[2]);
  }
  return markup;
}

/// The labels of the same CT given to the library in another order (k, j, i, from the far end of i) and in LPS, put back.
std::vector<std::uint8_t> LabelsInAnotherOrder(const std::string& model, vtkMatrix4x4* ijkToRAS)
{
  const std::array<std::uint64_t, 3> dims{ DIMS[2], DIMS[1], DIMS[0] };
  std::vector<float> voxels;
  for (int i = DIMS[0] - 1; i >= 0; --i)
  {
    for (int j = 0; j < DIMS[1]; ++j)
    {
      for (int k = 0; k < DIMS[2]; ++k)
      {
        voxels.push_back(HounsfieldUnits(i, j, k));
      }
    }
  }
  std::array<double, 16> affine{};
  affine[15] = 1;
  for (int row = 0; row < 3; ++row)
  {
    const double sign = row < 2 ? -1 : 1;
    affine[4 * row + 0] = sign * ijkToRAS->GetElement(row, 2);
    affine[4 * row + 1] = sign * ijkToRAS->GetElement(row, 1);
    affine[4 * row + 2] = -sign * ijkToRAS->GetElement(row, 0);
    affine[4 * row + 3] = sign * (ijkToRAS->GetElement(row, 3) + (DIMS[0] - 1) * ijkToRAS->GetElement(row, 0));
  }
  auto session = spinect::session::create();
  session.load_weights(model);
  const auto result = session.segment(spinect::view(voxels.data(), dims, affine, spinect::world::lps));
  const auto given = result.labels();
  std::vector<std::uint8_t> labels(given.size());
  std::size_t n = 0;
  for (int i = DIMS[0] - 1; i >= 0; --i)
  {
    for (int j = 0; j < DIMS[1]; ++j)
    {
      for (int k = 0; k < DIMS[2]; ++k)
      {
        labels[(static_cast<std::size_t>(k) * DIMS[1] + j) * DIMS[0] + i] = given[n++];
      }
    }
  }
  return labels;
}

std::vector<std::uint8_t> LabelsOf(vtkMRMLSegmentationNode* node, const char* id)
{
  vtkOrientedImageData* image = node->GetBinaryLabelmapInternalRepresentation(id);
  const auto* first = static_cast<const std::uint8_t*>(image->GetScalarPointer());
  return { first, first + image->GetNumberOfPoints() };
}

/// Whether a distance is that to the boxes of the segment's voxels, as far as the nearest voxel's center can tell: the box
/// reaches at most half a voxel's diagonal beyond it.
bool AgreesWithSearch(double distance, vtkMRMLSegmentationNode* node, const char* id, const double point[3])
{
  vtkOrientedImageData* image = node->GetBinaryLabelmapInternalRepresentation(id);
  vtkNew<vtkMatrix4x4> toWorld;
  image->GetImageToWorldMatrix(toWorld);
  const int value = node->GetSegmentation()->GetSegment(id)->GetLabelValue();
  double nearest = 1e9;
  for (int k = 0; k < DIMS[2]; ++k)
  {
    for (int j = 0; j < DIMS[1]; ++j)
    {
      for (int i = 0; i < DIMS[0]; ++i)
      {
        if (static_cast<int>(image->GetScalarComponentAsDouble(i, j, k, 0)) == value)
        {
          const double index[4] = { double(i), double(j), double(k), 1 };
          double center[4];
          toWorld->MultiplyPoint(index, center);
          const double d = std::hypot(center[0] - point[0], center[1] - point[1], center[2] - point[2]);
          nearest = std::min(nearest, d);
        }
      }
    }
  }
  const double half = std::sqrt(1.6 * 1.6 + 1.6 * 1.6 + 2 * 2) / 2;
  return distance <= nearest && distance >= nearest - half;
}

struct Told
{
  std::vector<double> Fractions;
  int Ended = 0;
  double CancelAt = 2;
};

void OnEvent(vtkObject* caller, unsigned long event, void* clientData, void* callData)
{
  auto* told = static_cast<Told*>(clientData);
  if (event == vtkCommand::EndEvent)
  {
    ++told->Ended;
    return;
  }
  told->Fractions.push_back(*static_cast<double*>(callData));
  if (told->Fractions.back() >= told->CancelAt)
  {
    vtkSlicerSpinectLogic::SafeDownCast(caller)->Cancel();
  }
}

int TestFailuresHaveWords(const std::string& model)
{
  vtkNew<vtkMRMLScene> scene;
  vtkNew<vtkSlicerSpinectLogic> logic;
  logic->SetMRMLScene(scene);
  vtkMRMLScalarVolumeNode* ct = AddCT(scene);
  vtkMRMLSegmentationNode* output = AddSegmentation(scene);
  CHECK_BOOL(logic->SegmentVolume(ct, output), false);
  CHECK_STD_STRING(logic->GetLastError(), "no model is loaded");
  CHECK_BOOL(logic->SetModel("missing.safetensors"), false);
  CHECK_BOOL(logic->GetLastError().find("missing.safetensors") != std::string::npos, true);
  CHECK_BOOL(logic->SetModel(model, vtkSlicerSpinectLogic::DeviceCPU), true);
  CHECK_BOOL(logic->SegmentVolume(nullptr, output), false);
  vtkNew<vtkMRMLScalarVolumeNode> empty;
  CHECK_BOOL(logic->SegmentVolume(empty, output), false);
  CHECK_STD_STRING(logic->GetLastError(), "the volume has no voxels");
  // Somebody's own segments are not thrown away.
  output->GetSegmentation()->AddEmptySegment("mine");
  CHECK_BOOL(logic->SegmentVolume(ct, output), false);
  CHECK_BOOL(output->GetSegmentation()->GetSegment("mine") != nullptr, true);
  CHECK_BOOL(std::isnan(logic->GetDistance(output, "none", AddMarkup(scene, "vtkMRMLMarkupsFiducialNode", { { 0, 0, 0 } }))), true);
  CHECK_BOOL(logic->FillTable(nullptr), false);
  return EXIT_SUCCESS;
}

int TestDelivery(const std::string& model)
{
  vtkNew<vtkMRMLScene> scene;
  vtkNew<vtkSlicerSpinectLogic> logic;
  logic->SetMRMLScene(scene);
  Told told;
  vtkNew<vtkCallbackCommand> observer;
  observer->SetCallback(OnEvent);
  observer->SetClientData(&told);
  logic->AddObserver(vtkCommand::ProgressEvent, observer);
  vtkMRMLScalarVolumeNode* ct = AddCT(scene);
  vtkMRMLSegmentationNode* output = AddSegmentation(scene);
  CHECK_BOOL(logic->SetModel(model, vtkSlicerSpinectLogic::DeviceCPU), true);
  CHECK_BOOL(logic->SegmentVolume(ct, output), true);
  CHECK_BOOL(logic->GetSucceeded(), true);
  CHECK_BOOL(told.Fractions.size() > 3 && std::is_sorted(told.Fractions.begin(), told.Fractions.end()), true);
  CHECK_DOUBLE(told.Fractions.back(), 1.0);

  // Names, colors and terminology are those of the model's table.
  auto session = spinect::session::create();
  session.load_weights(model);
  vtkNew<vtkMatrix4x4> ijkToRAS;
  ct->GetIJKToRASMatrix(ijkToRAS);
  vtkSegmentation* segments = output->GetSegmentation();
  CHECK_INT(segments->GetNumberOfSegments(), 2);
  vtkSegment* bone = segments->GetSegment("Segment_1");
  vtkSegment* nerve = segments->GetSegment("Segment_2");
  CHECK_NOT_NULL(bone);
  CHECK_NOT_NULL(nerve);
  CHECK_STRING(bone->GetName(), "bone");
  CHECK_STRING(nerve->GetName(), "nerve");
  CHECK_INT(nerve->GetLabelValue(), session.find_label("nerve"));
  CHECK_DOUBLE_TOLERANCE(bone->GetColor()[1], 214 / 255.0, 1e-9);
  CHECK_STD_STRING(bone->GetTerminology(), "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue"
                                           "~SCT^272673000^Bone~^^~Anatomic codes - DICOM master list~^^~^^");
  CHECK_STRING(output->GetAttribute(vtkSlicerSpinectLogic::GetModelAttributeName()), session.model_info().sha256);
  CHECK_BOOL(output->GetDisplayNode() != nullptr, true);

  // Both segments share one label map, in the place of the CT, with the labels of the same CT in another order.
  CHECK_POINTER(output->GetBinaryLabelmapInternalRepresentation("Segment_1"), output->GetBinaryLabelmapInternalRepresentation("Segment_2"));
  vtkNew<vtkMatrix4x4> imageToWorld;
  output->GetBinaryLabelmapInternalRepresentation("Segment_1")->GetImageToWorldMatrix(imageToWorld);
  for (int n = 0; n < 16; ++n)
  {
    CHECK_DOUBLE_TOLERANCE(imageToWorld->GetElement(n / 4, n % 4), ijkToRAS->GetElement(n / 4, n % 4), 1e-9);
  }
  const std::vector<std::uint8_t> labels = LabelsOf(output, "Segment_1");
  CHECK_BOOL(labels == LabelsInAnotherOrder(model, ijkToRAS), true);
  const auto bones = std::count(labels.begin(), labels.end(), 1);
  CHECK_BOOL(bones > 1000 && bones < static_cast<long>(labels.size()) / 2, true);
  CHECK_BOOL(output->CreateClosedSurfaceRepresentation(), true);

  vtkNew<vtkMRMLTableNode> table;
  CHECK_BOOL(logic->FillTable(table), true);
  CHECK_INT(table->GetTable()->GetNumberOfRows(), 2);
  CHECK_DOUBLE_TOLERANCE(table->GetTable()->GetValueByName(0, "Volume [ml]").ToDouble(), bones * 1.6 * 1.6 * 2 / 1000, 1e-6);
  CHECK_BOOL(logic->GetWarnings().empty(), false); // no model of this repository is clinical

  // Again into the same node; then from another type of voxel, whose first index is not 0.
  CHECK_BOOL(logic->SegmentVolume(ct, output), true);
  CHECK_BOOL(LabelsOf(output, "Segment_1") == labels, true);
  for (int type : { VTK_FLOAT, VTK_LONG_LONG })
  {
    vtkMRMLScalarVolumeNode* other = AddCT(scene, type, 5);
    CHECK_BOOL(logic->SegmentVolume(other, output), true);
    CHECK_BOOL(LabelsOf(output, "Segment_1") == labels, true);
    output->GetBinaryLabelmapInternalRepresentation("Segment_1")->GetImageToWorldMatrix(imageToWorld);
    CHECK_DOUBLE_TOLERANCE(imageToWorld->GetElement(0, 3), ijkToRAS->GetElement(0, 3), 1e-9);
  }

  // A region is smaller than the whole, and the same in it.
  auto* region = vtkMRMLMarkupsROINode::SafeDownCast(scene->AddNewNodeByClass("vtkMRMLMarkupsROINode"));
  region->SetXYZ(0, -20, 165);
  region->SetRadiusXYZ(20, 20, 15);
  CHECK_BOOL(logic->SegmentVolume(ct, output, region), true);
  const std::vector<std::uint8_t> part = LabelsOf(output, "Segment_1");
  CHECK_BOOL(part != labels && std::count(part.begin(), part.end(), 1) > 0, true);
  return EXIT_SUCCESS;
}

int TestCancelAndThread(const std::string& model)
{
  vtkNew<vtkMRMLScene> scene;
  vtkNew<vtkSlicerSpinectLogic> logic;
  logic->SetMRMLScene(scene);
  Told told;
  vtkNew<vtkCallbackCommand> observer;
  observer->SetCallback(OnEvent);
  observer->SetClientData(&told);
  logic->AddObserver(vtkCommand::ProgressEvent, observer);
  logic->AddObserver(vtkCommand::EndEvent, observer);
  vtkMRMLScalarVolumeNode* ct = AddCT(scene);
  vtkMRMLSegmentationNode* output = AddSegmentation(scene);
  CHECK_BOOL(logic->SetModel(model, vtkSlicerSpinectLogic::DeviceCPU), true);

  told.CancelAt = 0.3;
  CHECK_BOOL(logic->SegmentVolume(ct, output), false);
  CHECK_BOOL(logic->GetLastError().find("CANCELLED") != std::string::npos, true);
  CHECK_INT(output->GetSegmentation()->GetNumberOfSegments(), 0);

  const auto wait = [&] {
    for (int n = 0; logic->UpdateSegmentation(); ++n)
    {
      if (n > 60000)
      {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  };
  // Cancelled from outside, then run to its end.
  told = Told();
  CHECK_BOOL(logic->StartSegmentation(ct, output), true);
  CHECK_BOOL(logic->StartSegmentation(ct, output), false);
  CHECK_BOOL(logic->SetModel("another"), false);
  logic->Cancel();
  CHECK_BOOL(wait(), true);
  CHECK_BOOL(logic->GetSucceeded(), false);
  CHECK_INT(told.Ended, 1);
  CHECK_INT(output->GetSegmentation()->GetNumberOfSegments(), 0);
  told = Told();
  CHECK_BOOL(logic->StartSegmentation(ct, output), true);
  CHECK_BOOL(wait(), true);
  CHECK_BOOL(logic->GetSucceeded(), true);
  CHECK_BOOL(!told.Fractions.empty() && std::is_sorted(told.Fractions.begin(), told.Fractions.end()), true);
  CHECK_INT(output->GetSegmentation()->GetNumberOfSegments(), 2);
  // A logic that goes while it works ends its thread.
  CHECK_BOOL(logic->StartSegmentation(ct, output), true);
  return EXIT_SUCCESS;
}

int TestDistances(const std::string& model)
{
  vtkNew<vtkMRMLScene> scene;
  scene->AddNode(vtkNew<vtkMRMLSelectionNode>()); // lines look there for the unit of their length
  vtkNew<vtkSlicerSpinectLogic> logic;
  logic->SetMRMLScene(scene);
  vtkMRMLScalarVolumeNode* ct = AddCT(scene);
  vtkMRMLSegmentationNode* output = AddSegmentation(scene);
  CHECK_BOOL(logic->SetModel(model, vtkSlicerSpinectLogic::DeviceCPU), true);
  CHECK_BOOL(logic->SegmentVolume(ct, output), true);

  const std::array<double, 3> outside{ 30, -50, 130 };
  vtkMRMLMarkupsNode* point = AddMarkup(scene, "vtkMRMLMarkupsFiducialNode", { outside });
  const double distance = logic->GetDistance(output, "Segment_1", point);
  CHECK_BOOL(distance > 1 && AgreesWithSearch(distance, output, "Segment_1", outside.data()), true);
  double nearest[3], at[3];
  logic->GetNearest(nearest, at);
  CHECK_DOUBLE_TOLERANCE(std::hypot(nearest[0] - at[0], nearest[1] - at[1], nearest[2] - at[2]), distance, 1e-6);
  CHECK_BOOL(logic->GetUnexamined() > 0, true);

  // A tool through the same point and away from the bone is as far as the point, less its radius; it follows the markup.
  std::array<double, 3> farther;
  for (int axis = 0; axis < 3; ++axis)
  {
    farther[axis] = at[axis] + (at[axis] - nearest[axis]);
  }
  vtkMRMLMarkupsNode* line = AddMarkup(scene, "vtkMRMLMarkupsLineNode", { outside, farther });
  CHECK_DOUBLE_TOLERANCE(logic->GetDistance(output, "Segment_1", line, 1.5), distance - 1.5, 1e-6);
  line->SetNthControlPointPositionWorld(1, nearest);
  CHECK_DOUBLE_TOLERANCE(logic->GetDistance(output, "Segment_1", line), 0, 1e-6);

  // Under a rigid transform, everything moves together; under one that scales, nothing is told.
  vtkNew<vtkMRMLLinearTransformNode> transform;
  scene->AddNode(transform);
  vtkNew<vtkMatrix4x4> moved;
  const double rigid[16] = { 0, -1, 0, 12, 1, 0, 0, -7, 0, 0, 1, 40, 0, 0, 0, 1 };
  moved->DeepCopy(rigid);
  transform->SetMatrixTransformToParent(moved);
  output->SetAndObserveTransformNodeID(transform->GetID());
  point->SetAndObserveTransformNodeID(transform->GetID());
  CHECK_DOUBLE_TOLERANCE(logic->GetDistance(output, "Segment_1", point), distance, 1e-6);
  point->SetAndObserveTransformNodeID(nullptr);
  CHECK_BOOL(std::abs(logic->GetDistance(output, "Segment_1", point) - distance) > 1, true);
  moved->SetElement(2, 2, 1.5);
  transform->SetMatrixTransformToParent(moved);
  CHECK_BOOL(std::isnan(logic->GetDistance(output, "Segment_1", point)), true);
  output->SetAndObserveTransformNodeID(nullptr);

  // Touched but not edited: still the result, which knows what was not segmented. Edited: the new voxels answer.
  vtkOrientedImageData* labels = output->GetBinaryLabelmapInternalRepresentation("Segment_1");
  labels->Modified();
  CHECK_DOUBLE_TOLERANCE(logic->GetDistance(output, "Segment_1", point), distance, 1e-9);
  CHECK_BOOL(std::isnan(logic->GetUnexamined()), false);
  vtkNew<vtkMatrix4x4> toWorld;
  labels->GetImageToWorldMatrix(toWorld);
  labels->SetScalarComponentFromDouble(2, 2, 2, 0, 1);
  labels->Modified();
  const double index[4] = { 2, 2, 2, 1 };
  double center[4];
  toWorld->MultiplyPoint(index, center);
  point->SetNthControlPointPositionWorld(0, center);
  CHECK_DOUBLE_TOLERANCE(logic->GetDistance(output, "Segment_1", point), -0.8, 1e-6); // half of the shortest edge, inside
  CHECK_BOOL(std::isnan(logic->GetUnexamined()), true);
  return EXIT_SUCCESS;
}

} // namespace

int vtkSlicerSpinectLogicTest(int argc, char* argv[])
{
  if (argc < 2)
  {
    std::cerr << "usage: vtkSlicerSpinectLogicTest MODEL" << std::endl;
    return EXIT_FAILURE;
  }
  // The Segmentations module does this in 3D Slicer: without it there are no surfaces, and no empty segments.
  vtkSegmentationConverterFactory::GetInstance()->RegisterConverterRule(vtkNew<vtkBinaryLabelmapToClosedSurfaceConversionRule>());
  const std::string model = argv[1];
  CHECK_EXIT_SUCCESS(TestFailuresHaveWords(model));
  CHECK_EXIT_SUCCESS(TestDelivery(model));
  CHECK_EXIT_SUCCESS(TestCancelAndThread(model));
  CHECK_EXIT_SUCCESS(TestDistances(model));
  return EXIT_SUCCESS;
}
