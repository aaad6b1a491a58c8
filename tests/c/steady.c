/* steady MODEL FOLDER: nothing grows from one segmentation to the next: file descriptors, threads, memory. One core is
 * enough. For Linux. */
#define _GNU_SOURCE
#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include "check.h"
#include "faults.h"

#define N 20
#define VOXELS ((size_t)N * N * N)

typedef struct {
  int files, threads;
  long blocks, pages;
} state;

static int entries(const char *path) {
  DIR *directory = opendir(path);
  int count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) {
    ++count;
  }
  closedir(directory);
  return count;
}

static state now(void) {
  state seen;
  long all;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &seen.pages) == 2 && fclose(file) == 0);
  seen.files = entries("/proc/self/fd");
  seen.threads = entries("/proc/self/task");
  seen.blocks = live_blocks();
  return seen;
}

static spinect_session *start(const char *model, uint32_t threads) {
  spinect_session_config config;
  spinect_session *session = NULL;
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = threads;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, model));
  return session;
}

/* Everything that a host does again and again, failures among it. */
static void work(spinect_session *session, const int16_t *voxels, const char *folder, uint8_t *labels, int session_too,
                 const char *model) {
  spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_segmentation *result = NULL;
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_cancel *cancel = NULL;
  char path[4200];

  sprintf(path, "%.4000s/labels.nii.gz", folder);
  CLEAR(run);
  CLEAR(config);
  EXPECT(SPINECT_OK, spinect_session_segment_into(session, &volume, &run, labels, VOXELS));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));
  EXPECT(SPINECT_OK, spinect_session_segment_again(session, &volume, &run, result));
  EXPECT(SPINECT_OK, spinect_segmentation_write(result, path));
  EXPECT(SPINECT_OK, spinect_image_read(path, &config, &image));
  EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, "/no/such/folder/labels.nii"));
  spinect_image_free(image);
  spinect_segmentation_free(result);
  EXPECT(SPINECT_OK, spinect_cancel_create(&cancel));
  spinect_cancel_set(cancel);
  run.cancel = cancel;
  EXPECT(SPINECT_ERROR_CANCELLED, spinect_session_segment(session, &volume, &run, &result));
  spinect_cancel_free(cancel);
  EXPECT(SPINECT_ERROR_IO, spinect_image_read("no/such/file.nii", &config, &image));
  EXPECT(SPINECT_ERROR_UNSUPPORTED_FORMAT, spinect_image_read(model, &config, &image));
  if (session_too) {
    spinect_session *other = start(model, 3);
    EXPECT(SPINECT_OK, spinect_session_load_weights(other, model));
    CHECK(spinect_session_load_weights(other, path) != SPINECT_OK);
    run.cancel = NULL;
    EXPECT(SPINECT_OK, spinect_session_segment_into(other, &volume, &run, labels, VOXELS));
    spinect_session_free(other);
  }
}

int main(int argc, char **argv) {
  int16_t *voxels = make_voxels(VOXELS);
  uint8_t *labels = malloc(VOXELS), *expected = malloc(VOXELS);
  spinect_session *session;
  state before, after;
  cpu_set_t one;
  int round;

  CHECK(argc == 3 && labels != NULL && expected != NULL);
  /* What is freed goes back to the system, so that resident memory says something. */
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 1 << 16);
  session = start(argv[1], 4);
  work(session, voxels, argv[2], expected, 1, argv[1]);
  for (round = 0; round < 30; ++round) {
    work(session, voxels, argv[2], labels, round % 10 == 0, argv[1]);
  }
  before = now();
  for (round = 0; round < 100; ++round) {
    work(session, voxels, argv[2], labels, round % 10 == 0, argv[1]);
    CHECK(memcmp(labels, expected, VOXELS) == 0);
  }
  after = now();
  printf("files %d -> %d, threads %d -> %d, blocks of memory %ld -> %ld, resident %ld -> %ld pages\n", before.files, after.files,
         before.threads, after.threads, before.blocks, after.blocks, before.pages, after.pages);
  CHECK(after.files == before.files && after.threads == before.threads);
  CHECK(after.blocks == before.blocks);
  /* 300 segmentations: a leak of 1 KiB in each would be 75 pages. The allocator's own ups and downs are less. */
  CHECK(after.pages < before.pages + 75);

  /* The same on one core, with a session for as many threads as there are cores, and one for more. */
  CPU_ZERO(&one);
  CPU_SET((size_t)sched_getcpu(), &one);
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  work(session, voxels, argv[2], labels, 1, argv[1]);
  CHECK(memcmp(labels, expected, VOXELS) == 0);
  spinect_session_free(session);
  before = now();
  session = start(argv[1], 0);
  CHECK(now().threads == before.threads); /* the caller alone */
  work(session, voxels, argv[2], labels, 1, argv[1]);
  CHECK(memcmp(labels, expected, VOXELS) == 0);
  spinect_session_free(session);
  CHECK(now().threads == before.threads);
  free(voxels);
  free(labels);
  free(expected);
  return 0;
}
