/// A result of the library as segments of a segmentation node.
#ifndef SpinectSegments_h
#define SpinectSegments_h

#include <string>

#include "spinect.hpp"

class vtkMRMLScalarVolumeNode;
class vtkMRMLSegmentationNode;
class vtkOrientedImageData;

/// The identifier of the segment of a label: that of the library's .seg.nrrd.
std::string SpinectSegmentID(int label);

/// A label's terminology as 3D Slicer writes it; empty if the label is not coded.
std::string SpinectTerminology(const spinect_label& label);

/// Whether a result may go there: it has no segments, or only those of an earlier result.
bool SpinectMayReplace(vtkMRMLSegmentationNode* output);

/// Makes segments of all labels but the background, with names, colors and terminology, one label map for all of them, on the
/// grid and under the transform of the CT. Former segments go. Returns the label map.
vtkOrientedImageData* SpinectDeliver(const spinect::segmentation& result, vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output);

#endif
