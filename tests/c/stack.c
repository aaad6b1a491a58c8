/* stack MODEL FOLDER: everything that computes, called on a thread with 16 KiB of stack, its bookkeeping included. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"
#include "faults.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

static const char *model, *folder;
static int16_t *voxels;
static uint8_t first[VOXELS], labels[VOXELS];
static char path[4200];

/* Names the step, in case it is the last one: seen only if the program dies. */
static void step(const char *name) {
  fputs(name, stderr);
  fputs("\n", stderr);
}

static int32_t go_on(double fraction, const char *stage, void *user_data) {
  (void)fraction;
  (void)stage;
  (void)user_data;
  return 0;
}

static void *work(void *threads) {
  static spinect_volume volume;
  static spinect_volume_info volume_info;
  static spinect_session_config config;
  static spinect_image_config image_config;
  static spinect_model_info info;
  static spinect_run run;
  static spinect_sample sample;
  spinect_session *session = NULL;
  spinect_segmentation *result = NULL;
  spinect_image *image = NULL;
  const double inside[3] = {3.0, 4.0, 5.0};
  uint64_t bytes[2];
  char text[16];

  volume = cube(voxels, N);
  CLEAR(volume_info);
  CLEAR(config);
  CLEAR(image_config);
  CLEAR(info);
  CLEAR(run);
  CLEAR(sample);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = *(uint32_t *)threads;
  step("prepare the thread");
  EXPECT(SPINECT_OK, spinect_thread_prepare());
  EXPECT(SPINECT_OK, spinect_volume_check(&volume, &volume_info));
  step("create");
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  step("load");
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
  EXPECT(SPINECT_OK, spinect_session_estimate_memory(session, &volume, &bytes[0], &bytes[1]));
  step("prepare");
  EXPECT(SPINECT_OK, spinect_session_prepare(session, &volume));
  step("segment into");
  run.progress = go_on;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(first, labels, VOXELS) == 0);
  step("segment");
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  step("segment again");
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, result));
  EXPECT(SPINECT_OK, spinect_segmentation_at(result, SPINECT_WORLD_LPS, inside, &sample));
  step("write");
  EXPECT(SPINECT_OK, spinect_segmentation_write(result, path));
  step("read");
  EXPECT(SPINECT_OK, spinect_image_read(path, &image_config, &image));
  EXPECT(SPINECT_OK, spinect_image_view(image, &volume));
  spinect_image_free(image);
  step("fail");
  CHECK(spinect_image_read("no/such/file.nii", &image_config, &image) == SPINECT_ERROR_IO);
  CHECK(spinect_image_read(model, &image_config, &image) != SPINECT_OK);
  CHECK(spinect_session_load_weights(session, path) != SPINECT_OK);
  CHECK(spinect_session_load_weights(session, folder) == SPINECT_ERROR_IO);
  CHECK(spinect_last_error(text, sizeof text) > 8);
  step("fail for want of a thread");
  fail_from(FAULT_THREAD, 0, 0, 0);
  CHECK(spinect_session_load_weights(session, model) == SPINECT_ERROR_THREAD);
  CHECK(spinect_image_read(path, &image_config, &image) == SPINECT_ERROR_THREAD);
  CHECK(spinect_segmentation_write(result, path) == SPINECT_ERROR_THREAD);
  CHECK(fail_no_more() == 3);
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  step("free");
  spinect_segmentation_free(result);
  spinect_session_free(session);
  return NULL;
}

int main(int argc, char **argv) {
  pthread_attr_t attributes;
  pthread_t thread;
  spinect_session_config config;
  spinect_session *session = NULL;
  spinect_volume volume;
  spinect_run run;
  uint32_t threads;

  CHECK(argc == 3);
  model = argv[1];
  folder = argv[2];
  voxels = make_voxels(VOXELS);
  volume = cube(voxels, N);
  CLEAR(config);
  CLEAR(run);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, first, VOXELS));
  spinect_session_free(session);

  CHECK(pthread_attr_init(&attributes) == 0);
  if (pthread_attr_setstacksize(&attributes, 16384) != 0) {
    puts("SKIPPED: this machine has no threads with 16 KiB of stack");
    return 0;
  }
  for (threads = 1; threads <= 3; threads += 2) {
    const char *const endings[2] = {"nii", "nii.gz"};
    size_t at;
    for (at = 0; at < 2; ++at) {
      sprintf(path, "%.4000s/labels.%s", folder, endings[at]);
      CHECK(pthread_create(&thread, &attributes, work, &threads) == 0 && pthread_join(thread, NULL) == 0);
    }
  }
  pthread_attr_destroy(&attributes);
  free(voxels);
  return 0;
}
