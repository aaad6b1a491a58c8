/// The panel: it shows what the logic knows and asks it for what the user wants. It cannot be compiled without a build of 3D
/// Slicer, so whatever can be is in the logic.
#ifndef __qSlicerSpinectModuleWidget_h
#define __qSlicerSpinectModuleWidget_h

#include "qSlicerAbstractModuleWidget.h"

#include <ctkVTKObject.h>

#include "qSlicerSpinectModuleExport.h"

class qSlicerSpinectModuleWidgetPrivate;
class vtkMRMLNode;

class Q_SLICER_QTMODULES_SPINECT_EXPORT qSlicerSpinectModuleWidget : public qSlicerAbstractModuleWidget
{
  Q_OBJECT
  QVTK_OBJECT

public:
  typedef qSlicerAbstractModuleWidget Superclass;
  explicit qSlicerSpinectModuleWidget(QWidget* parent = nullptr);
  ~qSlicerSpinectModuleWidget() override;

public slots:
  void setMRMLScene(vtkMRMLScene* scene) override;

protected slots:
  /// Runs, or cancels a run.
  void onRunClicked();
  /// Of the timer, while a run goes on.
  void onTimer();
  void onMarkupChanged(vtkMRMLNode* node);
  void onOutputChanged(vtkMRMLNode* node);
  void onSurfaceToggled(bool shown);
  /// Enables what can be used now.
  void updateButtons();
  /// Tells the distance of the markup; called whenever one of its points moves.
  void updateDistance();
  /// Lists the segments of the output.
  void updateSegments();

protected:
  void setup() override;

  QScopedPointer<qSlicerSpinectModuleWidgetPrivate> d_ptr;

private:
  Q_DECLARE_PRIVATE(qSlicerSpinectModuleWidget);
  Q_DISABLE_COPY(qSlicerSpinectModuleWidget);
};

#endif
