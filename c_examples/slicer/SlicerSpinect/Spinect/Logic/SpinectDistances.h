/// How far points and tools are from a segment, whoever made or edited it.
#ifndef SpinectDistances_h
#define SpinectDistances_h

#include <vtkMRMLSegmentationNode.h>
#include <vtkOrientedImageData.h>
#include <vtkSmartPointer.h>
#include <vtkWeakPointer.h>

#include <set>
#include <string>

#include "spinect.hpp"

/// An answer, in RAS of the world, in mm.
struct SpinectDistance
{
  double Distance = 0;
  spinect::point Nearest{}; ///< Of the segment's surface.
  spinect::point At{};      ///< Of the markup.
  double Unexamined = 0;    ///< NaN: not known.
};

/// Answers about one segment at a time, prepared when the question changes. Failures are exceptions.
class SpinectDistances
{
public:
  /// From here on, segments of this node whose voxels are still those of the result are answered by it: it knows what was
  /// not segmented.
  void Remember(spinect::segmentation result, vtkMRMLSegmentationNode* node, vtkOrientedImageData* labels);
  /// The last result that was remembered; empty if there was none.
  const spinect::segmentation& GetResult() const { return this->Result; }

  /// To one point.
  SpinectDistance FromPoint(vtkMRMLSegmentationNode* node, const std::string& segmentID, const spinect::point& world);
  /// To a tool: a capsule of this radius around the axis between two points.
  SpinectDistance FromTool(vtkMRMLSegmentationNode* node, const std::string& segmentID, const spinect::point& from, const spinect::point& to,
                           double radius);

private:
  /// What answers about a segment, and the value of its label there.
  struct Source
  {
    const spinect::segmentation* Labels;
    int Value;
    bool Examined; ///< Whether it knows what was not segmented.
  };
  Source Prepare(vtkMRMLSegmentationNode* node, const std::string& segmentID);
  /// Whether a label map still holds the voxels of the result.
  bool IsResult(vtkMRMLSegmentationNode* node, vtkOrientedImageData* labels);

  spinect::segmentation Result;
  vtkWeakPointer<vtkMRMLSegmentationNode> ResultNode;
  vtkWeakPointer<vtkOrientedImageData> ResultLabels;
  vtkMTimeType ResultTime = 0; ///< When the label map was last seen to hold the result's voxels.
  std::set<int> ResultPrepared;

  spinect::segmentation Other; ///< One segment that is no result, or no longer one.
  vtkWeakPointer<vtkOrientedImageData> OtherLabels;
  vtkMTimeType OtherTime = 0;
  int OtherValue = 0;
};

#endif
