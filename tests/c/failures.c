/* failures MODEL FOLDER [LEAST CALL NUMBER ONCE]: every fallible function of the C library fails, at every one of its
 * calls, once and from then on, in every function of the library that does work. Each time: a status that says so, no
 * leak, and a next call that gives what it always gave.
 *
 * Memory: in the calls that a host repeats, blocks of any size; elsewhere those of LARGE bytes and more, which are those
 * that volumes and models size. With LEAST and the rest, only
 * this one failure of memory, also of small blocks: where the program ends then shows what still aborts. */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "faults.h"

#define N 24
#define VOXELS ((size_t)N * N * N)
#define LARGE 4096

static const char *model;
static char plain[4200], packed[4200], folder[4200];
static int16_t *voxels;
static uint8_t expected[VOXELS], labels[VOXELS];
static char model_bytes[1 << 20];
static size_t model_size;
static spinect_session *session;
static spinect_segmentation *written;

static spinect_status create_with(uint32_t threads, spinect_session **created) {
  spinect_session_config config;
  CLEAR(config);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = threads;
  return spinect_session_create(&config, created);
}

static spinect_status create(void) {
  spinect_session *created = NULL;
  const spinect_status status = create_with(4, &created);
  CHECK((status == SPINECT_OK) == (created != NULL));
  spinect_session_free(created);
  return status;
}

static spinect_status load(void) { return spinect_session_load_weights(session, model); }

static spinect_status load_from_memory(void) {
  return spinect_session_load_weights_from_memory(session, model_bytes, model_size);
}

static spinect_status prepare(void) {
  const spinect_volume volume = cube(NULL, N);
  return spinect_session_prepare(session, &volume);
}

static spinect_status reserve(void) {
  const spinect_volume volume = cube(NULL, N);
  spinect_segmentation *result = NULL;
  const spinect_status status = spinect_segmentation_reserve(session, &volume, &result);
  CHECK((status == SPINECT_OK) == (result != NULL));
  spinect_segmentation_free(result);
  return status;
}

static spinect_status segment(void) {
  const spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_segmentation *result = NULL;
  spinect_status status;
  CLEAR(run);
  status = spinect_session_segment(session, &volume, &run, &result);
  CHECK((status == SPINECT_OK) == (result != NULL));
  spinect_segmentation_free(result);
  return status;
}

static spinect_status segment_into(void) {
  const spinect_volume volume = cube(voxels, N);
  spinect_run run;
  spinect_status status;
  size_t at;
  CLEAR(run);
  memset(labels, 0xee, VOXELS);
  status = spinect_session_segment_into(session, &volume, &run, labels, VOXELS);
  for (at = 0; status != SPINECT_OK && at < VOXELS; ++at) {
    CHECK(labels[at] == 0xee);
  }
  return status;
}

static spinect_status read_file(const char *path) {
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_status status;
  CLEAR(config);
  status = spinect_image_read(path, &config, &image);
  CHECK((status == SPINECT_OK) == (image != NULL));
  spinect_image_free(image);
  return status;
}

static spinect_status read_plain(void) { return read_file(plain); }
static spinect_status read_packed(void) { return read_file(packed); }
static spinect_status write_plain(void) { return spinect_segmentation_write(written, plain); }
static spinect_status write_packed(void) { return spinect_segmentation_write(written, packed); }

static const struct {
  const char *name;
  spinect_status (*call)(void);
  int prepared; /* in a session that is prepared */
  int aborts;   /* where a library below aborts without memory: flate2 takes its state infallibly */
  int small;    /* also small blocks may be missing: the whole call takes its memory fallibly */
} calls[] = {
    {"create", create, 0, 0, 0},
    {"load", load, 0, 0, 0},
    {"load_from_memory", load_from_memory, 0, 0, 0},
    {"prepare", prepare, 0, 0, 1},
    {"reserve", reserve, 0, 0, 0},
    {"segment", segment, 0, 0, 0},
    {"segment_into", segment_into, 0, 0, 1},
    {"segment_into after prepare", segment_into, 1, 0, 1},
    {"read .nii", read_plain, 0, 0, 0},
    {"read .nii.gz", read_packed, 0, 1, 0},
    {"write .nii", write_plain, 0, 0, 0},
    {"write .nii.gz", write_packed, 0, 1, 0},
};
#define CALLS (sizeof calls / sizeof *calls)

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

static void start(int prepared) {
  EXPECT(SPINECT_OK, create_with(3, &session));
  EXPECT(SPINECT_OK, load());
  if (prepared) {
    EXPECT(SPINECT_OK, prepare());
  }
}

/* One failure. Returns how often the planned function was called. */
static long fail(size_t which, enum fault_kind kind, long number, int once, size_t least) {
  static const spinect_status wanted[FAULT_KINDS] = {
      SPINECT_OK,       SPINECT_ERROR_OUT_OF_MEMORY, SPINECT_ERROR_THREAD, SPINECT_ERROR_IO,
      SPINECT_ERROR_IO, SPINECT_ERROR_IO,            SPINECT_ERROR_IO};
  const long blocks = live_blocks();
  const int files = entries("/proc/self/fd"), names = entries(folder);
  spinect_status status;
  long count;

  start(calls[which].prepared);
  fail_from(kind, number, once, least);
  status = calls[which].call();
  count = fail_no_more();
  if (status != (count > number ? wanted[kind] : SPINECT_OK)) {
    char message[1200] = "";
    spinect_last_error(message, sizeof message);
    /* The folder of a written file is synchronized as well as can be: the file is complete without. */
    const int folder_only = (kind == FAULT_SYNC || kind == FAULT_OPEN) && number == 1 && status == SPINECT_OK;
    if (!folder_only) {
      fprintf(stderr, "%s, when %s fails at call %ld %s: %s: %s\n", calls[which].name, fault_name(kind), number,
              once ? "once" : "and from then on", spinect_status_name(status), message);
      exit(1);
    }
  }
  /* As if nothing had happened. */
  EXPECT(SPINECT_OK, calls[which].call());
  EXPECT(SPINECT_OK, segment_into());
  CHECK(memcmp(labels, expected, VOXELS) == 0);
  spinect_session_free(session);
  if (live_blocks() != blocks || entries("/proc/self/fd") != files || entries(folder) != names) {
    fprintf(stderr, "%s, when %s fails at call %ld %s: %ld blocks, %d files, %d names are left\n", calls[which].name,
            fault_name(kind), number, once ? "once" : "and from then on", live_blocks() - blocks,
            entries("/proc/self/fd") - files, entries(folder) - names);
    exit(1);
  }
  return count;
}

/* No file can take another's name: written in a child, as a filter of system calls cannot be taken back. */
static void fail_to_rename(void) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_rename
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rename, 2, 0),
#else
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 2, 0),
#endif
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 5 /* EIO */),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  const int names = entries(folder);
  const pid_t child = fork();
  int status = 1;
  CHECK(child >= 0);
  if (child == 0) {
    const spinect_volume volume = cube(voxels, N);
    spinect_run run;
    CLEAR(run);
    start(0);
    EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &written));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
      puts("SKIPPED: this machine has no filters of system calls; rename cannot be made to fail");
      fflush(stdout);
      _exit(0);
    }
    EXPECT(SPINECT_ERROR_IO, write_plain());
    CHECK(entries(folder) == names);
    EXPECT(SPINECT_OK, segment_into());
    _exit(memcmp(labels, expected, VOXELS) == 0 ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  EXPECT(SPINECT_OK, read_plain());
}

int main(int argc, char **argv) {
  FILE *file;
  spinect_volume volume;
  spinect_run run;
  size_t which;
  int kind, once, round;

  CHECK(argc == 3 || argc == 7);
  model = argv[1];
  sprintf(folder, "%.4000s", argv[2]);
  sprintf(plain, "%.4000s/labels.nii", folder);
  sprintf(packed, "%.4000s/labels.nii.gz", folder);
  file = fopen(model, "rb");
  CHECK(file != NULL);
  model_size = fread(model_bytes, 1, sizeof model_bytes, file);
  CHECK(model_size < sizeof model_bytes && fclose(file) == 0);
  voxels = make_voxels(VOXELS);
  volume = cube(voxels, N);
  CLEAR(run);
  start(0);
  EXPECT(SPINECT_OK, segment_into());
  memcpy(expected, labels, VOXELS);
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &written));
  EXPECT(SPINECT_OK, write_plain());
  EXPECT(SPINECT_OK, write_packed());
  spinect_session_free(session);
  /* What a process takes once, it has taken now. */
  for (round = 0; round < 2; ++round) {
    for (which = 0; which < CALLS; ++which) {
      start(calls[which].prepared);
      EXPECT(SPINECT_OK, calls[which].call());
      spinect_session_free(session);
    }
  }

  if (argc == 7) {
    const long count = fail((size_t)atoi(argv[4]), FAULT_MEMORY, atol(argv[5]), atoi(argv[6]), (size_t)atol(argv[3]));
    printf("%s: %ld\n", calls[atoi(argv[4])].name, count);
    return 0;
  }
  for (kind = FAULT_MEMORY; kind < FAULT_KINDS; ++kind) {
    for (which = 0; which < CALLS; ++which) {
      long most = 0;
      for (once = 0; once < 2 && !(kind == FAULT_MEMORY && calls[which].aborts); ++once) {
        long number = 0;
        while (fail(which, (enum fault_kind)kind, number, once, calls[which].small ? 0 : LARGE) > number) {
          ++number;
        }
        most = number > most ? number : most;
      }
      if (most > 0) {
        printf("%s fails at %ld places in %s\n", fault_name((enum fault_kind)kind), most, calls[which].name);
      }
    }
  }
  fail_to_rename();
  spinect_segmentation_free(written);
  free(voxels);
  return 0;
}
