/* survival MODEL FOLDER: volumes that no scanner makes, and views that no compiler would. Every one is segmented, or
 * refused with a status; none changes what the next call gives. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

static spinect_session *session;
static uint8_t *expected, *labels;

/* The session gives what it gave at first. */
static void check_next_call(const int16_t *voxels) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  CLEAR(run);
  memset(labels, 0xee, VOXELS);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(labels, expected, VOXELS) == 0);
}

/* Segments into packed labels of at most 65535 voxels more than needed and returns the warnings. */
static uint64_t segment(const spinect_volume *volume) {
  const size_t count = (size_t)(volume->dims[0] * volume->dims[1] * volume->dims[2]);
  uint8_t *map = malloc(count + 1);
  spinect_run run;
  uint64_t warnings = 0;
  size_t at;
  CHECK(map != NULL);
  memset(map, 0xee, count + 1);
  CLEAR(run);
  run.warnings = &warnings;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, volume, &run, map, count));
  for (at = 0; at < count; ++at) {
    CHECK(map[at] <= 2);
  }
  CHECK(map[count] == 0xee);
  free(map);
  return warnings;
}

/* A packed volume of one value. */
static void constant(double value) {
  double *voxels = malloc(VOXELS * sizeof *voxels);
  spinect_volume volume = cube(NULL, N);
  size_t at;
  CHECK(voxels != NULL);
  for (at = 0; at < VOXELS; ++at) {
    voxels[at] = value;
  }
  volume.voxels = voxels;
  volume.voxel_type = SPINECT_VOXEL_FLOAT64;
  segment(&volume);
  free(voxels);
}

/* Numbers that are none among voxels that are: NaN counts as the lower clip, an infinity as a clip. */
static void not_numbers(const int16_t *voxels, int32_t type) {
  const size_t size = type == SPINECT_VOXEL_FLOAT32 ? 4 : 8;
  unsigned char *strange = malloc(VOXELS * size), *plain = malloc(VOXELS * size);
  uint8_t *map = malloc(VOXELS);
  const double values[4] = {NAN, -INFINITY, INFINITY, -1e300}, clipped[4] = {-1024.0, -1024.0, 3071.0, -1024.0};
  spinect_volume volume = cube(NULL, N);
  spinect_run run;
  size_t at;

  CHECK(strange != NULL && plain != NULL && map != NULL);
  for (at = 0; at < VOXELS; ++at) {
    const double raw = at % 5 < 4 ? values[at % 5] : voxels[at], same = at % 5 < 4 ? clipped[at % 5] : voxels[at];
    const float raw32 = (float)(raw == -1e300 ? -1e30 : raw), same32 = (float)same;
    memcpy(strange + at * size, size == 4 ? (const void *)&raw32 : (const void *)&raw, size);
    memcpy(plain + at * size, size == 4 ? (const void *)&same32 : (const void *)&same, size);
  }
  CLEAR(run);
  volume.voxel_type = type;
  volume.voxels = plain;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, map, VOXELS));
  volume.voxels = strange;
  memset(labels, 0xee, VOXELS);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(map, labels, VOXELS) == 0);
  free(strange);
  free(plain);
  free(map);
}

/* A host that wants a signal for every invalid number, overflow and division by zero gets none from the library. */
static void unmasked_exceptions(const int16_t *voxels, const char *model, const char *folder) {
#ifdef __GLIBC__
  const int wanted = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT;
  const spinect_volume volume = cube(voxels, N);
  spinect_segmentation *result = NULL;
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_run run;
  double *strange = malloc(VOXELS * sizeof *strange);
  spinect_volume strange_volume = cube(NULL, N);
  char path[4200];
  size_t at;
  CHECK(strange != NULL);
  for (at = 0; at < VOXELS; ++at) {
    strange[at] = at % 3 == 0 ? NAN : at % 3 == 1 ? 1e300 : 1e-310;
  }
  strange_volume.voxels = strange;
  strange_volume.voxel_type = SPINECT_VOXEL_FLOAT64;
  sprintf(path, "%.4000s/exceptions.nii.gz", folder);
  CLEAR(run);
  CLEAR(config);
  memset(labels, 0xee, VOXELS);
  feclearexcept(FE_ALL_EXCEPT);
  if (feenableexcept(wanted) == -1 || fegetexcept() != wanted) {
    puts("SKIPPED: this machine's floating-point exceptions cannot be unmasked");
    free(strange);
    return;
  }
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &strange_volume, &run, labels, VOXELS));
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  EXPECT(SPINECT_OK, spinect_segmentation_write(result, path));
  EXPECT(SPINECT_OK, spinect_image_read(path, &config, &image));
  CHECK(fegetexcept() == wanted);
  fedisableexcept(wanted);
  CHECK(memcmp(labels, expected, VOXELS) == 0);
  spinect_segmentation_free(result);
  spinect_image_free(image);
  free(strange);
#else
  (void)voxels, (void)model, (void)folder;
#endif
}

/* Voxels, structures and outputs at odd addresses. */
static void crooked(const int16_t *voxels) {
  unsigned char *bytes = malloc(2 * VOXELS + 1), volume_bytes[sizeof(spinect_volume) + 1], run_bytes[sizeof(spinect_run) + 1];
  unsigned char warnings_bytes[9];
  spinect_volume volume = cube(NULL, N);
  spinect_run run;
  CHECK(bytes != NULL);
  memcpy(bytes + 1, voxels, 2 * VOXELS);
  volume.voxels = bytes + 1;
  CLEAR(run);
  memset(warnings_bytes, 0xee, sizeof warnings_bytes);
  run.warnings = (void *)(warnings_bytes + 1);
  memcpy(volume_bytes + 1, &volume, sizeof volume);
  memcpy(run_bytes + 1, &run, sizeof run);
  memset(labels, 0xee, VOXELS);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, (const void *)(volume_bytes + 1), (const void *)(run_bytes + 1), labels, VOXELS));
  CHECK(memcmp(labels, expected, VOXELS) == 0 && warnings_bytes[0] == 0xee && warnings_bytes[8] == 0);
  free(bytes);
}

/* A volume backwards along every axis, with gaps: the label map is packed all the same. */
static void with_strides(const int16_t *voxels) {
  const int64_t row = 2 * N + 6, slice = N * (2 * N + 6) + 10;
  unsigned char *bytes = malloc((size_t)(N * slice));
  spinect_volume volume = cube(NULL, N);
  spinect_run run;
  int i, j, k;
  CHECK(bytes != NULL);
  for (k = 0; k < N; ++k) {
    for (j = 0; j < N; ++j) {
      for (i = 0; i < N; ++i) {
        memcpy(bytes + (N - 1 - k) * slice + (N - 1 - j) * row + 2 * (N - 1 - i), &voxels[i + N * (j + N * k)], 2);
      }
    }
  }
  volume.voxels = bytes + (N - 1) * (slice + row + 2);
  volume.strides[0] = -2;
  volume.strides[1] = -row;
  volume.strides[2] = -slice;
  CLEAR(run);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(labels, expected, VOXELS) == 0);
  /* The first byte of the voxels lies far below their address. */
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment_into(session, &volume, &run, bytes, VOXELS));
  /* One voxel everywhere. */
  volume.voxels = bytes + (N - 1) * (slice + row + 2);
  volume.strides[0] = -2;
  volume.strides[1] = volume.strides[2] = 0;
  segment(&volume);
  free(bytes);
}

/* Shapes at the border of what is a volume, and far beyond. */
static void shapes(int16_t *voxels) {
  spinect_volume volume = cube(voxels, 1);
  spinect_run run;
  spinect_segmentation *result = NULL;
  uint64_t bytes[2];
  int axis;

  segment(&volume);
  for (axis = 0; axis < 3; ++axis) {
    volume = cube(voxels, 1);
    volume.dims[axis] = 65535;
    volume.ijk_to_world[5 * axis] = 0.05; /* 3277 mm instead of 65 m: the model's grid stays small */
    segment(&volume);
    volume.dims[axis] = 0;
    CLEAR(run);
    EXPECT(SPINECT_ERROR_INVALID_GEOMETRY, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  }
  /* 2^40 voxels, claimed by a caller who has none of them: of 1 mm, more than a model grid can have, and of 0.05 mm. */
  for (axis = 0; axis < 2; ++axis) {
    volume = cube(voxels, 1);
    volume.dims[0] = volume.dims[1] = 1u << 20;
    if (axis == 1) {
      volume.ijk_to_world[0] = volume.ijk_to_world[5] = 0.05;
      EXPECT(SPINECT_OK, spinect_session_estimate_memory(session, &volume, &bytes[0], &bytes[1]));
      CHECK(bytes[0] > (uint64_t)1 << 40);
    } else {
      EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_session_estimate_memory(session, &volume, &bytes[0], &bytes[1]));
    }
    CLEAR(run);
    EXPECT(SPINECT_ERROR_BUFFER_TOO_SMALL, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
    EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_session_segment(session, &volume, &run, &result));
    EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_session_prepare(session, &volume));
    EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_segmentation_reserve(session, &volume, &result));
    CHECK(result == NULL);
  }
}

static void affines(const int16_t *voxels) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  CLEAR(run);
  volume.ijk_to_world[1] = 0.3; /* sheared by 17 degrees */
  CHECK((segment(&volume) & SPINECT_WARNING_SHEARED) != 0);
  volume = cube(voxels, N);
  volume.ijk_to_world[0] = -1.0; /* left-handed */
  CHECK((segment(&volume) & SPINECT_WARNING_SHEARED) == 0);
  volume.ijk_to_world[0] = 0.0;
  EXPECT(SPINECT_ERROR_INVALID_GEOMETRY, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  volume.ijk_to_world[0] = NAN;
  EXPECT(SPINECT_ERROR_INVALID_GEOMETRY, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  volume.ijk_to_world[0] = volume.ijk_to_world[4] = 1.0; /* two columns in one plane */
  volume.ijk_to_world[1] = 1.0;
  EXPECT(SPINECT_ERROR_INVALID_GEOMETRY, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
}

/* A region of interest: what lies in it has the labels of the whole, what lies outside is not examined. */
static void regions(const int16_t *voxels) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_segmentation *result = NULL;
  spinect_sample sample;
  const uint8_t *map;
  size_t count, at;
  int axis;

  CLEAR(run);
  run.flags = SPINECT_RUN_ROI;
  for (axis = 0; axis < 3; ++axis) {
    run.roi_min[axis] = 3.6;
    run.roi_max[axis] = 9.4;
  }
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  EXPECT(SPINECT_OK, spinect_segmentation_labels(result, &map, &count));
  CHECK(count == VOXELS);
  for (at = 0; at < VOXELS; ++at) {
    const size_t ijk[3] = {at % N, at / N % N, at / N / N};
    double point[3];
    int inside = 1;
    spinect_status status;
    for (axis = 0; axis < 3; ++axis) {
      inside = inside && ijk[axis] >= 4 && ijk[axis] <= 9;
      point[axis] = (double)ijk[axis];
    }
    CLEAR(sample);
    status = spinect_segmentation_at(result, SPINECT_WORLD_LPS, point, &sample);
    CHECK(status == (inside ? SPINECT_OK : SPINECT_ERROR_NOT_EXAMINED));
    CHECK(inside ? map[at] == expected[at] && sample.label == expected[at] : map[at] == 0);
  }
  spinect_segmentation_free(result);
  run.roi_min[0] = 500.0;
  run.roi_max[0] = 510.0;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  run.roi_min[0] = 9.0;
  run.roi_max[0] = 3.0;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
}

int main(int argc, char **argv) {
  int16_t *voxels = make_voxels(65535);
  spinect_session_config config;
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  const double values[] = {-1e9, -1024.0, 0.0, 40.0, 3071.0, 1e9};
  size_t at;

  CHECK(argc == 3);
  expected = malloc(VOXELS);
  labels = malloc(VOXELS);
  CHECK(expected != NULL && labels != NULL);
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  config.memory_limit = (uint64_t)1 << 30;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  CLEAR(run);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, expected, VOXELS));

  for (at = 0; at < sizeof values / sizeof *values; ++at) {
    constant(values[at]);
  }
  constant(NAN);
  constant(INFINITY);
  constant(-INFINITY);
  check_next_call(voxels);
  not_numbers(voxels, SPINECT_VOXEL_FLOAT32);
  not_numbers(voxels, SPINECT_VOXEL_FLOAT64);
  check_next_call(voxels);
  unmasked_exceptions(voxels, argv[1], argv[2]);
  crooked(voxels);
  with_strides(voxels);
  check_next_call(voxels);
  shapes(voxels);
  check_next_call(voxels);
  affines(voxels);
  regions(voxels);
  check_next_call(voxels);
  spinect_session_free(session);
  free(voxels);
  free(expected);
  free(labels);
  return 0;
}
