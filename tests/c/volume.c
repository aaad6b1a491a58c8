/* spinect_volume_check: values, geometry, structure sizes, and the order in which errors are found. */
#include <limits.h>
#include <math.h>

#include "check.h"

#define REFUSED(status, change)                                     \
  do {                                                              \
    spinect_volume volume = cube(NULL, 4);                          \
    change;                                                         \
    EXPECT((status), spinect_volume_check(&volume, &info));         \
    CHECK(memcmp(&info, &untouched, sizeof info) == 0);             \
  } while (0)

int main(void) {
  spinect_volume_info info, untouched;
  spinect_volume volume = cube(NULL, 4);
  unsigned char large[sizeof(spinect_volume) + 16], large_info[sizeof(spinect_volume_info) + 16];
  unsigned char crooked[sizeof(spinect_volume) + 1], crooked_info[sizeof(spinect_volume_info) + 1];
  uint32_t size;
  size_t at;

  memset(&info, 0x55, sizeof info);
  info.struct_size = (uint32_t)sizeof info;
  untouched = info;

  /* NULL comes before everything. */
  volume.struct_size = 0;
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_volume_check(NULL, NULL));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_volume_check(NULL, &info));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_volume_check(&volume, NULL));

  /* Sizes come before values, values before geometry. */
  REFUSED(SPINECT_ERROR_STRUCT_SIZE, (volume.struct_size = 8, volume.world = 0));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (volume.world = 0, volume.dims[0] = 0));

  REFUSED(SPINECT_ERROR_STRUCT_SIZE, volume.struct_size -= 1);
  REFUSED(SPINECT_ERROR_STRUCT_SIZE, volume.struct_size = UINT32_MAX);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.voxel_type = 0);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.voxel_type = SPINECT_VOXEL_FLOAT64 + 1);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.voxel_type = INT32_MIN);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.world = 0);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.world = 3);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.memory = 2);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.memory = -1);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.rescale_intercept = -1024.0);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, volume.rescale_slope = NAN);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (volume.rescale_slope = 1.0, volume.rescale_intercept = INFINITY));
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.dims[1] = 0);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.dims[2] = UINT64_MAX);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.dims[0] = volume.dims[1] = volume.dims[2] = 1u << 31);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.ijk_to_world[0] = 0.0);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.ijk_to_world[0] = NAN);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.ijk_to_world[5] = 21.0);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY, volume.ijk_to_world[15] = 2.0);
  REFUSED(SPINECT_ERROR_INVALID_GEOMETRY,
          (volume.strides[0] = INT64_MAX, volume.strides[1] = INT64_MAX, volume.strides[2] = INT64_MAX));
  REFUSED(SPINECT_ERROR_UNSUPPORTED, volume.memory = SPINECT_MEMORY_CUDA);

  /* What is right. */
  volume = cube(NULL, 4);
  volume.ijk_to_world[0] = -0.5; /* left-handed */
  volume.strides[0] = -2;
  EXPECT(SPINECT_OK, spinect_volume_check(&volume, &info));
  CHECK(info.struct_size == sizeof info && strcmp(info.orientation, "RPS") == 0 && info.warnings == 0);
  CHECK(info.spacing_mm[0] == 0.5 && info.spacing_mm[1] == 1.0 && info.spacing_mm[2] == 1.0);
  volume.world = SPINECT_WORLD_RAS;
  volume.ijk_to_world[6] = 0.1; /* gantry tilt */
  EXPECT(SPINECT_OK, spinect_volume_check(&volume, &info));
  CHECK(strcmp(info.orientation, "LAS") == 0 && info.warnings == SPINECT_WARNING_SHEARED);

  /* A larger structure of a newer header: its unknown tail must be zero, and is filled with zeros. */
  volume = cube(NULL, 4);
  memset(large, 0, sizeof large);
  memcpy(large, &volume, sizeof volume);
  memset(large_info, 0x55, sizeof large_info);
  size = (uint32_t)sizeof large;
  memcpy(large, &size, sizeof size);
  size = (uint32_t)sizeof large_info - 8;
  memcpy(large_info, &size, sizeof size);
  EXPECT(SPINECT_OK, spinect_volume_check((const void *)large, (void *)large_info));
  CHECK(memcmp(large_info, &size, sizeof size) == 0);
  for (at = sizeof(spinect_volume_info); at < sizeof large_info; ++at) {
    CHECK(large_info[at] == (at < size ? 0 : 0x55));
  }
  for (at = sizeof volume; at < sizeof large; ++at) {
    large[at] = 1;
    EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_volume_check((const void *)large, &info));
    large[at] = 0;
  }

  /* Every wrong size of an output. */
  for (size = 0; size < sizeof info; ++size) {
    info.struct_size = size;
    EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_volume_check(&volume, &info));
  }
  info.struct_size = UINT32_MAX;
  EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_volume_check(&volume, &info));

  /* Structures need not be aligned. */
  info.struct_size = (uint32_t)sizeof info;
  memcpy(crooked + 1, &volume, sizeof volume);
  memcpy(crooked_info + 1, &info, sizeof info);
  EXPECT(SPINECT_OK, spinect_volume_check((const void *)(crooked + 1), (void *)(crooked_info + 1)));
  EXPECT(SPINECT_OK, spinect_volume_check(&volume, &info));
  CHECK(memcmp(crooked_info + 1, &info, sizeof info) == 0);
  return 0;
}
