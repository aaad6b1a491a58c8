#include "SpinectDistances.h"

#include <vtkMRMLTransformNode.h>
#include <vtkSegment.h>
#include <vtkSegmentation.h>

#include <vtkMatrix4x4.h>
#include <vtkNew.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "SpinectVoxels.h"

namespace
{

constexpr double NotKnown = std::numeric_limits<double>::quiet_NaN();

/// A node's own coordinates and those of the world, between which distances must stay what they are.
class Frame
{
public:
  explicit Frame(vtkMRMLSegmentationNode* node)
  {
    bool rigid = vtkMRMLTransformNode::GetMatrixTransformBetweenNodes(nullptr, node->GetParentTransformNode(), this->WorldToNode) != 0;
    for (int a = 0; rigid && a < 3; ++a)
    {
      for (int b = 0; b < 3; ++b)
      {
        double product = 0;
        for (int row = 0; row < 3; ++row)
        {
          product += this->WorldToNode->GetElement(row, a) * this->WorldToNode->GetElement(row, b);
        }
        rigid = rigid && std::abs(product - (a == b ? 1 : 0)) < 1e-6;
      }
    }
    if (!rigid)
    {
      throw std::invalid_argument("the segmentation is under a transform that scales, shears or warps it: harden it, then ask again");
    }
    vtkMatrix4x4::Invert(this->WorldToNode, this->NodeToWorld);
  }

  spinect::point ToNode(const spinect::point& world) const { return Moved(this->WorldToNode, world.data()); }
  spinect::point ToWorld(const double node[3]) const { return Moved(this->NodeToWorld, node); }

private:
  static spinect::point Moved(vtkMatrix4x4* matrix, const double point[3])
  {
    spinect::point result;
    for (int row = 0; row < 3; ++row)
    {
      result[row] = matrix->GetElement(row, 3);
      for (int axis = 0; axis < 3; ++axis)
      {
        result[row] += matrix->GetElement(row, axis) * point[axis];
      }
    }
    return result;
  }

  vtkNew<vtkMatrix4x4> WorldToNode;
  vtkNew<vtkMatrix4x4> NodeToWorld;
};

template <typename Voxel>
std::vector<std::uint8_t> MaskOf(vtkOrientedImageData* labels, int value)
{
  const Voxel* voxels = static_cast<const Voxel*>(labels->GetScalarPointer());
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(labels->GetNumberOfPoints()));
  for (std::size_t n = 0; n < mask.size(); ++n)
  {
    mask[n] = static_cast<double>(voxels[n]) == value;
  }
  return mask;
}

/// Where a label map holds a value.
std::vector<std::uint8_t> Mask(vtkOrientedImageData* labels, int value)
{
  switch (labels->GetScalarType())
  {
    vtkTemplateMacro(return MaskOf<VTK_TT>(labels, value));
    default: throw std::invalid_argument("the segment's voxels are of an unknown type");
  }
}

/// One segment as a reviewed result: its voxels are 1.
spinect::segmentation Reviewed(vtkOrientedImageData* labels, int value)
{
  vtkNew<vtkMatrix4x4> imageToWorld;
  labels->GetImageToWorldMatrix(imageToWorld);
  spinect_volume volume = *SpinectVoxels(labels, imageToWorld).Volume().get(); // its geometry, that of the extent
  const std::vector<std::uint8_t> mask = Mask(labels, value);
  volume.voxel_type = SPINECT_VOXEL_UINT8;
  volume.voxels = mask.data();
  std::fill(volume.strides, volume.strides + 3, 0);
  auto label = spinect::sized<spinect_label>();
  label.value = 1;
  std::strcpy(label.name, "segment");
  return spinect::segmentation::from_labels(spinect::volume(volume), { label });
}

} // namespace

void SpinectDistances::Remember(spinect::segmentation result, vtkMRMLSegmentationNode* node, vtkOrientedImageData* labels)
{
  this->Result = std::move(result);
  this->ResultNode = node;
  this->ResultLabels = labels;
  this->ResultTime = labels->GetMTime();
  this->ResultPrepared.clear();
}

bool SpinectDistances::IsResult(vtkMRMLSegmentationNode* node, vtkOrientedImageData* labels)
{
  if (!this->Result || node != this->ResultNode || labels != this->ResultLabels)
  {
    return false;
  }
  if (labels->GetMTime() == this->ResultTime)
  {
    return true;
  }
  // Modified, which need not mean edited.
  const spinect::span<std::uint8_t> expected = this->Result.labels();
  const bool same = labels->GetScalarType() == VTK_UNSIGNED_CHAR && static_cast<std::size_t>(labels->GetNumberOfPoints()) == expected.size()
                    && std::memcmp(labels->GetScalarPointer(), expected.data(), expected.size()) == 0;
  if (same)
  {
    this->ResultTime = labels->GetMTime();
  }
  return same;
}

SpinectDistances::Source SpinectDistances::Prepare(vtkMRMLSegmentationNode* node, const std::string& segmentID)
{
  vtkSegment* segment = node->GetSegmentation() == nullptr ? nullptr : node->GetSegmentation()->GetSegment(segmentID);
  vtkOrientedImageData* labels = segment == nullptr ? nullptr : node->GetBinaryLabelmapInternalRepresentation(segmentID);
  if (labels == nullptr || labels->IsEmpty())
  {
    throw std::invalid_argument("there is no such segment, or it is empty or has no binary label map");
  }
  const int value = segment->GetLabelValue();
  if (this->IsResult(node, labels))
  {
    if (this->ResultPrepared.insert(value).second)
    {
      this->Result.prepare_queries(value);
    }
    return { &this->Result, value, true };
  }
  if (!this->Other || labels != this->OtherLabels || labels->GetMTime() != this->OtherTime || value != this->OtherValue)
  {
    this->Other = Reviewed(labels, value);
    this->Other.prepare_queries(1);
    this->OtherLabels = labels;
    this->OtherTime = labels->GetMTime();
    this->OtherValue = value;
  }
  return { &this->Other, 1, false };
}

SpinectDistance SpinectDistances::FromPoint(vtkMRMLSegmentationNode* node, const std::string& segmentID, const spinect::point& world)
{
  const Frame frame(node);
  const Source source = this->Prepare(node, segmentID);
  const spinect_distance distance = source.Labels->distance(source.Value, spinect::world::ras, frame.ToNode(world));
  return { distance.distance_mm, frame.ToWorld(distance.nearest), world, source.Examined ? distance.unexamined_mm : NotKnown };
}

SpinectDistance SpinectDistances::FromTool(vtkMRMLSegmentationNode* node, const std::string& segmentID, const spinect::point& from,
                                           const spinect::point& to, double radius)
{
  const Frame frame(node);
  const Source source = this->Prepare(node, segmentID);
  const spinect_clearance clearance
    = source.Labels->clearance(source.Value, spinect::world::ras, frame.ToNode(from), frame.ToNode(to), radius);
  return { clearance.distance_mm, frame.ToWorld(clearance.nearest), frame.ToWorld(clearance.at),
           source.Examined ? clearance.unexamined_mm : NotKnown };
}
