/// The loadable module: its name, icon and logic.
#ifndef __qSlicerSpinectModule_h
#define __qSlicerSpinectModule_h

#include "qSlicerLoadableModule.h"

#include "qSlicerSpinectModuleExport.h"

class Q_SLICER_QTMODULES_SPINECT_EXPORT qSlicerSpinectModule : public qSlicerLoadableModule
{
  Q_OBJECT
  Q_PLUGIN_METADATA(IID "org.slicer.modules.loadable.qSlicerLoadableModule/1.0");
  Q_INTERFACES(qSlicerLoadableModule);

public:
  typedef qSlicerLoadableModule Superclass;
  explicit qSlicerSpinectModule(QObject* parent = nullptr);
  ~qSlicerSpinectModule() override;

  qSlicerGetTitleMacro(tr("Spinect"));

  QString helpText() const override;
  QString acknowledgementText() const override;
  QStringList contributors() const override;
  QIcon icon() const override;
  QStringList categories() const override;
  QStringList dependencies() const override;

protected:
  void setup() override;
  qSlicerAbstractModuleRepresentation* createWidgetRepresentation() override;
  vtkMRMLAbstractLogic* createLogic() override;

private:
  Q_DISABLE_COPY(qSlicerSpinectModule);
};

#endif
