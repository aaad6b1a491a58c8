/* allocations MODEL FOLDER: nothing is allocated after spinect_session_prepare, nor by queries, nor by their failures.
 * The program's own malloc counts for the whole process, the library and its threads included. For glibc. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <pthread.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static size_t allocations;

static void count(void) { __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED); }

void *malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void *calloc(size_t count_of, size_t size) {
  count();
  return __libc_calloc(count_of, size);
}
void *realloc(void *old, size_t size) {
  count();
  return __libc_realloc(old, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **place, size_t alignment, size_t size) {
  count();
  *place = __libc_memalign(alignment, size);
  return *place == NULL ? ENOMEM : 0;
}

/* What the call allocates. Its status must be as wanted; a plain comparison, as EXPECT may print. */
#define ALLOCATES_NOTHING(wanted, call)                                                              \
  do {                                                                                               \
    const size_t before = __atomic_load_n(&allocations, __ATOMIC_RELAXED);                           \
    const spinect_status status = (call);                                                            \
    const size_t more = __atomic_load_n(&allocations, __ATOMIC_RELAXED) - before;                    \
    if (more != 0) {                                                                                 \
      fprintf(stderr, "%s:%d: %s allocates %zu times\n", __FILE__, __LINE__, #call, more);           \
      exit(1);                                                                                       \
    }                                                                                                \
    expect((wanted), status, #call, __FILE__, __LINE__);                                             \
  } while (0)

static int32_t go_on(double fraction, const char *stage, void *user_data) {
  (void)fraction;
  (void)stage;
  (void)user_data;
  return 0;
}

/* A label that was found and prepared for questions, and one that was not prepared. */
static int32_t prepared, unprepared;

static void prepare(spinect_segmentation *segmentation) {
  size_t at;
  for (at = 0; at < spinect_segmentation_label_count(segmentation); ++at) {
    spinect_label label;
    CLEAR(label);
    EXPECT(SPINECT_OK, spinect_segmentation_label(segmentation, at, &label));
    if (label.voxels > 0) prepared = label.value;
  }
  unprepared = prepared == 0 ? 1 : 0;
  EXPECT(SPINECT_OK, spinect_segmentation_prepare_queries(segmentation, prepared));
}

static void *ask(void *result) {
  const spinect_segmentation *segmentation = result;
  double inside[3] = {3.0, 4.0, 5.0}, outside[3] = {300.0, 0.0, 0.0}, nowhere[3] = {1e300, 0.0, 0.0};
  spinect_sample sample;
  spinect_distance distance;
  spinect_clearance clearances[2];
  spinect_corridor corridor;
  spinect_tool tools[2];
  spinect_label label;
  CLEAR(sample);
  CLEAR(distance);
  CLEAR(clearances[0]);
  CLEAR(clearances[1]);
  CLEAR(corridor);
  CLEAR(tools[0]);
  CLEAR(tools[1]);
  memcpy(tools[0].from, outside, sizeof outside);
  memcpy(tools[1].to, inside, sizeof inside);
  CLEAR(label);
  EXPECT(SPINECT_OK, spinect_thread_prepare());
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_at(segmentation, SPINECT_WORLD_LPS, inside, &sample));
  ALLOCATES_NOTHING(SPINECT_ERROR_NOT_EXAMINED, spinect_segmentation_at(segmentation, SPINECT_WORLD_LPS, outside, &sample));
  ALLOCATES_NOTHING(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_at(segmentation, 7, inside, &sample));
  ALLOCATES_NOTHING(SPINECT_ERROR_NULL_ARGUMENT, spinect_segmentation_at(NULL, 7, inside, &sample));
  ALLOCATES_NOTHING(SPINECT_ERROR_INVALID_HANDLE, spinect_segmentation_at((void *)inside, 7, inside, &sample));
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_distance(segmentation, prepared, SPINECT_WORLD_RAS, inside, &distance));
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_distance(segmentation, prepared, SPINECT_WORLD_RAS, outside, &distance));
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_clearance(segmentation, prepared, SPINECT_WORLD_LPS, outside, inside, 1.5,
                                                               &clearances[0]));
  ALLOCATES_NOTHING(SPINECT_OK,
                    spinect_segmentation_clearances(segmentation, prepared, SPINECT_WORLD_LPS, tools, 2, clearances));
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_corridor(segmentation, prepared, SPINECT_WORLD_LPS, tools, 3.0, &corridor));
  ALLOCATES_NOTHING(SPINECT_ERROR_NOT_PREPARED,
                    spinect_segmentation_distance(segmentation, unprepared, SPINECT_WORLD_RAS, inside, &distance));
  ALLOCATES_NOTHING(SPINECT_ERROR_UNKNOWN_LABEL,
                    spinect_segmentation_distance(segmentation, 77, SPINECT_WORLD_RAS, inside, &distance));
  ALLOCATES_NOTHING(SPINECT_ERROR_INVALID_ARGUMENT,
                    spinect_segmentation_distance(segmentation, prepared, SPINECT_WORLD_RAS, nowhere, &distance));
  ALLOCATES_NOTHING(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_clearance(segmentation, prepared, SPINECT_WORLD_RAS,
                                                                                   inside, outside, -1.0, clearances));
  ALLOCATES_NOTHING(SPINECT_OK, spinect_segmentation_label(segmentation, 1, &label));
  ALLOCATES_NOTHING(SPINECT_ERROR_INVALID_ARGUMENT, spinect_segmentation_label(segmentation, 999, &label));
  sample.struct_size = 1;
  ALLOCATES_NOTHING(SPINECT_ERROR_STRUCT_SIZE, spinect_segmentation_at(segmentation, 7, inside, &sample));
  return NULL;
}

int main(int argc, char **argv) {
  int16_t *voxels = make_voxels(VOXELS);
  uint8_t *labels = malloc(VOXELS);
  spinect_volume volume = cube(voxels, N), small = cube(voxels, N - 3);
  spinect_session_config config;
  spinect_session *session = NULL;
  spinect_segmentation *target = NULL;
  spinect_cancel *cancel = NULL;
  spinect_run run;
  pthread_t thread;
  uint64_t warnings;
  int round;

  CHECK(argc == 3 && labels != NULL);
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  EXPECT(SPINECT_OK, spinect_session_prepare(session, &volume));
  EXPECT(SPINECT_OK, spinect_segmentation_reserve(session, &volume, &target));
  EXPECT(SPINECT_OK, spinect_cancel_create(&cancel));
  EXPECT(SPINECT_OK, spinect_thread_prepare());
  CLEAR(run);
  run.progress = go_on;
  run.cancel = cancel;
  run.warnings = &warnings;
  run.deadline_seconds = 3600.0;
  for (round = 0; round < 3; ++round) {
    ALLOCATES_NOTHING(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
    ALLOCATES_NOTHING(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, target));
    ALLOCATES_NOTHING(SPINECT_OK, spinect_session_segment_into(session, &small, &run, labels, VOXELS));
    ALLOCATES_NOTHING(SPINECT_OK, spinect_session_segment_again(session, &small, &run, target));
  }
  ALLOCATES_NOTHING(SPINECT_ERROR_BUFFER_TOO_SMALL, spinect_session_segment_into(session, &volume, &run, labels, 7));
  spinect_cancel_set(cancel);
  ALLOCATES_NOTHING(SPINECT_ERROR_CANCELLED, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  spinect_cancel_reset(cancel);
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, target));
  prepare(target);
  ask(target);
  CHECK(pthread_create(&thread, NULL, ask, target) == 0 && pthread_join(thread, NULL) == 0);
  spinect_segmentation_free(target);
  spinect_cancel_free(cancel);
  spinect_session_free(session);
  return 0;
}
