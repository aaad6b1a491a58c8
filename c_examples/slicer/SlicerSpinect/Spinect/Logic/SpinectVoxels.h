/// Voxels of VTK as the library sees them: where they lie in memory and in the world. Copied only where their type is none
/// of the library's.
#ifndef SpinectVoxels_h
#define SpinectVoxels_h

#include <vtkDataArray.h>
#include <vtkImageCast.h>
#include <vtkImageData.h>
#include <vtkMatrix4x4.h>
#include <vtkNew.h>
#include <vtkPointData.h>
#include <vtkSmartPointer.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "spinect.hpp"

/// The voxels of an image and a view of them. Holds the image: the view is valid as long as this lives.
class SpinectVoxels
{
public:
  /// `ijkToRAS` places the voxel whose index is (0, 0, 0), which need not be the image's first.
  SpinectVoxels(vtkImageData* image, vtkMatrix4x4* ijkToRAS)
    : Image(WithKnownType(image))
  {
    this->View.struct_size = sizeof this->View;
    this->View.voxel_type = VoxelType(this->Image->GetScalarType());
    this->View.world = SPINECT_WORLD_RAS;
    int extent[6];
    this->Image->GetExtent(extent);
    vtkIdType steps[3];
    this->Image->GetIncrements(steps);
    this->View.voxels = this->Image->GetScalarPointer(extent[0], extent[2], extent[4]);
    for (int axis = 0; axis < 3; ++axis)
    {
      this->View.dims[axis] = static_cast<std::uint64_t>(extent[2 * axis + 1] - extent[2 * axis] + 1);
      this->View.strides[axis] = static_cast<std::int64_t>(steps[axis]) * this->Image->GetScalarSize();
    }
    for (int row = 0; row < 4; ++row)
    {
      for (int column = 0; column < 4; ++column)
      {
        this->View.ijk_to_world[4 * row + column] = ijkToRAS->GetElement(row, column);
      }
    }
    for (int row = 0; row < 3; ++row)
    {
      for (int axis = 0; axis < 3; ++axis)
      {
        this->View.ijk_to_world[4 * row + 3] += ijkToRAS->GetElement(row, axis) * extent[2 * axis];
      }
    }
  }

  spinect::volume Volume() const { return spinect::volume(this->View); }
  vtkImageData* GetImage() const { return this->Image; }

private:
  /// 0 for a type that the library does not read.
  static std::int32_t VoxelType(int scalarType)
  {
    switch (scalarType)
    {
      case VTK_CHAR: return static_cast<char>(-1) < 0 ? SPINECT_VOXEL_INT8 : SPINECT_VOXEL_UINT8;
      case VTK_SIGNED_CHAR: return SPINECT_VOXEL_INT8;
      case VTK_UNSIGNED_CHAR: return SPINECT_VOXEL_UINT8;
      case VTK_SHORT: return SPINECT_VOXEL_INT16;
      case VTK_UNSIGNED_SHORT: return SPINECT_VOXEL_UINT16;
      case VTK_INT: return SPINECT_VOXEL_INT32;
      case VTK_FLOAT: return SPINECT_VOXEL_FLOAT32;
      case VTK_DOUBLE: return SPINECT_VOXEL_FLOAT64;
      default: return 0;
    }
  }

  static vtkSmartPointer<vtkImageData> WithKnownType(vtkImageData* image)
  {
    if (image == nullptr || image->GetPointData()->GetScalars() == nullptr || image->GetNumberOfPoints() == 0)
    {
      throw std::invalid_argument("the volume has no voxels");
    }
    if (image->GetNumberOfScalarComponents() != 1)
    {
      throw std::invalid_argument("the volume has several numbers per voxel: a CT has one");
    }
    if (VoxelType(image->GetScalarType()) != 0)
    {
      return image;
    }
    vtkNew<vtkImageCast> cast; // 64-bit and unsigned 32-bit whole numbers: Hounsfield units are exact in double
    cast->SetInputData(image);
    cast->SetOutputScalarTypeToDouble();
    cast->Update();
    return cast->GetOutput();
  }

  vtkSmartPointer<vtkImageData> Image;
  spinect_volume View{};
};

#endif
