/* files MODEL FOLDER: paths that are no regular file, a full disk, and folders without the right to write. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define N 24
#define VOXELS ((size_t)N * N * N)

static spinect_session *session;
static spinect_segmentation *result;
static char folder[4000];

static const char *in_folder(const char *name) {
  static char paths[4][4200];
  static int turn;
  char *path = paths[turn++ % 4];
  sprintf(path, "%.4000s/%.100s", folder, name);
  return path;
}

/* The names in a folder, "." and ".." not counted: more than the expected ones are leftovers. */
static int entries(const char *path) {
  DIR *directory = opendir(path);
  int count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) {
    ++count;
  }
  closedir(directory);
  return count - 2;
}

/* Reading this path as an image fails with this status, everything else as input or output; nothing hangs. */
static void neither_read_nor_written(const char *path, spinect_status reading) {
  spinect_image_config config;
  spinect_image *image = NULL;
  CLEAR(config);
  EXPECT(reading, spinect_image_read(path, &config, &image));
  EXPECT(SPINECT_ERROR_IO, spinect_session_load_weights(session, path));
  EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, path));
  CHECK(image == NULL);
}

static void strange_paths(void) {
  const char *const names[4] = {"directory.nii", "pipe.nii", "zero.nii.gz", "null.nii"};
  /* A folder is taken for a DICOM series. */
  const int dicom = strstr(spinect_build_info(), "dicom") != NULL;
  size_t at;
  CHECK(mkdir(in_folder(names[0]), 0777) == 0);
  CHECK(mkfifo(in_folder(names[1]), 0666) == 0);
  CHECK(symlink("/dev/zero", in_folder(names[2])) == 0);
  CHECK(symlink("/dev/null", in_folder(names[3])) == 0);
  neither_read_nor_written(in_folder(names[0]), dicom ? SPINECT_ERROR_UNSUPPORTED_FORMAT : SPINECT_ERROR_UNSUPPORTED);
  for (at = 1; at < 4; ++at) {
    neither_read_nor_written(in_folder(names[at]), SPINECT_ERROR_IO);
  }
  neither_read_nor_written(in_folder("missing/labels.nii"), SPINECT_ERROR_IO);
  rmdir(in_folder(names[0]));
  for (at = 1; at < 4; ++at) {
    unlink(in_folder(names[at]));
  }
  CHECK(entries(folder) == 0);
}

/* No file may grow beyond a few bytes: as on a full disk, a write comes back short and then fails. */
static void full_disk(void) {
  struct rlimit before, little;
  struct stat as_it_was, as_it_is;
  const char *const names[2] = {"labels.nii", "labels.nii.gz"};
  size_t at;
  int limit;

  CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (at = 0; at < 2; ++at) {
    EXPECT(SPINECT_OK, spinect_segmentation_write(result, in_folder(names[at])));
    CHECK(stat(in_folder(names[at]), &as_it_was) == 0);
    for (limit = 0; limit < 4; ++limit) {
      little = before;
      little.rlim_cur = (rlim_t)(as_it_was.st_size * limit / 4);
      CHECK(setrlimit(RLIMIT_FSIZE, &little) == 0);
      EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, in_folder(names[at])));
      EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, in_folder("new.nii")));
      CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
      CHECK(stat(in_folder(names[at]), &as_it_is) == 0);
      CHECK(as_it_is.st_ino == as_it_was.st_ino && as_it_is.st_size == as_it_was.st_size);
      CHECK(entries(folder) == 1);
    }
    EXPECT(SPINECT_OK, spinect_segmentation_write(result, in_folder(names[at])));
    unlink(in_folder(names[at]));
  }
}

/* What a user without rights meets: a folder that cannot be written, files that cannot be read. */
static int without_rights(void) {
  spinect_image_config config;
  spinect_image *image = NULL;
  spinect_session_config session_config;
  spinect_session *own = NULL;
  CLEAR(config);
  CLEAR(session_config);
  session_config.device = SPINECT_DEVICE_CPU;
  session_config.threads = 1;
  EXPECT(SPINECT_ERROR_IO, spinect_image_read(in_folder("secret.nii"), &config, &image));
  EXPECT(SPINECT_OK, spinect_session_create(&session_config, &own));
  EXPECT(SPINECT_ERROR_IO, spinect_session_load_weights(own, in_folder("secret.nii")));
  spinect_session_free(own);
  EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, in_folder("labels.nii")));
  EXPECT(SPINECT_ERROR_IO, spinect_segmentation_write(result, in_folder("locked.nii")));
  return 0;
}

static void read_only_folder(void) {
  FILE *file = fopen(in_folder("secret.nii"), "wb");
  const uid_t user = getuid();
  CHECK(file != NULL && fclose(file) == 0 && chmod(in_folder("secret.nii"), 0) == 0);
  EXPECT(SPINECT_OK, spinect_segmentation_write(result, in_folder("locked.nii")));
  CHECK(chmod(folder, 0555) == 0);
  /* To root nothing is forbidden: it looks for files as nobody. */
  if (user == 0) {
    CHECK(seteuid(65534) == 0);
  }
  if (user == 0 && euidaccess(folder, X_OK) != 0) {
    puts("SKIPPED: nobody may not even look into the scratch folder");
  } else {
    without_rights();
  }
  if (user == 0) {
    CHECK(seteuid(0) == 0);
  }
  CHECK(chmod(folder, 0777) == 0 && entries(folder) == 2);
  unlink(in_folder("secret.nii"));
  unlink(in_folder("locked.nii"));
}

int main(int argc, char **argv) {
  int16_t *voxels = make_voxels(VOXELS);
  spinect_volume volume = cube(voxels, N);
  spinect_session_config config;
  spinect_run run;

  CHECK(argc == 3);
  sprintf(folder, "%.3900s/XXXXXX", argv[2]);
  CHECK(mkdtemp(folder) != NULL);
  alarm(30); /* instead of hanging on a pipe */
  CLEAR(config);
  CLEAR(run);
  config.device = SPINECT_DEVICE_CPU;
  config.threads = 2;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  EXPECT(SPINECT_OK, spinect_session_segment(session, &volume, &run, &result));

  strange_paths();
  full_disk();
  read_only_folder();

  spinect_segmentation_free(result);
  spinect_session_free(session);
  CHECK(entries(folder) == 0 && rmdir(folder) == 0);
  free(voxels);
  return 0;
}
