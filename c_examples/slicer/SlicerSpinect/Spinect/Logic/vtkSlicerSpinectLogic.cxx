#include "vtkSlicerSpinectLogic.h"

#include <vtkMRMLMarkupsLineNode.h>
#include <vtkMRMLMarkupsROINode.h>
#include <vtkMRMLScalarVolumeNode.h>
#include <vtkMRMLSegmentationNode.h>
#include <vtkMRMLTableNode.h>
#include <vtkMRMLTransformNode.h>

#include <vtkDoubleArray.h>
#include <vtkGeneralTransform.h>
#include <vtkNew.h>
#include <vtkObjectFactory.h>
#include <vtkStringArray.h>
#include <vtkTable.h>
#include <vtkWeakPointer.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>

#include "../../../spinect_warnings.hpp"
#include "SpinectDistances.h"
#include "SpinectSegments.h"
#include "SpinectVoxels.h"

namespace
{

/// A box in the coordinates of a volume node: the smallest along their axes around the region.
spinect::region RegionOf(vtkMRMLMarkupsROINode* region, vtkMRMLScalarVolumeNode* ct)
{
  double bounds[6];
  region->GetRASBounds(bounds);
  if (!(bounds[0] <= bounds[1] && bounds[2] <= bounds[3] && bounds[4] <= bounds[5]))
  {
    throw std::invalid_argument("the region is empty");
  }
  vtkNew<vtkGeneralTransform> worldToCT;
  vtkMRMLTransformNode::GetTransformBetweenNodes(nullptr, ct->GetParentTransformNode(), worldToCT);
  const double infinity = std::numeric_limits<double>::infinity();
  spinect::region box{ { infinity, infinity, infinity }, { -infinity, -infinity, -infinity } };
  for (int corner = 0; corner < 8; ++corner)
  {
    const double world[3] = { bounds[corner & 1], bounds[2 + (corner >> 1 & 1)], bounds[4 + (corner >> 2)] };
    double moved[3];
    worldToCT->TransformPoint(world, moved);
    for (int axis = 0; axis < 3; ++axis)
    {
      box.min[axis] = std::min(box.min[axis], moved[axis]);
      box.max[axis] = std::max(box.max[axis], moved[axis]);
    }
  }
  return box;
}

} // namespace

//----------------------------------------------------------------------------
class vtkSlicerSpinectLogic::vtkInternal
{
public:
  ~vtkInternal() { this->Join(); }

  /// Does something that may throw; false if it did, with what it said as the last error.
  bool Try(const std::function<void()>& work)
  {
    try
    {
      work();
      return true;
    }
    catch (const spinect::error& error)
    {
      this->LastError = std::string(error.what()) + " (" + error.name() + ")";
    }
    catch (const std::exception& error)
    {
      this->LastError = error.what();
    }
    return false;
  }

  /// Before a segmentation, on the thread of the scene: everything that it needs of the nodes.
  void Begin(vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output, vtkMRMLMarkupsROINode* region)
  {
    this->Succeeded = false;
    if (this->Running)
    {
      throw std::logic_error("a segmentation is running already");
    }
    if (ct == nullptr || output == nullptr)
    {
      throw std::invalid_argument("a CT and an output segmentation are needed");
    }
    if (!this->Session)
    {
      throw std::logic_error("no model is loaded");
    }
    if (!SpinectMayReplace(output))
    {
      throw std::invalid_argument("the output has segments that spinect did not make: choose another, or a new one");
    }
    vtkNew<vtkMatrix4x4> ijkToRAS;
    ct->GetIJKToRASMatrix(ijkToRAS);
    this->Voxels = std::make_unique<SpinectVoxels>(ct->GetImageData(), ijkToRAS);
    this->Run = spinect::run();
    if (region != nullptr)
    {
      this->Run.roi = RegionOf(region, ct);
    }
    this->Stop.reset();
    this->Run.cancel = &this->Stop;
    this->CT = ct;
    this->Output = output;
    this->SetProgress(0, "prepare");
  }

  /// The segmentation itself: no node is touched. What it throws waits for End.
  void Compute()
  {
    this->Thrown = nullptr;
    try
    {
      this->Result = this->Session.segment(this->Voxels->Volume(), this->Run);
    }
    catch (...)
    {
      this->Thrown = std::current_exception();
    }
  }

  /// After a segmentation, on the thread of the scene.
  void End()
  {
    this->Voxels.reset();
    if (this->Thrown)
    {
      std::rethrow_exception(this->Thrown);
    }
    if (this->CT == nullptr || this->Output == nullptr)
    {
      throw std::runtime_error("the CT or the output was removed meanwhile");
    }
    vtkOrientedImageData* labels = SpinectDeliver(this->Result, this->CT, this->Output);
    this->Distances.Remember(std::move(this->Result), this->Output, labels);
    this->Succeeded = true;
  }

  void Join()
  {
    if (this->Worker.joinable())
    {
      this->Stop.set();
      this->Worker.join();
    }
  }

  void SetProgress(double fraction, const char* stage)
  {
    const std::lock_guard<std::mutex> lock(this->ProgressMutex);
    this->Fraction = fraction;
    this->Stage = stage;
  }

  double GetProgress(std::string* stage = nullptr)
  {
    const std::lock_guard<std::mutex> lock(this->ProgressMutex);
    if (stage != nullptr)
    {
      *stage = this->Stage;
    }
    return this->Fraction;
  }

  spinect::session Session;
  std::string Model;
  int Device = 0;
  int Threads = 0;
  std::string LastError;

  spinect::cancel Stop = spinect::cancel::create();
  spinect::run Run;
  std::unique_ptr<SpinectVoxels> Voxels;
  vtkWeakPointer<vtkMRMLScalarVolumeNode> CT;
  vtkWeakPointer<vtkMRMLSegmentationNode> Output;
  spinect::segmentation Result;
  std::exception_ptr Thrown;
  std::thread Worker;
  bool Running = false;
  std::atomic<bool> Done{ false };
  bool Succeeded = false;
  std::mutex ProgressMutex;
  double Fraction = 0;
  double Told = -1;
  std::string Stage;

  SpinectDistances Distances;
  SpinectDistance Last;
};

//----------------------------------------------------------------------------
vtkStandardNewMacro(vtkSlicerSpinectLogic);

//----------------------------------------------------------------------------
vtkSlicerSpinectLogic::vtkSlicerSpinectLogic()
  : Internal(new vtkInternal)
{
}

//----------------------------------------------------------------------------
vtkSlicerSpinectLogic::~vtkSlicerSpinectLogic()
{
  delete this->Internal;
}

//----------------------------------------------------------------------------
void vtkSlicerSpinectLogic::PrintSelf(ostream& os, vtkIndent indent)
{
  this->Superclass::PrintSelf(os, indent);
  os << indent << "Library: " << GetLibraryInfo() << "\n";
  os << indent << "Model: " << this->Internal->Model << "\n";
  os << indent << "Progress: " << this->GetProgress() << "\n";
  os << indent << "LastError: " << this->Internal->LastError << "\n";
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::SetModel(const std::string& path, int device, int threads)
{
  vtkInternal* self = this->Internal;
  return self->Try([&] {
    if (self->Running)
    {
      throw std::logic_error("a segmentation is running: cancel it, or wait for it");
    }
    if (spinect::abi_version() != SPINECT_ABI_VERSION)
    {
      throw std::runtime_error("the spinect library is of another version than this module");
    }
    if (self->Session && self->Model == path && self->Device == device && self->Threads == threads)
    {
      return;
    }
    spinect::session_config config;
    config.device = static_cast<spinect::device>(device);
    config.threads = static_cast<std::uint32_t>(std::max(threads, 0));
    spinect::session session = spinect::session::create(config);
    session.load_weights(path);
    self->Session = std::move(session);
    self->Model = path;
    self->Device = device;
    self->Threads = threads;
  });
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::SegmentVolume(vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output, vtkMRMLMarkupsROINode* region)
{
  vtkInternal* self = this->Internal;
  return self->Try([&] {
    self->Begin(ct, output, region);
    self->Run.progress = [this, self](double fraction, const char* stage) {
      self->SetProgress(fraction, stage);
      this->InvokeEvent(vtkCommand::ProgressEvent, &fraction);
      return spinect::flow::proceed;
    };
    self->Running = true;
    self->Compute();
    self->Running = false;
    self->End();
  });
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::StartSegmentation(vtkMRMLScalarVolumeNode* ct, vtkMRMLSegmentationNode* output, vtkMRMLMarkupsROINode* region)
{
  vtkInternal* self = this->Internal;
  return self->Try([&] {
    self->Begin(ct, output, region);
    self->Run.progress = [self](double fraction, const char* stage) {
      self->SetProgress(fraction, stage);
      return spinect::flow::proceed;
    };
    self->Told = -1;
    self->Done = false;
    self->Worker = std::thread([self] {
      self->Compute();
      self->Done = true;
    });
    self->Running = true;
  });
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::UpdateSegmentation()
{
  vtkInternal* self = this->Internal;
  if (!self->Running || !self->Worker.joinable())
  {
    return false;
  }
  const bool done = self->Done;
  double fraction = self->GetProgress();
  if (fraction > self->Told)
  {
    self->Told = fraction;
    this->InvokeEvent(vtkCommand::ProgressEvent, &fraction);
  }
  if (done)
  {
    self->Worker.join();
    self->Running = false;
    self->Try([&] { self->End(); });
    this->InvokeEvent(vtkCommand::EndEvent);
  }
  return self->Running;
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::GetSucceeded()
{
  return this->Internal->Succeeded;
}

//----------------------------------------------------------------------------
void vtkSlicerSpinectLogic::Cancel()
{
  this->Internal->Stop.set();
}

//----------------------------------------------------------------------------
double vtkSlicerSpinectLogic::GetProgress()
{
  return this->Internal->GetProgress();
}

//----------------------------------------------------------------------------
std::string vtkSlicerSpinectLogic::GetProgressStage()
{
  std::string stage;
  this->Internal->GetProgress(&stage);
  return stage;
}

//----------------------------------------------------------------------------
double vtkSlicerSpinectLogic::GetDistance(vtkMRMLSegmentationNode* segmentation, const std::string& segmentID, vtkMRMLMarkupsNode* markup, double radius)
{
  vtkInternal* self = this->Internal;
  SpinectDistance smallest;
  smallest.Distance = std::numeric_limits<double>::quiet_NaN();
  smallest.Unexamined = smallest.Distance;
  self->Last = smallest;
  const bool told = self->Try([&] {
    if (segmentation == nullptr || markup == nullptr)
    {
      throw std::invalid_argument("a segmentation and a markup are needed");
    }
    std::vector<spinect::point> points;
    for (int n = 0; n < markup->GetNumberOfControlPoints(); ++n)
    {
      const int status = markup->GetNthControlPointPositionStatus(n); // a point that is just being placed counts, too
      if (status == vtkMRMLMarkupsNode::PositionDefined || status == vtkMRMLMarkupsNode::PositionPreview)
      {
        spinect::point world;
        markup->GetNthControlPointPositionWorld(n, world.data());
        points.push_back(world);
      }
    }
    if (points.empty())
    {
      throw std::invalid_argument("the markup has no points yet");
    }
    if (vtkMRMLMarkupsLineNode::SafeDownCast(markup) != nullptr && points.size() == 2)
    {
      smallest = self->Distances.FromTool(segmentation, segmentID, points[0], points[1], radius);
      return;
    }
    for (const spinect::point& point : points)
    {
      const SpinectDistance distance = self->Distances.FromPoint(segmentation, segmentID, point);
      if (!(smallest.Distance <= distance.Distance))
      {
        smallest = distance;
      }
    }
  });
  if (told)
  {
    self->Last = smallest;
  }
  return self->Last.Distance;
}

//----------------------------------------------------------------------------
void vtkSlicerSpinectLogic::GetNearest(double nearest[3], double at[3])
{
  std::copy(this->Internal->Last.Nearest.begin(), this->Internal->Last.Nearest.end(), nearest);
  std::copy(this->Internal->Last.At.begin(), this->Internal->Last.At.end(), at);
}

//----------------------------------------------------------------------------
double vtkSlicerSpinectLogic::GetUnexamined()
{
  return this->Internal->Last.Unexamined;
}

//----------------------------------------------------------------------------
bool vtkSlicerSpinectLogic::FillTable(vtkMRMLTableNode* table)
{
  vtkInternal* self = this->Internal;
  return self->Try([&] {
    if (table == nullptr || !self->Distances.GetResult())
    {
      throw std::logic_error("there is no result yet, or no table for it");
    }
    vtkNew<vtkStringArray> names;
    names->SetName("Structure");
    vtkNew<vtkDoubleArray> columns[3];
    columns[0]->SetName("Voxels");
    columns[1]->SetName("Volume [ml]");
    columns[2]->SetName("Mean confidence");
    for (const spinect_label& label : self->Distances.GetResult().label_table())
    {
      if (label.value != 0)
      {
        names->InsertNextValue(label.name);
        columns[0]->InsertNextValue(static_cast<double>(label.voxels));
        columns[1]->InsertNextValue(label.volume_mm3 / 1000);
        columns[2]->InsertNextValue(label.mean_confidence);
      }
    }
    vtkNew<vtkTable> values;
    values->AddColumn(names);
    for (vtkDoubleArray* column : { columns[0].Get(), columns[1].Get(), columns[2].Get() })
    {
      values->AddColumn(column);
    }
    table->SetAndObserveTable(values);
  });
}

//----------------------------------------------------------------------------
std::string vtkSlicerSpinectLogic::GetWarnings()
{
  std::string lines;
  this->Internal->Try([&] {
    if (this->Internal->Distances.GetResult())
    {
      for (const spinect_warning_text& warning : spinect_warnings(this->Internal->Distances.GetResult().provenance().warnings))
      {
        lines += (lines.empty() ? "" : "\n") + std::string(warning.text);
      }
    }
  });
  return lines;
}

//----------------------------------------------------------------------------
std::string vtkSlicerSpinectLogic::GetLastError()
{
  return this->Internal->LastError;
}

//----------------------------------------------------------------------------
std::string vtkSlicerSpinectLogic::GetLibraryInfo()
{
  return spinect::build_info();
}
