/* crowd MODEL FOLDER: 64 sessions that segment at once, each on a thread of its caller's and a worker of its own, and
 * one shared by 16 threads that load, segment and free. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"

#define N 20
#define VOXELS ((size_t)N * N * N)
#define SESSIONS 64
#define THREADS 16

static const char *model;
static int16_t *voxels;
static uint8_t expected[VOXELS];
static spinect_session *shared;
static pthread_barrier_t barrier;

static spinect_session *start(void) {
  spinect_session_config config;
  spinect_session *session = NULL;
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  return session;
}

static void *alone(void *unused) {
  spinect_session *session = start();
  const spinect_volume volume = cube(voxels, N);
  uint8_t *labels = malloc(VOXELS);
  spinect_run run;
  int round;
  (void)unused;
  CHECK(labels != NULL);
  CLEAR(run);
  /* From here on all sessions are there. */
  pthread_barrier_wait(&barrier);
  for (round = 0; round < 3; ++round) {
    memset(labels, 0xee, VOXELS);
    EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
    CHECK(memcmp(labels, expected, VOXELS) == 0);
  }
  pthread_barrier_wait(&barrier);
  spinect_session_free(session);
  free(labels);
  return NULL;
}

static void one_of(spinect_status status, spinect_status another) {
  CHECK(status == SPINECT_OK || status == another || status == SPINECT_ERROR_INVALID_HANDLE ||
        status == SPINECT_ERROR_CANCELLED);
}

/* Every call that a session has, from every thread, until one of them has freed it. */
static void *together(void *argument) {
  const size_t number = *(size_t *)argument;
  const spinect_volume volume = cube(voxels, N);
  uint8_t *labels = malloc(VOXELS);
  spinect_segmentation *result;
  spinect_model_info info;
  spinect_run run;
  spinect_status status = SPINECT_OK;
  uint64_t bytes[2];
  double fraction;
  int32_t label;
  int round;

  CHECK(labels != NULL);
  CLEAR(run);
  CLEAR(info);
  pthread_barrier_wait(&barrier);
  for (round = 0; status != SPINECT_ERROR_INVALID_HANDLE; ++round) {
    switch ((number + (size_t)round) % 4) {
      case 0:
        status = spinect_session_segment_into(shared, &volume, &run, labels, VOXELS);
        CHECK(status != SPINECT_OK || memcmp(labels, expected, VOXELS) == 0);
        break;
      case 1:
        result = NULL;
        status = spinect_session_segment(shared, &volume, &run, &result);
        spinect_segmentation_free(result);
        break;
      case 2:
        status = spinect_session_load_weights(shared, model);
        break;
      default:
        status = spinect_session_prepare(shared, &volume);
    }
    one_of(status, SPINECT_ERROR_BUSY);
    one_of(spinect_session_model_info(shared, &info), SPINECT_OK);
    one_of(spinect_session_find_label(shared, "nerve", &label), SPINECT_OK);
    one_of(spinect_session_estimate_memory(shared, &volume, &bytes[0], &bytes[1]), SPINECT_OK);
    one_of(spinect_session_progress(shared, &fraction), SPINECT_OK);
    if (number == 0 && round == 50) {
      spinect_session_free(shared);
    }
  }
  free(labels);
  return NULL;
}

static void run_all(size_t count, void *(*body)(void *)) {
  static pthread_t threads[SESSIONS];
  static size_t numbers[SESSIONS];
  size_t at;
  CHECK(count <= SESSIONS && pthread_barrier_init(&barrier, NULL, (unsigned)count) == 0);
  for (at = 0; at < count; ++at) {
    numbers[at] = at;
    CHECK(pthread_create(&threads[at], NULL, body, &numbers[at]) == 0);
  }
  for (at = 0; at < count; ++at) {
    CHECK(pthread_join(threads[at], NULL) == 0);
  }
  pthread_barrier_destroy(&barrier);
}

int main(int argc, char **argv) {
  spinect_volume volume;
  spinect_run run;

  CHECK(argc == 3);
  model = argv[1];
  voxels = make_voxels(VOXELS);
  volume = cube(voxels, N);
  CLEAR(run);
  shared = start();
  EXPECT(SPINECT_OK, spinect_session_segment_into(shared, &volume, &run, expected, VOXELS));
  run_all(SESSIONS, alone);
  run_all(THREADS, together);
  free(voxels);
  return 0;
}
