/* host MODEL FOLDER LIBRARY: what a host may expect of a library in its process: no thread before the first session,
 * workers without its real-time scheduling and deaf to its signals, and code that stays when it is closed. For Linux. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "check.h"

/* Takes a function of the library. ISO C has no cast from an object's pointer to a function's. */
#define TAKE(function)                                          \
  do {                                                          \
    void *const address = dlsym(library, "spinect_" #function); \
    CHECK(address != NULL);                                     \
    memcpy(&function, &address, sizeof function);               \
  } while (0)

#define N 20
#define VOXELS ((size_t)N * N * N)

static spinect_status (*session_create)(const spinect_session_config *, spinect_session **);
static spinect_status (*session_load_weights)(spinect_session *, const char *);
static spinect_status (*session_segment_into)(spinect_session *, const spinect_volume *, const spinect_run *, uint8_t *, size_t);
static spinect_status (*thread_prepare)(void);
static void (*session_free)(spinect_session *);
static const char *(*version)(void);

static volatile sig_atomic_t caught_elsewhere;
static pthread_t host;

static void on_signal(int number) {
  (void)number;
  caught_elsewhere += !pthread_equal(pthread_self(), host);
}

/* Calls `look` for every thread of this process but the caller's, and returns how many there are. */
static int for_each_thread(void (*look)(pid_t)) {
  DIR *directory = opendir("/proc/self/task");
  const struct dirent *entry;
  int count = 0;
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) {
    const pid_t thread = (pid_t)atol(entry->d_name);
    if (thread > 0 && thread != gettid()) {
      look(thread);
      ++count;
    }
  }
  closedir(directory);
  return count;
}

/* What check.c has needs the library at link time, and this program must not be linked with it. */
static spinect_volume cube_of(const int16_t *voxels) {
  const spinect_volume volume = {.struct_size = sizeof volume,
                                 .voxel_type = SPINECT_VOXEL_INT16,
                                 .voxels = voxels,
                                 .dims = {N, N, N},
                                 .ijk_to_world = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
                                 .world = SPINECT_WORLD_LPS};
  return volume;
}

static void nothing(pid_t thread) { (void)thread; }
static void is_ordinary(pid_t thread) { CHECK(sched_getscheduler(thread) == SCHED_OTHER); }

int main(int argc, char **argv) {
  static int16_t voxels[VOXELS];
  uint8_t *labels = malloc(VOXELS), *expected = malloc(VOXELS);
  const spinect_volume volume = cube_of(voxels);
  const struct sched_param real_time = {.sched_priority = 1}, ordinary = {.sched_priority = 0};
  spinect_session_config config;
  spinect_session *session = NULL;
  spinect_run run;
  void *library;
  int round;

  for (round = 0; round < (int)VOXELS; ++round) {
    voxels[round] = (int16_t)(round * 7919 % 1500 - 500);
  }
  CHECK(argc == 4 && labels != NULL && expected != NULL);
  library = dlopen(argv[3], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  TAKE(session_create);
  TAKE(session_load_weights);
  TAKE(session_segment_into);
  TAKE(session_free);
  TAKE(thread_prepare);
  TAKE(version);
  CHECK(version() != NULL && thread_prepare() == SPINECT_OK);
  CHECK(for_each_thread(nothing) == 0);

  host = pthread_self();
  CHECK(signal(SIGUSR1, on_signal) != SIG_ERR && signal(SIGPROF, on_signal) != SIG_ERR);
  if (sched_setscheduler(0, SCHED_FIFO, &real_time) != 0) {
    puts("SKIPPED: no right to real-time scheduling; batch scheduling stands for it");
    CHECK(sched_setscheduler(0, SCHED_BATCH, &ordinary) == 0);
  }
  CLEAR(config);
  CLEAR(run);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 4;
  CHECK(session_create(&config, &session) == SPINECT_OK);
  CHECK(for_each_thread(is_ordinary) == 3);
  CHECK(sched_getscheduler(0) != SCHED_OTHER && sched_setscheduler(0, SCHED_OTHER, &ordinary) == 0);
  CHECK(session_load_weights(session, argv[1]) == SPINECT_OK);
  CHECK(session_segment_into(session, &volume, &run, expected, VOXELS) == SPINECT_OK);

  /* Signals to the process land on the host's threads only: here on none, while it blocks them. */
  {
    sigset_t ours;
    struct timespec no_time = {0, 0};
    sigemptyset(&ours);
    sigaddset(&ours, SIGUSR1);
    sigaddset(&ours, SIGPROF);
    CHECK(pthread_sigmask(SIG_BLOCK, &ours, NULL) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGPROF) == 0);
    CHECK(session_segment_into(session, &volume, &run, labels, VOXELS) == SPINECT_OK);
    CHECK(caught_elsewhere == 0);
    CHECK(sigtimedwait(&ours, NULL, &no_time) > 0 && sigtimedwait(&ours, NULL, &no_time) > 0);
  }

  /* Closed under its workers' feet: the code is still there. */
  CHECK(dlclose(library) == 0);
  for (round = 0; round < 3; ++round) {
    memset(labels, 0xee, VOXELS);
    CHECK(session_segment_into(session, &volume, &run, labels, VOXELS) == SPINECT_OK);
    CHECK(memcmp(labels, expected, VOXELS) == 0);
  }
  session_free(session);
  CHECK(for_each_thread(nothing) == 0);
  CHECK(dlopen(argv[3], RTLD_NOW | RTLD_NOLOAD) != NULL);
  free(labels);
  free(expected);
  return 0;
}
