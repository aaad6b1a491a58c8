/// A CT volume becomes a segmentation; a markup's distance to a segment is told while it moves.
///
/// Everything of MRML is read and written on the thread that calls, which in 3D Slicer is the main one. The network runs
/// there, too (SegmentVolume), or on a thread of its own that touches no node (StartSegmentation, then UpdateSegmentation
/// from a timer). ProgressEvent comes on the calling thread in both cases. Coordinates are RAS, in mm.
///
/// Methods that can fail return false (NaN) and leave words in GetLastError(); nothing is written to the error log.
#ifndef __vtkSlicerSpinectLogic_h
#define __vtkSlicerSpinectLogic_h

#include "vtkSlicerModuleLogic.h"

#include <string>

#include "vtkSlicerSpinectModuleLogicExport.h"

class vtkMRMLMarkupsNode;
class vtkMRMLMarkupsROINode;
class vtkMRMLScalarVolumeNode;
class vtkMRMLSegmentationNode;
class vtkMRMLTableNode;

class VTK_SLICER_SPINECT_MODULE_LOGIC_EXPORT vtkSlicerSpinectLogic : public vtkSlicerModuleLogic
{
public:
  static vtkSlicerSpinectLogic* New();
  vtkTypeMacro(vtkSlicerSpinectLogic, vtkSlicerModuleLogic);
  void PrintSelf(ostream& os, vtkIndent indent) override;

  /// Where the network runs; the values are those of the C ABI.
  enum
  {
    DeviceAutomatic = 0,
    DeviceCPU = 1,
    DeviceCUDA = 2
  };

  /// Loads a model file, unless it is loaded already. threads: 0 is one per core.
  bool SetModel(const std::string& path, int device = DeviceAutomatic, int threads = 0);

  /// Segments a CT into a segmentation and returns when that is done. Observers of ProgressEvent may call Cancel().
  /// An output that has segments which did not come from here is refused. A region is optional.
  bool SegmentVolume(vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output, vtkMRMLMarkupsROINode* region = nullptr);

  /// The same on another thread. The voxels of the CT must not be changed until it has ended.
  bool StartSegmentation(vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output, vtkMRMLMarkupsROINode* region = nullptr);
  /// To be called again and again after StartSegmentation: invokes ProgressEvent, and at the end writes the result into the
  /// output and invokes EndEvent. Returns whether the segmentation still goes on.
  bool UpdateSegmentation();
  /// Whether the last segmentation ended well.
  bool GetSucceeded();
  /// Asks the segmentation to stop. It ends without success and leaves the output as it was.
  void Cancel();
  /// How far it is, 0 to 1, and what it does.
  double GetProgress();
  std::string GetProgressStage();

  /// The distance in mm from a markup to a segment's surface, negative inside: of a line, that of a tool of this radius along
  /// it, from end to end; of others, the smallest of their points. NaN if there is none. Any segment will do, also one that
  /// was edited or loaded: it is prepared once (tenths of a second), then each answer takes microseconds.
  double GetDistance(vtkMRMLSegmentationNode* segmentation, const std::string& segmentID, vtkMRMLMarkupsNode* markup, double radius = 0);
  /// About the last distance: the nearest point of the segment, and the markup's point that is nearest to it.
  void GetNearest(double nearest[3], double at[3]);
  /// About the last distance: how far it is to space that was not segmented, where nothing vouches for the distance if this
  /// is 0 or less. NaN for segments that were edited or loaded: what they left out is not known.
  double GetUnexamined();

  /// Writes the last result's labels into a table: voxels, volume, confidence.
  bool FillTable(vtkMRMLTableNode* table);
  /// The last result's warnings, a sentence per line; empty if there are none.
  std::string GetWarnings();

  /// What went wrong last, and what to do about it.
  std::string GetLastError();
  /// The library's version, build and instruction set.
  static std::string GetLibraryInfo();
  /// The attribute of a segmentation node that names what made it.
  static const char* GetModelAttributeName() { return "Spinect.ModelSHA256"; }

protected:
  vtkSlicerSpinectLogic();
  ~vtkSlicerSpinectLogic() override;

private:
  vtkSlicerSpinectLogic(const vtkSlicerSpinectLogic&) = delete;
  void operator=(const vtkSlicerSpinectLogic&) = delete;

  class vtkInternal;
  vtkInternal* Internal;
};

#endif
