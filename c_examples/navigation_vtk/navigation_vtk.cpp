/// navigation_vtk MODEL INPUT PICTURE.png: a CT, its nerves, and two planned approaches colored by how far they stay away.
///
/// The same calls as navigation.cpp, with VTK for the eyes: two slices of the CT where they lie, bone (translucent) and nerve as
/// surfaces, and each approach as a tube whose color is the clearance of an instrument of 1.5 mm radius at that depth. Rendered
/// without a window; where VTK draws by X11 only, run it under `xvfb-run -a`. Everything is in RAS millimeters.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include <vtkActor.h>
#include <vtkCamera.h>
#include <vtkCellArray.h>
#include <vtkDoubleArray.h>
#include <vtkImageData.h>
#include <vtkImageProperty.h>
#include <vtkImageSlice.h>
#include <vtkImageSliceMapper.h>
#include <vtkLookupTable.h>
#include <vtkMatrix4x4.h>
#include <vtkNew.h>
#include <vtkPNGWriter.h>
#include <vtkPointData.h>
#include <vtkPoints.h>
#include <vtkPolyData.h>
#include <vtkPolyDataMapper.h>
#include <vtkPolyDataNormals.h>
#include <vtkPolyLine.h>
#include <vtkProperty.h>
#include <vtkRenderWindow.h>
#include <vtkRenderer.h>
#include <vtkScalarBarActor.h>
#include <vtkSmartPointer.h>
#include <vtkTextActor.h>
#include <vtkTextProperty.h>
#include <vtkTubeFilter.h>
#include <vtkWindowToImageFilter.h>

#include "spinect.hpp"

namespace {

constexpr double tool_radius_mm = 1.5;
constexpr double safe_mm = 10; // green from here on

/// Beginning and tip in RAS mm from the middle of the nerve: one comes from behind and the side and stops beside it, one comes
/// along the midline and enters it.
struct approach {
  spinect::point entry;
  spinect::point tip;
};
constexpr approach approaches[] = {{{45, -50, 17}, {16, 2, 12}}, {{0, -60, 8}, {0, -1, 0}}};

// ---------------------------------------------------------------------------------------------------------------- CT

/// The affine of a CT in RAS, whatever its own world.
vtkSmartPointer<vtkMatrix4x4> ras_matrix(const spinect::geometry& where) {
  const auto matrix = vtkSmartPointer<vtkMatrix4x4>::New();
  matrix->DeepCopy(where.ijk_to_world.data());
  if (where.space == spinect::world::lps) {
    for (int column = 0; column < 4; ++column) {
      matrix->SetElement(0, column, -matrix->GetElement(0, column));
      matrix->SetElement(1, column, -matrix->GetElement(1, column));
    }
  }
  return matrix;
}

double hounsfield(const spinect_volume& ct, std::size_t index) {
  const auto stored = [&]() -> double {
    switch (ct.voxel_type) {
    case SPINECT_VOXEL_INT8: return static_cast<const std::int8_t*>(ct.voxels)[index];
    case SPINECT_VOXEL_UINT8: return static_cast<const std::uint8_t*>(ct.voxels)[index];
    case SPINECT_VOXEL_INT16: return static_cast<const std::int16_t*>(ct.voxels)[index];
    case SPINECT_VOXEL_UINT16: return static_cast<const std::uint16_t*>(ct.voxels)[index];
    case SPINECT_VOXEL_INT32: return static_cast<const std::int32_t*>(ct.voxels)[index];
    case SPINECT_VOXEL_FLOAT32: return static_cast<const float*>(ct.voxels)[index];
    case SPINECT_VOXEL_FLOAT64: return static_cast<const double*>(ct.voxels)[index];
    default: throw std::runtime_error("a type of voxel that this program does not know");
    }
  };
  return ct.rescale_slope == 0 ? stored() : ct.rescale_slope * stored() + ct.rescale_intercept;
}

/// The CT on its own grid; its affine is given to the actors, so that any orientation and shear is shown as it is.
vtkSmartPointer<vtkImageData> ct_image(const spinect_volume& ct) {
  const auto image = vtkSmartPointer<vtkImageData>::New();
  image->SetDimensions(static_cast<int>(ct.dims[0]), static_cast<int>(ct.dims[1]), static_cast<int>(ct.dims[2]));
  image->AllocateScalars(VTK_SHORT, 1);
  auto* voxels = static_cast<short*>(image->GetScalarPointer());
  const auto count = static_cast<std::size_t>(ct.dims[0] * ct.dims[1] * ct.dims[2]);
  for (std::size_t n = 0; n < count; ++n) {
    voxels[n] = static_cast<short>(std::clamp(hounsfield(ct, n), -1024.0, 3071.0));
  }
  return image;
}

void add_slices(vtkRenderer* renderer, vtkImageData* image, vtkMatrix4x4* to_ras, const spinect::point& through) {
  vtkNew<vtkMatrix4x4> to_index;
  vtkMatrix4x4::Invert(to_ras, to_index);
  const double at[4] = {through[0], through[1], through[2], 1};
  double index[4];
  to_index->MultiplyPoint(at, index);
  // The slice that is nearest to coronal would stand between the eye and the nerve.
  int coronal = 0;
  for (int axis = 1; axis < 3; ++axis) {
    coronal = std::abs(to_ras->GetElement(1, axis)) > std::abs(to_ras->GetElement(1, coronal)) ? axis : coronal;
  }
  for (int axis = 0; axis < 3; ++axis) {
    if (axis == coronal) {
      continue;
    }
    vtkNew<vtkImageSliceMapper> mapper;
    mapper->SetInputData(image);
    mapper->SetOrientation(axis);
    mapper->SetSliceNumber(std::clamp(static_cast<int>(index[axis] + 0.5), 0, image->GetDimensions()[axis] - 1));
    vtkNew<vtkImageSlice> slice;
    slice->SetMapper(mapper);
    slice->SetUserMatrix(to_ras);
    slice->GetProperty()->SetColorWindow(700); // soft tissue and bone
    slice->GetProperty()->SetColorLevel(150);
    slice->GetProperty()->SetInterpolationTypeToLinear();
    renderer->AddViewProp(slice);
  }
}

// ----------------------------------------------------------------------------------------------------------- anatomy

void add_surface(vtkRenderer* renderer, const spinect::segmentation& anatomy, const spinect_label& label, double opacity) {
  spinect::surface_config config;
  config.space = spinect::world::ras;
  config.smoothing_mm = 1;
  config.reduction = 0.5;
  const spinect::surface mesh = anatomy.surface(label.value, config);
  const auto coordinates = mesh.points();
  const auto corners = mesh.triangles();
  vtkNew<vtkPoints> points;
  for (std::size_t n = 0; n < coordinates.size(); n += 3) {
    points->InsertNextPoint(coordinates[n], coordinates[n + 1], coordinates[n + 2]);
  }
  vtkNew<vtkCellArray> triangles;
  for (std::size_t n = 0; n < corners.size(); n += 3) {
    triangles->InsertNextCell({vtkIdType{corners[n]}, vtkIdType{corners[n + 1]}, vtkIdType{corners[n + 2]}});
  }
  vtkNew<vtkPolyData> data;
  data->SetPoints(points);
  data->SetPolys(triangles);
  vtkNew<vtkPolyDataNormals> normals;
  normals->SetInputData(data);
  normals->SplittingOff();
  vtkNew<vtkPolyDataMapper> mapper;
  mapper->SetInputConnection(normals->GetOutputPort());
  vtkNew<vtkActor> actor;
  actor->SetMapper(mapper);
  actor->GetProperty()->SetColor(label.rgb[0] / 255.0, label.rgb[1] / 255.0, label.rgb[2] / 255.0);
  actor->GetProperty()->SetOpacity(opacity);
  renderer->AddActor(actor);
}

// ---------------------------------------------------------------------------------------------------------- approach

/// Red where the instrument touches the nerve, yellow between, green from 10 mm on.
vtkSmartPointer<vtkLookupTable> clearance_colors() {
  const auto colors = vtkSmartPointer<vtkLookupTable>::New();
  colors->SetRange(0, safe_mm);
  colors->SetHueRange(0, 1.0 / 3);
  colors->Build();
  return colors;
}

void add_approach(vtkRenderer* renderer, vtkLookupTable* colors, const spinect::segmentation& anatomy, std::int32_t nerve,
                  const spinect::point& target, const approach& plan) {
  constexpr int samples = 200;
  vtkNew<vtkPoints> points;
  vtkNew<vtkDoubleArray> clearances;
  vtkNew<vtkPolyLine> line;
  line->GetPointIds()->SetNumberOfIds(samples + 1);
  double least = 1e9;
  for (int n = 0; n <= samples; ++n) {
    spinect::point at{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      at[axis] = target[axis] + plan.entry[axis] + (plan.tip[axis] - plan.entry[axis]) * n / samples;
    }
    const double clearance = anatomy.distance(nerve, spinect::world::ras, at).distance_mm - tool_radius_mm;
    least = std::min(least, clearance);
    points->InsertNextPoint(at.data());
    clearances->InsertNextValue(clearance);
    line->GetPointIds()->SetId(n, n);
  }
  vtkNew<vtkCellArray> lines;
  lines->InsertNextCell(line);
  vtkNew<vtkPolyData> data;
  data->SetPoints(points);
  data->SetLines(lines);
  data->GetPointData()->SetScalars(clearances);
  vtkNew<vtkTubeFilter> tube;
  tube->SetInputData(data);
  tube->SetRadius(tool_radius_mm);
  tube->SetNumberOfSides(24);
  tube->CappingOn();
  vtkNew<vtkPolyDataMapper> mapper;
  mapper->SetInputConnection(tube->GetOutputPort());
  mapper->SetLookupTable(colors);
  mapper->UseLookupTableScalarRangeOn();
  vtkNew<vtkActor> actor;
  actor->SetMapper(mapper);
  actor->GetProperty()->SetAmbient(0.4);
  renderer->AddActor(actor);
  std::printf("an approach comes within %.2f mm of the nerve\n", least);
}

// ----------------------------------------------------------------------------------------------------------- picture

void add_text(vtkRenderer* renderer, const char* text, int x, int y, int size) {
  vtkNew<vtkTextActor> actor;
  actor->SetInput(text);
  actor->SetDisplayPosition(x, y);
  actor->GetTextProperty()->SetFontSize(size);
  actor->GetTextProperty()->SetColor(1, 1, 1);
  renderer->AddActor2D(actor);
}

void write_picture(vtkRenderer* renderer, const spinect::point& target, const char* path) {
  vtkNew<vtkRenderWindow> window;
  window->SetOffScreenRendering(1);
  window->SetMultiSamples(8);
  window->SetSize(1200, 800);
  window->AddRenderer(renderer);
  // From behind, from the patient's right and from above, as a surgeon stands.
  vtkCamera* camera = renderer->GetActiveCamera();
  camera->SetFocalPoint(target.data());
  camera->SetPosition(target[0] + 190, target[1] - 300, target[2] + 150);
  camera->SetViewUp(0, 0, 1);
  renderer->ResetCamera();
  camera->Zoom(1.35);
  renderer->ResetCameraClippingRange();
  window->Render();
  vtkNew<vtkWindowToImageFilter> grab;
  grab->SetInput(window);
  grab->ReadFrontBufferOff();
  vtkNew<vtkPNGWriter> writer;
  writer->SetInputConnection(grab->GetOutputPort());
  writer->SetFileName(path);
  writer->Write();
  if (writer->GetErrorCode() != 0) {
    throw std::runtime_error(std::string(path) + " could not be written");
  }
}

void run(const char* model, const char* input, const char* picture) {
  auto session = spinect::session::create();
  session.load_weights(model);
  const auto image = spinect::image::read(input);
  const auto ct = image.view();
  auto anatomy = session.segment(ct);
  const std::int32_t nerve = session.find_label("nerve");
  anatomy.prepare_queries(nerve);

  vtkNew<vtkRenderer> renderer;
  renderer->SetBackground(0.08, 0.09, 0.11);
  const auto to_ras = ras_matrix(anatomy.geometry());
  spinect::point target{};
  for (const spinect_label& label : anatomy.label_table()) {
    if (label.value == 0 || label.voxels == 0) {
      continue;
    }
    add_surface(renderer, anatomy, label, label.value == nerve ? 1 : 0.15);
    if (label.value == nerve) {
      const double sign = anatomy.geometry().space == spinect::world::lps ? -1 : 1;
      target = {sign * label.centroid[0], sign * label.centroid[1], label.centroid[2]};
    }
  }
  add_slices(renderer, ct_image(*ct.get()), to_ras, target);
  const auto colors = clearance_colors();
  for (const approach& plan : approaches) {
    add_approach(renderer, colors, anatomy, nerve, target, plan);
  }
  vtkNew<vtkScalarBarActor> bar;
  bar->SetLookupTable(colors);
  bar->SetTitle("clearance in mm\n");
  bar->SetLabelFormat("%.0f");
  bar->SetNumberOfLabels(6);
  bar->UnconstrainedFontSizeOn();
  for (vtkTextProperty* text : {bar->GetTitleTextProperty(), bar->GetLabelTextProperty()}) {
    text->SetFontSize(16);
    text->ItalicOff();
    text->ShadowOff();
  }
  bar->SetMaximumWidthInPixels(120);
  bar->SetMaximumHeightInPixels(320);
  bar->SetPosition(0.87, 0.1);
  renderer->AddActor2D(bar);
  if ((anatomy.provenance().warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0) {
    add_text(renderer, "demonstration model: not for patients", 20, 20, 20);
  }
  write_picture(renderer, target, picture);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s MODEL INPUT PICTURE.png\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const spinect::error& error) {
    std::fprintf(stderr, "error: %s (%s)\n", error.what(), error.name());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}
