#include "qSlicerSpinectModule.h"

#include "qSlicerSpinectModuleWidget.h"
#include "vtkSlicerSpinectLogic.h"

#include <vtkSlicerTerminologiesModuleLogic.h>

qSlicerSpinectModule::qSlicerSpinectModule(QObject* parent)
  : Superclass(parent)
{
}

qSlicerSpinectModule::~qSlicerSpinectModule() = default;

QString qSlicerSpinectModule::helpText() const
{
  return tr("Labels lumbosacral bone and nerve on plain CT, and tells how far a point or a line is from the nerve. "
            "<b>Not a medical device</b>: not for diagnosis or treatment.")
         + "<p>" + QString::fromStdString(vtkSlicerSpinectLogic::GetLibraryInfo()).toHtmlEscaped() + "</p>";
}

QString qSlicerSpinectModule::acknowledgementText() const
{
  return tr("The method is that of the SPINECT paper.");
}

QStringList qSlicerSpinectModule::contributors() const
{
  return { "The spinect authors" };
}

QIcon qSlicerSpinectModule::icon() const
{
  return QIcon(":/Icons/Spinect.png");
}

QStringList qSlicerSpinectModule::categories() const
{
  return { "Segmentation" };
}

QStringList qSlicerSpinectModule::dependencies() const
{
  return { "Segmentations", "Markups", "Terminologies", "Tables" };
}

void qSlicerSpinectModule::setup()
{
  this->Superclass::setup();
  // Nerves and levels that no terminology of 3D Slicer lists.
  auto* logic = vtkSlicerSpinectLogic::SafeDownCast(this->logic());
  auto* terminologies = vtkSlicerTerminologiesModuleLogic::SafeDownCast(logic->GetModuleLogic("Terminologies"));
  if (terminologies != nullptr)
  {
    terminologies->LoadTerminologyFromFile(logic->GetModuleShareDirectory() + "/Terminologies/Spinect.term.json");
  }
}

qSlicerAbstractModuleRepresentation* qSlicerSpinectModule::createWidgetRepresentation()
{
  return new qSlicerSpinectModuleWidget;
}

vtkMRMLAbstractLogic* qSlicerSpinectModule::createLogic()
{
  return vtkSlicerSpinectLogic::New();
}
