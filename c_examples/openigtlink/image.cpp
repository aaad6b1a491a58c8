#include "image.hpp"

#include <cstring>
#include <utility>

#include <igtlStatusMessage.h>
#include <igtl_image.h>
#include <igtl_util.h>

namespace {

[[noreturn]] void refuse(const std::string& why) { throw refused(igtl::StatusMessage::STATUS_CONFIG_ERROR, "IMAGE: " + why); }

/// The type of the voxels for spinect, which has no unsigned numbers of 32 bits: those become 64-bit floating point, exactly.
std::int32_t voxel_type(int scalar) {
  switch (scalar) {
  case IGTL_IMAGE_STYPE_TYPE_INT8: return SPINECT_VOXEL_INT8;
  case IGTL_IMAGE_STYPE_TYPE_UINT8: return SPINECT_VOXEL_UINT8;
  case IGTL_IMAGE_STYPE_TYPE_INT16: return SPINECT_VOXEL_INT16;
  case IGTL_IMAGE_STYPE_TYPE_UINT16: return SPINECT_VOXEL_UINT16;
  case IGTL_IMAGE_STYPE_TYPE_INT32: return SPINECT_VOXEL_INT32;
  case IGTL_IMAGE_STYPE_TYPE_UINT32: return SPINECT_VOXEL_FLOAT64;
  case IGTL_IMAGE_STYPE_TYPE_FLOAT32: return SPINECT_VOXEL_FLOAT32;
  case IGTL_IMAGE_STYPE_TYPE_FLOAT64: return SPINECT_VOXEL_FLOAT64;
  default: refuse("scalar type " + std::to_string(scalar) + " is none");
  }
}

/// Turns the bytes of every number around.
void swap_bytes(bytes& voxels, std::size_t size) {
  for (std::size_t at = 0; at + size <= voxels.size(); at += size) {
    for (std::size_t low = 0, high = size - 1; low < high; ++low, --high) {
      std::swap(voxels[at + low], voxels[at + high]);
    }
  }
}

bytes widened(const bytes& voxels) {
  bytes result(2 * voxels.size());
  for (std::size_t at = 0; at < voxels.size(); at += 4) {
    std::uint32_t number;
    std::memcpy(&number, &voxels[at], 4);
    const auto wide = static_cast<double>(number);
    std::memcpy(&result[2 * at], &wide, 8);
  }
  return result;
}

} // namespace

received_image::received_image(const message& from) : view_(spinect::sized<spinect_volume>()) {
  static_assert(sizeof(igtl_image_header) == IGTL_IMAGE_HEADER_SIZE, "the header is packed");
  if (from.content.size() < IGTL_IMAGE_HEADER_SIZE) {
    refuse("shorter than its header");
  }
  const auto split = from.content.begin() + IGTL_IMAGE_HEADER_SIZE;
  header_.assign(from.content.begin(), split);
  igtl_image_header header;
  std::memcpy(&header, header_.data(), sizeof header);
  igtl_image_convert_byte_order(&header);

  if (header.version != IGTL_IMAGE_HEADER_VERSION) refuse("version " + std::to_string(header.version) + "; 1 is read");
  if (header.num_components != 1) refuse(std::to_string(header.num_components) + " components; a CT has one");
  if (header.endian != IGTL_IMAGE_ENDIAN_BIG && header.endian != IGTL_IMAGE_ENDIAN_LITTLE) refuse("no byte order");
  if (header.coord != IGTL_IMAGE_COORD_RAS && header.coord != IGTL_IMAGE_COORD_LPS) refuse("neither RAS nor LPS");
  view_.voxel_type = voxel_type(header.scalar_type);
  view_.world = header.coord == IGTL_IMAGE_COORD_RAS ? SPINECT_WORLD_RAS : SPINECT_WORLD_LPS;

  // Three numbers of 16 bits and a size of 8 at most: the product fits into 64 bits.
  const std::size_t size = igtl_get_scalar_size(header.scalar_type);
  std::uint64_t expected = size;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (header.size[axis] == 0) refuse("no voxels along an axis");
    if (header.subvol_offset[axis] != 0 || header.subvol_size[axis] != header.size[axis]) refuse("a part of a volume; send it whole");
    view_.dims[axis] = header.size[axis];
    expected *= header.size[axis];
  }
  if (from.content.size() - IGTL_IMAGE_HEADER_SIZE != expected) {
    refuse(std::to_string(from.content.size() - IGTL_IMAGE_HEADER_SIZE) + " bytes of voxels instead of " + std::to_string(expected));
  }

  // Columns: the steps along i, j, k, then the center of the volume, which is not that of a voxel if a size is even.
  const float* matrix = header.matrix;
  for (std::size_t row = 0; row < 3; ++row) {
    double origin = matrix[9 + row];
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const double step = matrix[3 * axis + row];
      view_.ijk_to_world[4 * row + axis] = step;
      origin -= step * (static_cast<double>(header.size[axis]) - 1) / 2;
    }
    view_.ijk_to_world[4 * row + 3] = origin;
  }
  view_.ijk_to_world[15] = 1;

  voxels_.assign(split, from.content.end());
  if ((header.endian == IGTL_IMAGE_ENDIAN_LITTLE) != (igtl_is_little_endian() != 0)) {
    swap_bytes(voxels_, size);
  }
  if (header.scalar_type == IGTL_IMAGE_STYPE_TYPE_UINT32) {
    voxels_ = widened(voxels_);
  }
  view_.voxels = voxels_.data();
  try {
    spinect::volume(view_).check(); // a matrix that is singular, or not finite
  } catch (const spinect::error& failure) {
    refuse(failure.what());
  }
}
