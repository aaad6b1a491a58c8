/* threads MODEL FOLDER: many threads on one session, many sessions, and a session freed while it works. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)
#define THREADS 16

static spinect_session *session;
static spinect_segmentation *result;
static spinect_cancel *cancel;
static int16_t *voxels;
static uint8_t expected[VOXELS];
static pthread_barrier_t barrier;

static void *compete(void *argument) {
  spinect_volume volume = cube(voxels, N);
  uint8_t *labels = malloc(VOXELS);
  spinect_run run;
  spinect_model_info info;
  size_t *done = argument;
  int round;

  CHECK(labels != NULL);
  EXPECT(SPINECT_OK, spinect_thread_prepare());
  CLEAR(run);
  CLEAR(info);
  pthread_barrier_wait(&barrier);
  for (round = 0; round < 20; ++round) {
    spinect_status status = spinect_session_segment_into(session, &volume, &run, labels, VOXELS);
    if (status == SPINECT_OK) {
      CHECK(memcmp(labels, expected, VOXELS) == 0);
      ++*done;
    } else {
      EXPECT(SPINECT_ERROR_BUSY, status);
    }
    EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
  }
  free(labels);
  return NULL;
}

static void *ask(void *unused) {
  double point[3];
  spinect_sample sample;
  size_t i, j;
  (void)unused;
  CLEAR(sample);
  for (i = 0; i < N; ++i) {
    for (j = 0; j < N; ++j) {
      point[0] = (double)i, point[1] = (double)j, point[2] = (double)((i + j) % N);
      EXPECT(SPINECT_OK, spinect_segmentation_at(result, SPINECT_WORLD_LPS, point, &sample));
      CHECK(sample.label == expected[i + N * (j + N * ((i + j) % N))]);
    }
  }
  return NULL;
}

/* Segments until the session is gone. */
static void *until_it_is_gone(void *unused) {
  spinect_volume volume = cube(voxels, N);
  uint8_t *labels = malloc(VOXELS);
  spinect_run run;
  spinect_status status;
  (void)unused;
  CHECK(labels != NULL);
  CLEAR(run);
  pthread_barrier_wait(&barrier);
  do {
    status = spinect_session_segment_into(session, &volume, &run, labels, VOXELS);
    CHECK(status == SPINECT_OK || status == SPINECT_ERROR_BUSY || status == SPINECT_ERROR_CANCELLED ||
          status == SPINECT_ERROR_INVALID_HANDLE);
  } while (status != SPINECT_ERROR_INVALID_HANDLE);
  free(labels);
  return NULL;
}

/* Segments until it is cancelled. */
static void *until_it_is_cancelled(void *unused) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_status status;
  uint8_t *labels = malloc(VOXELS);
  (void)unused;
  CHECK(labels != NULL);
  CLEAR(run);
  run.cancel = cancel;
  pthread_barrier_wait(&barrier);
  while ((status = spinect_session_segment_into(session, &volume, &run, labels, VOXELS)) == SPINECT_OK) {
  }
  EXPECT(SPINECT_ERROR_CANCELLED, status);
  free(labels);
  return NULL;
}

static void start(void) {
  spinect_session_config config;
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
}

/* A thread with as little stack as 16 KiB, or as the system allows. */
static void with_little_stack(void *(*body)(void *)) {
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  if (pthread_attr_setstacksize(&attributes, 16384) != 0) {
    CHECK(pthread_attr_setstacksize(&attributes, 65536) == 0);
  }
  CHECK(pthread_create(&thread, &attributes, body, NULL) == 0 && pthread_join(thread, NULL) == 0);
  pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv) {
  pthread_t threads[THREADS];
  size_t done[THREADS] = {0}, total = 0, at;
  spinect_session *many[64];
  spinect_volume volume;
  spinect_run run;
  int round;

  CHECK(argc == 3);
  voxels = make_voxels(VOXELS);
  volume = cube(voxels, N);
  start();
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  CLEAR(run);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, expected, VOXELS));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));

  CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
  for (at = 0; at < THREADS; ++at) {
    CHECK(pthread_create(&threads[at], NULL, compete, &done[at]) == 0);
  }
  for (at = 0; at < THREADS; ++at) {
    CHECK(pthread_join(threads[at], NULL) == 0);
    total += done[at];
  }
  CHECK(total > 0);

  for (at = 0; at < THREADS; ++at) {
    CHECK(pthread_create(&threads[at], NULL, ask, NULL) == 0);
  }
  for (at = 0; at < THREADS; ++at) {
    CHECK(pthread_join(threads[at], NULL) == 0);
  }
  with_little_stack(ask);

  pthread_barrier_destroy(&barrier);
  CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
  EXPECT(SPINECT_OK, spinect_cancel_create(&cancel));
  CHECK(pthread_create(&threads[0], NULL, until_it_is_cancelled, NULL) == 0);
  pthread_barrier_wait(&barrier);
  spinect_cancel_set(cancel);
  CHECK(pthread_join(threads[0], NULL) == 0);
  spinect_cancel_free(cancel);

  for (round = 0; round < 10; ++round) {
    if (round > 0) {
      start();
      EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
    }
    CHECK(pthread_create(&threads[0], NULL, until_it_is_gone, NULL) == 0);
    pthread_barrier_wait(&barrier);
    if (round % 2 == 0) {
      double fraction = 0.0;
      while (fraction == 0.0) {
        EXPECT(SPINECT_OK, spinect_session_progress(session, &fraction));
      }
    }
    spinect_session_free(session);
    CHECK(pthread_join(threads[0], NULL) == 0);
  }

  for (at = 0; at < 64; ++at) {
    start();
    many[at] = session;
  }
  for (at = 0; at < 64; ++at) {
    spinect_session_free(many[at]);
  }
  spinect_segmentation_free(result);
  free(voxels);
  return 0;
}
