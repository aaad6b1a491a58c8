#include "qSlicerSpinectModuleWidget.h"
#include "ui_qSlicerSpinectModuleWidget.h"

#include "vtkSlicerSpinectLogic.h"

#include <vtkMRMLMarkupsNode.h>
#include <vtkMRMLMarkupsROINode.h>
#include <vtkMRMLScalarVolumeNode.h>
#include <vtkMRMLScene.h>
#include <vtkMRMLSegmentationDisplayNode.h>
#include <vtkMRMLSegmentationNode.h>
#include <vtkMRMLTableNode.h>
#include <vtkSegment.h>
#include <vtkSegmentation.h>
#include <vtkWeakPointer.h>

#include <QTimer>

#include <cmath>

class qSlicerSpinectModuleWidgetPrivate : public Ui_qSlicerSpinectModuleWidget
{
  Q_DECLARE_PUBLIC(qSlicerSpinectModuleWidget);

protected:
  qSlicerSpinectModuleWidget* const q_ptr;

public:
  explicit qSlicerSpinectModuleWidgetPrivate(qSlicerSpinectModuleWidget& object)
    : q_ptr(&object)
  {
  }

  vtkSlicerSpinectLogic* logic() const
  {
    Q_Q(const qSlicerSpinectModuleWidget);
    return vtkSlicerSpinectLogic::SafeDownCast(q->logic());
  }
  vtkMRMLSegmentationNode* output() const { return vtkMRMLSegmentationNode::SafeDownCast(this->OutputSelector->currentNode()); }
  vtkMRMLMarkupsNode* markup() const { return vtkMRMLMarkupsNode::SafeDownCast(this->MarkupSelector->currentNode()); }

  /// Shows the end of a run.
  void showResult();

  QTimer Timer;
  vtkWeakPointer<vtkMRMLNode> ObservedMarkup;
};

void qSlicerSpinectModuleWidgetPrivate::showResult()
{
  Q_Q(qSlicerSpinectModuleWidget);
  vtkSlicerSpinectLogic* logic = this->logic();
  if (!logic->GetSucceeded())
  {
    this->StatusLabel->setText(QString::fromStdString(logic->GetLastError()));
    return;
  }
  this->StatusLabel->setText(QString::fromStdString(logic->GetWarnings()));
  auto* table = vtkMRMLTableNode::SafeDownCast(this->ResultTableView->mrmlTableNode());
  if (table == nullptr)
  {
    table = vtkMRMLTableNode::SafeDownCast(q->mrmlScene()->AddNewNodeByClass("vtkMRMLTableNode", "Spinect volumes"));
    this->ResultTableView->setMRMLTableNode(table);
  }
  logic->FillTable(table);
  q->updateSegments();
  q->onSurfaceToggled(this->SurfaceCheckBox->isChecked());
}

//-----------------------------------------------------------------------------
qSlicerSpinectModuleWidget::qSlicerSpinectModuleWidget(QWidget* parent)
  : Superclass(parent)
  , d_ptr(new qSlicerSpinectModuleWidgetPrivate(*this))
{
}

qSlicerSpinectModuleWidget::~qSlicerSpinectModuleWidget() = default;

void qSlicerSpinectModuleWidget::setup()
{
  Q_D(qSlicerSpinectModuleWidget);
  d->setupUi(this);
  this->Superclass::setup();
  d->ModelPath->setSettingKey("SpinectModel");
  d->DeviceComboBox->addItem(tr("Automatic"), vtkSlicerSpinectLogic::DeviceAutomatic);
  d->DeviceComboBox->addItem(tr("CPU"), vtkSlicerSpinectLogic::DeviceCPU);
  d->DeviceComboBox->addItem(tr("CUDA"), vtkSlicerSpinectLogic::DeviceCUDA);
  d->ProgressBar->hide();
  d->Timer.setInterval(50);
  connect(&d->Timer, SIGNAL(timeout()), this, SLOT(onTimer()));
  connect(d->RunButton, SIGNAL(clicked()), this, SLOT(onRunClicked()));
  connect(d->InputSelector, SIGNAL(currentNodeChanged(vtkMRMLNode*)), this, SLOT(updateButtons()));
  connect(d->ModelPath, SIGNAL(currentPathChanged(QString)), this, SLOT(updateButtons()));
  connect(d->OutputSelector, SIGNAL(currentNodeChanged(vtkMRMLNode*)), this, SLOT(onOutputChanged(vtkMRMLNode*)));
  connect(d->SurfaceCheckBox, SIGNAL(toggled(bool)), this, SLOT(onSurfaceToggled(bool)));
  connect(d->MarkupSelector, SIGNAL(currentNodeChanged(vtkMRMLNode*)), this, SLOT(onMarkupChanged(vtkMRMLNode*)));
  connect(d->SegmentComboBox, SIGNAL(currentIndexChanged(int)), this, SLOT(updateDistance()));
  connect(d->RadiusSpinBox, SIGNAL(valueChanged(double)), this, SLOT(updateDistance()));
  this->updateButtons();
}

void qSlicerSpinectModuleWidget::setMRMLScene(vtkMRMLScene* scene)
{
  this->Superclass::setMRMLScene(scene);
  this->updateButtons();
}

void qSlicerSpinectModuleWidget::onRunClicked()
{
  Q_D(qSlicerSpinectModuleWidget);
  if (d->Timer.isActive())
  {
    d->logic()->Cancel();
    return;
  }
  const std::string model = d->ModelPath->currentPath().toStdString();
  auto* ct = vtkMRMLScalarVolumeNode::SafeDownCast(d->InputSelector->currentNode());
  auto* region = vtkMRMLMarkupsROINode::SafeDownCast(d->RegionSelector->currentNode());
  if (!d->logic()->SetModel(model, d->DeviceComboBox->currentData().toInt()) || !d->logic()->StartSegmentation(ct, d->output(), region))
  {
    d->StatusLabel->setText(QString::fromStdString(d->logic()->GetLastError()));
    return;
  }
  d->StatusLabel->clear();
  d->ProgressBar->setValue(0);
  d->ProgressBar->show();
  d->Timer.start();
  this->updateButtons();
}

void qSlicerSpinectModuleWidget::onTimer()
{
  Q_D(qSlicerSpinectModuleWidget);
  const bool running = d->logic()->UpdateSegmentation();
  d->ProgressBar->setValue(static_cast<int>(100 * d->logic()->GetProgress()));
  d->ProgressBar->setFormat(QString::fromStdString(d->logic()->GetProgressStage()) + " %p %");
  if (!running)
  {
    d->Timer.stop();
    d->ProgressBar->hide();
    d->showResult();
    this->updateButtons();
  }
}

void qSlicerSpinectModuleWidget::updateButtons()
{
  Q_D(qSlicerSpinectModuleWidget);
  const bool running = d->Timer.isActive();
  d->RunButton->setText(running ? tr("Cancel") : tr("Segment"));
  d->RunButton->setEnabled(running || (d->InputSelector->currentNode() && d->output() && !d->ModelPath->currentPath().isEmpty()));
  for (QWidget* widget : { static_cast<QWidget*>(d->InputSelector), static_cast<QWidget*>(d->RegionSelector), static_cast<QWidget*>(d->ModelPath),
                           static_cast<QWidget*>(d->DeviceComboBox), static_cast<QWidget*>(d->OutputSelector) })
  {
    widget->setEnabled(!running);
  }
}

void qSlicerSpinectModuleWidget::onOutputChanged(vtkMRMLNode* node)
{
  Q_D(qSlicerSpinectModuleWidget);
  this->qvtkDisconnectAll();
  d->ObservedMarkup = nullptr;
  if (node != nullptr)
  {
    this->qvtkConnect(node, vtkSegmentation::SourceRepresentationModified, this, SLOT(updateDistance()));
    this->qvtkConnect(node, vtkSegmentation::SegmentAdded, this, SLOT(updateSegments()));
    this->qvtkConnect(node, vtkSegmentation::SegmentRemoved, this, SLOT(updateSegments()));
  }
  this->onMarkupChanged(d->markup());
  this->updateSegments();
  this->updateButtons();
}

void qSlicerSpinectModuleWidget::onMarkupChanged(vtkMRMLNode* node)
{
  Q_D(qSlicerSpinectModuleWidget);
  for (int event : { int(vtkMRMLMarkupsNode::PointModifiedEvent), int(vtkMRMLTransformableNode::TransformModifiedEvent) })
  {
    if (d->ObservedMarkup != nullptr)
    {
      this->qvtkDisconnect(d->ObservedMarkup, event, this, SLOT(updateDistance()));
    }
    if (node != nullptr)
    {
      this->qvtkConnect(node, event, this, SLOT(updateDistance()));
    }
  }
  d->ObservedMarkup = node;
  this->updateDistance();
}

void qSlicerSpinectModuleWidget::updateSegments()
{
  Q_D(qSlicerSpinectModuleWidget);
  const QString before = d->SegmentComboBox->currentData().toString();
  d->SegmentComboBox->clear();
  if (d->output() != nullptr && d->output()->GetSegmentation() != nullptr)
  {
    for (const std::string& id : d->output()->GetSegmentation()->GetSegmentIDs())
    {
      const char* name = d->output()->GetSegmentation()->GetSegment(id)->GetName();
      d->SegmentComboBox->addItem(QString::fromUtf8(name), QString::fromStdString(id));
    }
  }
  // The nerve, unless something else was chosen.
  const int chosen = d->SegmentComboBox->findData(before);
  d->SegmentComboBox->setCurrentIndex(chosen >= 0 ? chosen : d->SegmentComboBox->findText("nerve"));
  this->updateDistance();
}

void qSlicerSpinectModuleWidget::onSurfaceToggled(bool shown)
{
  Q_D(qSlicerSpinectModuleWidget);
  if (d->output() == nullptr || d->output()->GetSegmentation() == nullptr || d->output()->GetSegmentation()->GetNumberOfSegments() == 0)
  {
    return;
  }
  if (shown)
  {
    d->output()->CreateClosedSurfaceRepresentation();
  }
  else
  {
    d->output()->RemoveClosedSurfaceRepresentation();
  }
}

void qSlicerSpinectModuleWidget::updateDistance()
{
  Q_D(qSlicerSpinectModuleWidget);
  const std::string segment = d->SegmentComboBox->currentData().toString().toStdString();
  if (d->output() == nullptr || d->markup() == nullptr || segment.empty() || d->markup()->GetNumberOfControlPoints() == 0)
  {
    d->DistanceLabel->setText(QString("–"));
    d->UnexaminedLabel->clear();
    return;
  }
  const double distance = d->logic()->GetDistance(d->output(), segment, d->markup(), d->RadiusSpinBox->value());
  if (std::isnan(distance))
  {
    d->DistanceLabel->setText(QString("–"));
    d->UnexaminedLabel->setText(QString::fromStdString(d->logic()->GetLastError()));
    return;
  }
  d->DistanceLabel->setText(QString("%1 mm").arg(distance, 0, 'f', 1));
  const double unexamined = d->logic()->GetUnexamined();
  d->UnexaminedLabel->setText(std::isnan(unexamined) ? tr("edited or loaded: what was not segmented is not known")
                              : unexamined <= 0      ? tr("NOT SEGMENTED here: nothing vouches for this distance")
                                                     : tr("%1 mm to what was not segmented").arg(unexamined, 0, 'f', 1));
}
