/* What the C clients share. */
#include "check.h"

void expect(spinect_status wanted, spinect_status got, const char *call, const char *file, int line) {
  char message[1200] = "";
  if (got != SPINECT_OK && spinect_last_error(message, sizeof message) < 8) {
    fprintf(stderr, "%s:%d: %s leaves the message \"%s\"\n", file, line, call, message);
    exit(1);
  }
  if (got != wanted) {
    fprintf(stderr, "%s:%d: %s returns %s instead of %s: %s\n", file, line, call, spinect_status_name(got),
            spinect_status_name(wanted), message);
    exit(1);
  }
}

spinect_volume cube(const int16_t *voxels, uint64_t n) {
  spinect_volume volume;
  int axis;
  CLEAR(volume);
  volume.voxel_type = SPINECT_VOXEL_INT16;
  volume.voxels = voxels;
  for (axis = 0; axis < 3; ++axis) {
    volume.dims[axis] = n;
    volume.ijk_to_world[5 * axis] = 1.0;
  }
  volume.ijk_to_world[15] = 1.0;
  volume.world = SPINECT_WORLD_LPS;
  return volume;
}

int16_t *make_voxels(size_t count) {
  int16_t *voxels = malloc(count * sizeof *voxels);
  uint32_t state = 12345;
  size_t at;
  CHECK(voxels != NULL);
  for (at = 0; at < count; ++at) {
    state = state * 1664525u + 1013904223u;
    voxels[at] = (int16_t)((int)(state >> 20) % 1500 - 500);
  }
  return voxels;
}
