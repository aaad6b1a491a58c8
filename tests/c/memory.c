/* memory MODEL FOLDER: spinect_session_estimate_memory tells no less than is taken, and the limit of a session holds. */
#include "check.h"
#include "faults.h"

#define MOST ((size_t)60 * 60 * 60)

/* What the estimate may count beyond the heap: code and tables that are paged in, and stacks. */
#define ALLOWANCE(threads) ((4l << 20) + (long)(threads) * (512l << 10))

static int16_t *voxels;

static spinect_status start(uint32_t threads, uint64_t limit, const char *model, spinect_session **session) {
  spinect_session_config config;
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = threads;
  config.memory_limit = limit;
  EXPECT(SPINECT_OK, spinect_session_create(&config, session));
  return spinect_session_load_weights(*session, model);
}

/* Everything from the session to the result, and what it takes at its peak. */
static void segment(const char *model, uint32_t threads, uint64_t dims[3], double spacing) {
  spinect_volume volume = cube(voxels, 1);
  spinect_session *session = NULL;
  spinect_segmentation *result = NULL;
  spinect_run run;
  spinect_status status;
  uint64_t host = 0, device = 1, untouched;
  long before, peak;
  int axis;

  for (axis = 0; axis < 3; ++axis) {
    volume.dims[axis] = dims[axis];
    volume.ijk_to_world[5 * axis] = spacing;
  }
  CLEAR(run);
  before = live_bytes();
  peak_bytes();
  EXPECT(SPINECT_OK, start(threads, 0, model, &session));
  EXPECT(SPINECT_OK, spinect_session_estimate_memory(session, &volume, &host, &device));
  CHECK(device == 0);
  EXPECT(SPINECT_OK, spinect_session_prepare(session, &volume));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  peak = peak_bytes() - before;
  spinect_segmentation_free(result);
  spinect_session_free(session);
  printf("%u threads, %u x %u x %u voxels of %g mm: estimated %lu, taken %ld bytes\n", (unsigned)threads, (unsigned)dims[0],
         (unsigned)dims[1], (unsigned)dims[2], spacing, (unsigned long)host, peak);
  CHECK(peak <= (long)host && (long)host < 2 * peak + ALLOWANCE(threads));

  /* Exactly enough is enough, and one byte less is refused before anything is taken. */
  EXPECT(SPINECT_OK, start(threads, host, model, &session));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  spinect_segmentation_free(result);
  result = NULL;
  spinect_session_free(session);
  status = start(threads, host - 1, model, &session);
  before = live_bytes();
  peak_bytes();
  if (status == SPINECT_OK) {
    EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_session_segment(session, &volume, &run, &result));
    EXPECT(SPINECT_ERROR_VOLUME_TOO_LARGE, spinect_session_prepare(session, &volume));
    CHECK(result == NULL && peak_bytes() - before <= 4096);
    CHECK(spinect_session_estimate_memory(session, &volume, &untouched, &device) == SPINECT_OK && untouched == host);
  } else {
    EXPECT(SPINECT_ERROR_OUT_OF_MEMORY, status);
  }
  spinect_session_free(session);
}

int main(int argc, char **argv) {
  uint64_t shapes[4][3] = {{60, 60, 60}, {1, 1, 6000}, {25, 60, 7}, {1, 1, 1}};
  spinect_session *session = NULL;
  spinect_segmentation *result = NULL;
  spinect_volume volume;
  spinect_run run;
  uint32_t threads;
  size_t at;
  CHECK(argc == 3);
  voxels = make_voxels(MOST);
  /* What a process takes once. */
  volume = cube(voxels, 9);
  CLEAR(run);
  EXPECT(SPINECT_OK, start(2, 0, argv[1], &session));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  spinect_segmentation_free(result);
  spinect_session_free(session);
  for (threads = 1; threads <= 4; threads += 3) {
    for (at = 0; at < 4; ++at) {
      segment(argv[1], threads, shapes[at], shapes[at][2] > 1000 ? 0.1 : 1.0);
      segment(argv[1], threads, shapes[at], shapes[at][2] > 1000 ? 0.3 : 0.7);
    }
  }
  free(voxels);
  return 0;
}
