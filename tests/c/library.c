/* Versions, the names of statuses, the thread's last error. */
#include <pthread.h>

#include "check.h"

static void *of_another_thread(void *unused) {
  (void)unused;
  EXPECT(SPINECT_OK, spinect_thread_prepare());
  CHECK(spinect_last_error(NULL, 0) == 0);
  EXPECT(SPINECT_ERROR_NULL_ARGUMENT, spinect_cancel_create(NULL));
  return NULL;
}

int main(void) {
  static const spinect_status statuses[] = {
      SPINECT_OK, SPINECT_ERROR_NULL_ARGUMENT, SPINECT_ERROR_INVALID_ARGUMENT, SPINECT_ERROR_STRUCT_SIZE,
      SPINECT_ERROR_INVALID_HANDLE, SPINECT_ERROR_BUFFER_TOO_SMALL, SPINECT_ERROR_BUSY, SPINECT_ERROR_NO_MODEL,
      SPINECT_ERROR_NOT_PREPARED, SPINECT_ERROR_CANCELLED, SPINECT_ERROR_DEADLINE, SPINECT_ERROR_FORKED,
      SPINECT_ERROR_IO, SPINECT_ERROR_UNSUPPORTED_FORMAT, SPINECT_ERROR_CORRUPT_FILE, SPINECT_ERROR_INVALID_MODEL,
      SPINECT_ERROR_INVALID_GEOMETRY, SPINECT_ERROR_AMBIGUOUS_GEOMETRY, SPINECT_ERROR_VOLUME_TOO_LARGE,
      SPINECT_ERROR_NOT_EXAMINED, SPINECT_ERROR_UNKNOWN_LABEL, SPINECT_ERROR_LABEL_ABSENT,
      SPINECT_ERROR_OUT_OF_MEMORY, SPINECT_ERROR_THREAD, SPINECT_ERROR_DEVICE_UNAVAILABLE,
      SPINECT_ERROR_DEVICE_FAILED, SPINECT_ERROR_DEVICE_OUT_OF_MEMORY, SPINECT_ERROR_UNSUPPORTED, SPINECT_ERROR_PANIC};
  char whole[1200], part[1200], version[32];
  size_t length, at;
  pthread_t thread;
  spinect_volume volume = cube(NULL, 4);
  spinect_volume_info info;

  sprintf(version, "%d.%d.%d", SPINECT_VERSION_MAJOR, SPINECT_VERSION_MINOR, SPINECT_VERSION_PATCH);
  CHECK(strcmp(spinect_version(), version) == 0);
  CHECK(spinect_abi_version() == SPINECT_ABI_VERSION);
  CHECK(strstr(spinect_build_info(), version) != NULL);
  CHECK(spinect_build_info() == spinect_build_info());

  for (at = 0; at < sizeof statuses / sizeof *statuses; ++at) {
    CHECK(strcmp(spinect_status_name(statuses[at]), "UNKNOWN") != 0);
    CHECK(at == 0 || strcmp(spinect_status_name(statuses[at]), spinect_status_name(statuses[at - 1])) != 0);
  }
  CHECK(strcmp(spinect_status_name(SPINECT_ERROR_BUSY), "BUSY") == 0);
  CHECK(strcmp(spinect_status_name(INT32_MIN), "UNKNOWN") == 0);

  /* Nothing has failed yet. */
  memset(part, 'x', sizeof part);
  CHECK(spinect_last_error(part, sizeof part) == 0 && part[0] == '\0' && part[1] == 'x');

  CLEAR(info);
  volume.world = 3;
  EXPECT(SPINECT_ERROR_INVALID_ARGUMENT, spinect_volume_check(&volume, &info));
  length = spinect_last_error(NULL, 0);
  CHECK(length >= 8 && spinect_last_error(NULL, 100) == length && spinect_last_error(whole, 0) == length);
  CHECK(spinect_last_error(whole, sizeof whole) == length && strlen(whole) == length);
  for (at = 1; at <= length + 2; ++at) {
    memset(part, 'x', sizeof part);
    CHECK(spinect_last_error(part, at) == length);
    CHECK(strlen(part) < at && strncmp(part, whole, strlen(part)) == 0 && part[at] == 'x');
  }
  CHECK(spinect_last_error(whole, (size_t)-1) == length);

  /* A success keeps it; another thread has its own. */
  volume.world = SPINECT_WORLD_RAS;
  EXPECT(SPINECT_OK, spinect_volume_check(&volume, &info));
  CHECK(pthread_create(&thread, NULL, of_another_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
  CHECK(spinect_last_error(part, sizeof part) == length && strcmp(part, whole) == 0);
  return 0;
}
