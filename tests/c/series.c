/* series FOLDER FILE FILE...: the DICOM series in a folder, and the same from a list of files; in a build without DICOM,
 * both say so. Prints "read" or "not built". */
#include "check.h"

int main(int argc, char **argv) {
  const char *const *files = (const char *const *)argv + 2;
  const size_t count = (size_t)argc - 2;
  spinect_image_config config;
  spinect_image *images[3] = {NULL, NULL, NULL};
  spinect_volume first, view;
  size_t at;
  CHECK(argc > 3);
  CLEAR(config);
  if (strstr(spinect_build_info(), "dicom") == NULL) {
    EXPECT(SPINECT_ERROR_UNSUPPORTED, spinect_image_read(argv[1], &config, &images[0]));
    EXPECT(SPINECT_ERROR_UNSUPPORTED, spinect_image_read_series(files, count, NULL, &config, &images[0]));
    CHECK(images[0] == NULL);
    puts("not built");
    return 0;
  }
  EXPECT(SPINECT_OK, spinect_image_read(argv[1], &config, &images[0]));
  EXPECT(SPINECT_OK, spinect_image_read_series(files, count, "1.2.3", &config, &images[1]));
  EXPECT(SPINECT_OK, spinect_image_read_series((const char *const *)argv + 1, 1, NULL, &config, &images[2]));
  CLEAR(first);
  EXPECT(SPINECT_OK, spinect_image_view(images[0], &first));
  CHECK(first.voxel_type == SPINECT_VOXEL_UINT16 && first.world == SPINECT_WORLD_LPS && first.rescale_intercept == -1024.0);
  CHECK(first.dims[0] == 24 && first.dims[1] == 20 && first.dims[2] == 12);
  CHECK(first.ijk_to_world[3] == -24.0 && first.ijk_to_world[7] == -20.0 && first.ijk_to_world[10] == 2.0);
  for (at = 1; at < 3; ++at) {
    CLEAR(view);
    EXPECT(SPINECT_OK, spinect_image_view(images[at], &view));
    CHECK(memcmp(view.dims, first.dims, sizeof first.dims) == 0);
    CHECK(memcmp(view.ijk_to_world, first.ijk_to_world, sizeof first.ijk_to_world) == 0);
    CHECK(memcmp(view.voxels, first.voxels, 2 * 24 * 20 * 12) == 0);
  }
  for (at = 0; at < 3; ++at) {
    spinect_image_free(images[at]);
  }
  images[0] = NULL;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read_series(files, count, "1.2.4", &config, &images[0]));
  EXPECT(SPINECT_ERROR_INVALID_GEOMETRY, spinect_image_read_series(files, 1, NULL, &config, &images[0]));
  config.memory_limit = 1000;
  EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_image_read_series(files, count, NULL, &config, &images[0]));
  CHECK(images[0] == NULL);
  puts("read");
  return 0;
}
