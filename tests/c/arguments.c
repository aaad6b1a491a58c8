/* NULL, numbers out of range and text that is none, in the functions that need no model. */
#include <math.h>

#include "check.h"

#define REFUSED(status, change)                                          \
  do {                                                                   \
    spinect_session_config config;                                       \
    CLEAR(config);                                                       \
    config.device = SPINECT_DEVICE_CPU;                                  \
    config.threads = 1;                                                  \
    change;                                                              \
    EXPECT((status), spinect_session_create(&config, &session));         \
    CHECK(session == NULL);                                              \
  } while (0)

int main(void) {
  spinect_session *session = NULL;
  spinect_image *image = NULL;
  spinect_segmentation *segmentation = NULL;
  spinect_session_config session_config;
  spinect_image_config image_config;
  spinect_volume volume = cube(NULL, 4);
  spinect_label table[2];
  int32_t cpus[2] = {0, 1};
  const char *const slices[2] = {"slice.dcm", NULL};
  const char *strange[] = {"", "\xff\xfe", "scan\x80.nii"};
  size_t at;

  CLEAR(session_config);
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_create(NULL, &session));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_create(&session_config, NULL));
  REFUSED(SPINECT_ERROR_STRUCT_SIZE, config.struct_size = 0);
  REFUSED(SPINECT_ERROR_STRUCT_SIZE, (config.struct_size = 47, config.device = 9));
  REFUSED(SPINECT_ERROR_NULL_ARGUMENT, (config.cpu_count = 1, config.device = 9));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.cpus = cpus);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (config.cpus = cpus, config.cpu_count = 1025));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (config.cpus = cpus, config.cpu_count = UINT64_MAX));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (cpus[1] = -1, config.cpus = cpus, config.cpu_count = 2));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, (cpus[1] = 1 << 20, config.cpus = cpus, config.cpu_count = 2));
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.device = -1);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.device = 3);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.device_index = -1);
  REFUSED(SPINECT_ERROR_DEVICE_UNAVAILABLE, config.device = SPINECT_DEVICE_CUDA);
  REFUSED(SPINECT_ERROR_DEVICE_UNAVAILABLE, (config.device = SPINECT_DEVICE_CUDA, config.device_index = 1 << 30));
  REFUSED(SPINECT_ERROR_UNSUPPORTED, config.precision = SPINECT_PRECISION_F16);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.precision = 3);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.precision = INT32_MIN);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.threads = 1025);
  REFUSED(SPINECT_ERROR_INVALID_ARGUMENT, config.reserved = 1);

  CLEAR(image_config);
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read(NULL, &image_config, &image));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read("scan.nii", NULL, &image));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read("scan.nii", &image_config, NULL));
  for (at = 0; at < sizeof strange / sizeof *strange; ++at) {
    EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read(strange[at], &image_config, &image));
    EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_read(strange[at], &segmentation));
  }
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read_series(NULL, 1, NULL, &image_config, &image));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read_series(slices, 1, NULL, NULL, &image));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read_series(slices, 1, NULL, &image_config, NULL));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_image_read_series(slices, 2, NULL, &image_config, &image));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read_series(slices, 0, NULL, &image_config, &image));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read_series(slices, 1, "", &image_config, &image));
  EXPECT(SPINECT_ERROR_OUT_OF_MEMORY, spinect_image_read_series(slices, SIZE_MAX, NULL, &image_config, &image));
  image_config.geometry = 3;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read("scan.nii", &image_config, &image));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_image_read_series(slices, 1, NULL, &image_config, &image));
  image_config.struct_size = 4;
  EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_image_read("", &image_config, &image));
  CHECK(image == NULL);

  EXPECT(SPINECT_ERROR_IO, spinect_segmentation_read("no-such-labels.nii", &segmentation));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_read(NULL, &segmentation));
  CLEAR(table[0]);
  CLEAR(table[1]);
  volume.voxel_type = SPINECT_VOXEL_UINT8;
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_from_labels(NULL, table, 2, &segmentation));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_from_labels(&volume, NULL, 2, &segmentation));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, NULL));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  volume.voxels = table;
  /* Two labels without a name; then of one value; then with what only a newer library knows. */
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  strcpy(table[0].name, "bone");
  strcpy(table[1].name, "nerve");
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  table[1].value = 256;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  table[1].value = 2;
  table[1].reserved[4] = 1;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  table[1].reserved[4] = 0;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 0, &segmentation));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_from_labels(&volume, table, 257, &segmentation));
  table[0].struct_size = 1;
  EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_segmentation_from_labels(&volume, table, 2, &segmentation));
  CHECK(segmentation == NULL);
  return 0;
}
