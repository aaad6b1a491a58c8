/* flow MODEL FOLDER: from a session to a written label map, with what must fail on the way. */
#include <math.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

static double furthest = -1.0;

static int32_t watch(double fraction, const char *stage, void *user_data) {
  CHECK(fraction >= furthest && fraction >= 0.0 && fraction <= 1.0);
  CHECK(stage != NULL && stage[0] != '\0');
  furthest = fraction;
  ++*(int *)user_data;
  return 0;
}

/* A model file with a byte of its header changed must fail and keep the model that is loaded. */
static void load_rubbish(spinect_session *session) {
  char rubbish[64];
  memset(rubbish, 'x', sizeof rubbish);
  CHECK(spinect_session_load_weights_from_memory(session, rubbish, sizeof rubbish) != SPINECT_OK);
  CHECK(spinect_session_load_weights_from_memory(session, rubbish, 0) != SPINECT_OK);
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_load_weights_from_memory(session, rubbish, (size_t)-1));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_load_weights(session, ""));
  EXPECT(SPINECT_ERROR_IO, spinect_session_load_weights(session, "/no such folder/model.safetensors"));
}

static void check_result(const spinect_segmentation *segmentation, const spinect_volume *volume, const uint8_t *expected) {
  uint64_t dims[3], voxels = 0;
  double affine[16];
  int32_t world;
  const uint8_t *labels;
  size_t count, index;
  float *confidence = malloc(VOXELS * sizeof *confidence);
  spinect_provenance provenance;
  spinect_timings timings;
  spinect_sample sample, untouched;
  double point[3], parts;

  EXPECT(SPINECT_OK, spinect_segmentation_geometry(segmentation, dims, affine, &world));
  CHECK(memcmp(dims, volume->dims, sizeof dims) == 0 && memcmp(affine, volume->ijk_to_world, sizeof affine) == 0);
  CHECK(world == volume->world);
  EXPECT(SPINECT_OK, spinect_segmentation_labels(segmentation, &labels, &count));
  CHECK(count == VOXELS && memcmp(labels, expected, VOXELS) == 0);

  CHECK(confidence != NULL);
  EXPECT(SPINECT_ERROR_BUFFER_TOO_SMALL, spinect_segmentation_copy_confidence(segmentation, confidence, VOXELS - 1));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT,
         spinect_segmentation_copy_confidence(segmentation, (float *)(void *)((char *)confidence + 1), VOXELS));
  EXPECT(SPINECT_OK, spinect_segmentation_copy_confidence(segmentation, confidence, VOXELS));
  for (index = 0; index < VOXELS; ++index) {
    CHECK(confidence[index] >= 0.0f && confidence[index] <= 1.0f);
  }
  free(confidence);

  CHECK(spinect_segmentation_label_count(segmentation) >= 2);
  for (index = 0; index < spinect_segmentation_label_count(segmentation); ++index) {
    spinect_label label;
    CLEAR(label);
    EXPECT(SPINECT_OK, spinect_segmentation_label(segmentation, index, &label));
    CHECK(label.name[0] != '\0' && label.name[63] == '\0');
    CHECK((label.voxels == 0) == (label.box_min[0] > label.box_max[0]) && (label.voxels == 0) == (isnan(label.centroid[0]) != 0));
    CHECK(fabs(label.volume_mm3 - (double)label.voxels) < 1e-6 * (double)VOXELS);
    voxels += label.voxels;
  }
  CHECK(voxels == VOXELS);
  {
    spinect_label label;
    CLEAR(label);
    EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_label(segmentation, index, &label));
    label.struct_size = 8;
    EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_segmentation_label(segmentation, index, &label));
  }

  CLEAR(provenance);
  EXPECT(SPINECT_OK, spinect_segmentation_provenance(segmentation, &provenance));
  CHECK(provenance.device == SPINECT_DEVICE_CPU && (provenance.warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0);
  CHECK(strlen(provenance.model_sha256) == 64 && strlen(provenance.input_sha256) == 64);
  CHECK(strcmp(provenance.library_version, spinect_version()) == 0 && provenance.library_commit[0] != '\0');

  CLEAR(timings);
  EXPECT(SPINECT_OK, spinect_segmentation_timings(segmentation, &timings));
  parts = timings.prepare + timings.network + timings.combine + timings.restore;
  CHECK(timings.total > 0.0 && fabs(parts - timings.total) < 1e-3 && timings.windows >= timings.windows_computed);

  /* The voxel (1, 2, 3), asked for in its own world and in the other one. */
  CLEAR(sample);
  point[0] = 1.2, point[1] = 1.9, point[2] = 3.4;
  EXPECT(SPINECT_OK, spinect_segmentation_at(segmentation, SPINECT_WORLD_LPS, point, &sample));
  CHECK(sample.label == expected[1 + N * (2 + N * 3)] && sample.confidence > 0.0 && sample.confidence <= 1.0);
  untouched = sample;
  EXPECT(SPINECT_ERROR_NOT_EXAMINED, spinect_segmentation_at(segmentation, SPINECT_WORLD_RAS, point, &sample));
  point[0] = -point[0], point[1] = -point[1];
  EXPECT(SPINECT_OK, spinect_segmentation_at(segmentation, SPINECT_WORLD_RAS, point, &sample));
  CHECK(memcmp(&sample, &untouched, sizeof sample) == 0);
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_at(segmentation, 0, point, &sample));
  point[2] = NAN;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_at(segmentation, SPINECT_WORLD_RAS, point, &sample));
  sample.struct_size = 15;
  EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_segmentation_at(segmentation, 0, point, &sample));
}

static void check_written(const spinect_segmentation *segmentation, const char *folder, const uint8_t *expected) {
  char path[4096];
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_volume volume;

  sprintf(path, "%.4000s/labels.nii.gz", folder);
  EXPECT(SPINECT_OK, spinect_segmentation_write(segmentation, path));
  EXPECT(SPINECT_OK, spinect_segmentation_write(segmentation, path)); /* replaces */
  CLEAR(config);
  EXPECT(SPINECT_OK, spinect_image_read(path, &config, &image));
  CLEAR(volume);
  EXPECT(SPINECT_OK, spinect_image_view(image, &volume));
  CHECK(volume.voxel_type == SPINECT_VOXEL_UINT8 && volume.world == SPINECT_WORLD_RAS && volume.dims[0] == N);
  CHECK(memcmp(volume.voxels, expected, VOXELS) == 0);
  spinect_image_free(image);
  EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_image_view(image, &volume));
  sprintf(path, "%.4000s/labels.odd", folder);
  EXPECT(SPINECT_ERROR_UNSUPPORTED_FORMAT, spinect_segmentation_write(segmentation, path));
}

/* Reads a small file whole. */
static size_t slurp(const char *path, unsigned char *bytes, size_t capacity) {
  FILE *file = fopen(path, "rb");
  size_t size;
  CHECK(file != NULL);
  size = fread(bytes, 1, capacity, file);
  CHECK(size < capacity && fclose(file) == 0);
  return size;
}

/* A segmentation of an image's view repeats what the file says about its place, bit by bit: here a header whose numbers
 * no library would compute. Not so if the view was moved. */
static void check_placement(spinect_session *session, const spinect_segmentation *segmentation, const char *folder) {
  static unsigned char original[VOXELS + 4000], repeated[VOXELS + 4000];
  char path[4096], again[4096];
  const int16_t codes[2] = {3, 4};
  const float odd[4] = {0.25f, 0.5f, 0.75f, 7.0f};
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_volume volume;
  spinect_run run;
  spinect_segmentation *result = NULL;
  size_t size;
  FILE *file;
  int moved;

  sprintf(path, "%.4000s/original.nii", folder);
  sprintf(again, "%.4000s/repeated.nii", folder);
  EXPECT(SPINECT_OK, spinect_segmentation_write(segmentation, path));
  size = slurp(path, original, sizeof original);
  memcpy(original + 92, odd, sizeof odd);     /* pixdim[4] to pixdim[7] */
  memcpy(original + 252, codes, sizeof codes); /* qform_code, sform_code */
  file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(original, 1, size, file) == size && fclose(file) == 0);

  for (moved = 0; moved < 2; ++moved) {
    CLEAR(config);
    CLEAR(volume);
    CLEAR(run);
    EXPECT(SPINECT_OK, spinect_image_read(path, &config, &image));
    EXPECT(SPINECT_OK, spinect_image_view(image, &volume));
    volume.ijk_to_world[3] += moved;
    EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
    spinect_image_free(image);
    EXPECT(SPINECT_OK, spinect_segmentation_write(result, again));
    spinect_segmentation_free(result);
    CHECK(slurp(again, repeated, sizeof repeated) == size);
    CHECK((memcmp(original + 76, repeated + 76, 32) == 0) == (moved == 0));   /* pixdim */
    CHECK((memcmp(original + 252, repeated + 252, 76) == 0) == (moved == 0)); /* codes, quaternion, srows */
  }
}

int main(int argc, char **argv) {
  int16_t *voxels = make_voxels(VOXELS);
  uint8_t *labels = malloc(VOXELS + 1), *before = malloc(VOXELS + 1);
  spinect_volume volume = cube(voxels, N), like = cube(NULL, N), small = cube(voxels, N / 2);
  spinect_session_config config;
  spinect_session *session = NULL;
  spinect_segmentation *segmentation = NULL, *target = NULL;
  spinect_model_info info;
  spinect_run run;
  uint64_t host = 0, device = 1, warnings = 0;
  int32_t label = -1;
  int calls = 0;
  double fraction = -1.0;

  CHECK(argc == 3 && labels != NULL && before != NULL);
  memset(labels, 0xee, VOXELS + 1);
  memset(before, 0xee, VOXELS + 1);
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));

  /* Without a model. */
  CLEAR(info);
  CLEAR(run);
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_model_info(session, &info));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_find_label(session, "nerve", &label));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_prepare(session, &like));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_estimate_memory(session, &like, &host, &device));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_segment(session, &volume, &run, &segmentation));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_segmentation_reserve(session, &like, &target));
  load_rubbish(session);
  EXPECT(SPINECT_ERROR_NO_MODEL, spinect_session_model_info(session, &info));

  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  load_rubbish(session);
  EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
  CHECK(info.classes >= 2 && info.parameters > 0 && strlen(info.sha256) == 64 && info.device == SPINECT_DEVICE_CPU);
  EXPECT(SPINECT_OK, spinect_session_find_label(session, "nerve", &label));
  CHECK(label > 0);
  EXPECT(SPINECT_ERROR_UNKNOWN_LABEL, spinect_session_find_label(session, "no such label", &label));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_find_label(session, "\xff", &label));
  EXPECT(SPINECT_OK, spinect_session_estimate_memory(session, &like, &host, &device));
  CHECK(host > VOXELS && device == 0);
  EXPECT(SPINECT_OK, spinect_session_prepare(session, &like));

  /* What a segmentation refuses, in order. */
  like.struct_size = 1;
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_segment(session, &like, NULL, &segmentation));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_segment(session, &like, &run, NULL));
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_segment_into(session, &like, &run, NULL, VOXELS));
  EXPECT(SPINECT_ERROR_STRUCT_SIZE, spinect_session_segment(session, &like, &run, &segmentation));
  like = cube(NULL, N);
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_session_segment(session, &like, &run, &segmentation));
  run.flags = 4;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment(session, &volume, &run, &segmentation));
  CLEAR(run);
  run.deadline_seconds = -1.0;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment(session, &volume, &run, &segmentation));
  CLEAR(run);
  run.flags = SPINECT_RUN_ROI;
  run.roi_min[1] = NAN;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment(session, &volume, &run, &segmentation));
  CLEAR(run);
  run.cancel = (const spinect_cancel *)(const void *)session;
  EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_session_segment(session, &volume, &run, &segmentation));
  CLEAR(run);
  EXPECT(SPINECT_ERROR_BUFFER_TOO_SMALL, spinect_session_segment_into(session, &volume, &run, labels, VOXELS - 1));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT,
         spinect_session_segment_into(session, &volume, &run, (uint8_t *)voxels + 2 * VOXELS - 1, VOXELS));
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_session_segment_into(session, &volume, &run, (uint8_t *)voxels, VOXELS));
  CHECK(segmentation == NULL && memcmp(labels, before, VOXELS + 1) == 0);

  /* Three ways to the same labels. */
  run.progress = watch;
  run.user_data = &calls;
  run.warnings = &warnings;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS + 1));
  CHECK(labels[VOXELS] == 0xee && calls > 0 && furthest == 1.0);
  CHECK((warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0);
  EXPECT(SPINECT_OK, spinect_session_progress(session, &fraction));
  CHECK(fraction == 1.0);
  CLEAR(run);
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &segmentation));
  check_result(segmentation, &volume, labels);
  EXPECT(SPINECT_OK, spinect_segmentation_reserve(session, &like, &target));
  {
    double center[3] = {3.0, 3.0, 3.0};
    spinect_sample sample;
    CLEAR(sample);
    EXPECT(SPINECT_ERROR_NOT_EXAMINED, spinect_segmentation_at(target, SPINECT_WORLD_LPS, center, &sample));
  }
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &small, &run, target));
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, target));
  check_result(target, &volume, labels);

  check_placement(session, segmentation, argv[2]);

  /* A result outlives its session and the voxels. */
  spinect_session_free(session);
  EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_session_model_info(session, &info));
  free(voxels);
  check_result(segmentation, &volume, labels);
  check_written(segmentation, argv[2], labels);
  EXPECT(SPINECT_ERROR_UNKNOWN_LABEL, spinect_segmentation_prepare_queries(segmentation, 77));
  EXPECT(SPINECT_OK, spinect_segmentation_prepare_queries(segmentation, label));
  spinect_segmentation_free(segmentation);
  spinect_segmentation_free(segmentation);
  spinect_segmentation_free(target);
  CHECK(spinect_segmentation_label_count(target) == 0);
  free(labels);
  free(before);
  return 0;
}
