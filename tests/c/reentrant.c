/* reentrant MODEL FOLDER: what a progress callback may do to the session that calls it, and cancellation. */
#include <fenv.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

static spinect_session *session = NULL;
static spinect_segmentation *target = NULL;
static spinect_cancel *cancel = NULL;
static int16_t *voxels;
static uint8_t labels[VOXELS], untouched[VOXELS];
static const char *model;
static int calls;

static int32_t call_everything(double fraction, const char *stage, void *user_data) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_model_info info;
  spinect_segmentation *other = NULL;
  uint64_t bytes[2];
  double progress;
  int32_t label;
  static uint8_t map[VOXELS];

  (void)stage;
  (void)user_data;
  ++calls;
  CLEAR(run);
  CLEAR(info);
  EXPECT(SPINECT_ERROR_BUSY, spinect_session_segment(session, &volume, &run, &other));
  EXPECT(SPINECT_ERROR_BUSY, spinect_session_segment_into(session, &volume, &run, map, VOXELS));
  EXPECT(SPINECT_ERROR_BUSY, spinect_session_segment_again(session, &volume, &run, target));
  EXPECT(SPINECT_ERROR_BUSY, spinect_session_load_weights(session, model));
  EXPECT(SPINECT_ERROR_BUSY, spinect_session_prepare(session, &volume));
  EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
  EXPECT(SPINECT_OK, spinect_session_find_label(session, "nerve", &label));
  EXPECT(SPINECT_OK, spinect_session_estimate_memory(session, &volume, bytes, bytes + 1));
  EXPECT(SPINECT_OK, spinect_session_progress(session, &progress));
  CHECK(progress == fraction && other == NULL);
  return 0;
}

/* The result that is being written belongs to the call alone; freeing it is noted and done later. */
static int32_t use_target(double fraction, const char *stage, void *user_data) {
  const uint8_t *map;
  size_t count;
  (void)fraction;
  (void)stage;
  if (calls++ == 0) {
    EXPECT(SPINECT_ERROR_BUSY, spinect_segmentation_labels(target, &map, &count));
    CHECK(spinect_segmentation_label_count(target) == 0);
    if (user_data != NULL) {
      spinect_segmentation_free(target);
    }
  }
  return 0;
}

static int32_t cancel_at_the_end(double fraction, const char *stage, void *user_data) {
  (void)stage;
  (void)user_data;
  return fraction == 1.0 ? 1 : 0;
}

static int32_t set_cancel(double fraction, const char *stage, void *user_data) {
  (void)stage;
  (void)user_data;
  if (fraction > 0.3) {
    spinect_cancel_set(cancel);
  }
  return 0;
}

static int32_t free_cancel(double fraction, const char *stage, void *user_data) {
  (void)fraction;
  (void)stage;
  (void)user_data;
  spinect_cancel_free(cancel);
  return 0;
}

static int32_t look_at_rounding(double fraction, const char *stage, void *user_data) {
  (void)fraction;
  (void)stage;
  *(int *)user_data += fegetround() == FE_UPWARD;
  ++calls;
  return 0;
}

static int32_t free_session(double fraction, const char *stage, void *user_data) {
  double progress;
  (void)stage;
  if (fraction > 0.3) {
    spinect_session_free(session);
    EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_session_progress(session, &progress));
    *(int *)user_data = 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  spinect_volume volume;
  spinect_session_config config;
  spinect_run run;
  spinect_segmentation *segmentation = NULL;
  static uint8_t first[VOXELS];
  uint64_t warnings = 77;
  int seen = 0;

  CHECK(argc == 3);
  model = argv[1];
  voxels = make_voxels(VOXELS);
  volume = cube(voxels, N);
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 1;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  EXPECT(SPINECT_OK, spinect_segmentation_reserve(session, &volume, &target));
  memset(labels, 0xee, sizeof labels);
  memset(untouched, 0xee, sizeof untouched);

  CLEAR(run);
  run.progress = call_everything;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, first, VOXELS));
  CHECK(calls > 0);

  calls = 0;
  run.progress = use_target;
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, target));
  CHECK(calls > 0);
  calls = 0;
  run.user_data = &calls;
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, target));
  CHECK(spinect_segmentation_label_count(target) == 0);

  /* A cancelled run leaves the labels alone, also when it is cancelled at the very end. */
  CLEAR(run);
  run.warnings = &warnings;
  run.progress = cancel_at_the_end;
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment(session, &volume, &run, &segmentation));
  EXPECT(SPINECT_OK, spinect_cancel_create(&cancel));
  run.cancel = cancel;
  run.progress = set_cancel;
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  run.progress = NULL;
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  run.cancel = NULL;
  run.deadline_seconds = 1e-9;
  EXPECT(SPINECT_ERROR_DEADLINE, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(labels, untouched, VOXELS) == 0 && segmentation == NULL && warnings == 77);

  /* And the next run is none the worse. A freed request no longer cancels. */
  spinect_cancel_reset(cancel);
  run.cancel = cancel;
  run.progress = free_cancel;
  run.deadline_seconds = 3600.0;
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(memcmp(labels, first, VOXELS) == 0 && warnings != 77);
  EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));

  /* The caller's floating-point mode changes no label, and comes back: in the callback and afterwards. */
  CLEAR(run);
  run.progress = look_at_rounding;
  run.user_data = &seen;
  calls = 0;
  memset(labels, 0xee, sizeof labels);
  CHECK(fesetround(FE_UPWARD) == 0);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(fegetround() == FE_UPWARD && seen == calls && calls > 0);
  fesetround(FE_TONEAREST);
  CHECK(memcmp(labels, first, VOXELS) == 0);

  /* Freeing the session in its own callback. */
  seen = 0;
  run.progress = free_session;
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  CHECK(seen == 1);
  EXPECT(SPINECT_ERROR_INVALID_HANDLE, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  free(voxels);
  return 0;
}
