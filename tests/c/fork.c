/* In the child of a fork, inherited handles answer FORKED and new ones work. With a model as its argument, a session too. */
#define _POSIX_C_SOURCE 200809L
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static spinect_session *session = NULL;

static int in_child(spinect_cancel *inherited) {
  spinect_cancel *own = NULL;
  char message[200];
  spinect_cancel_set(inherited);
  CHECK(spinect_last_error(message, sizeof message) >= 8 && strstr(message, "fork") != NULL);
  spinect_cancel_free(inherited);
  EXPECT(SPINECT_OK, spinect_cancel_create(&own));
  CHECK(own != inherited);
  spinect_cancel_set(own);
  spinect_cancel_free(own);
  if (session != NULL) {
    spinect_volume volume = cube(NULL, 8);
    spinect_model_info info;
    spinect_session_config config;
    spinect_session *fresh = NULL;
    double fraction;
    uint64_t bytes[2];
    CLEAR(info);
    EXPECT(SPINECT_ERROR_FORKED, spinect_session_model_info(session, &info));
    EXPECT(SPINECT_ERROR_FORKED, spinect_session_progress(session, &fraction));
    EXPECT(SPINECT_ERROR_FORKED, spinect_session_prepare(session, &volume));
    EXPECT(SPINECT_ERROR_FORKED, spinect_session_estimate_memory(session, &volume, bytes, bytes + 1));
    spinect_session_free(session);
    EXPECT(SPINECT_ERROR_FORKED, spinect_session_progress(session, &fraction));
    CLEAR(config);
    config.device = SPINECT_DEVICE_CPU;
    config.threads = 2;
    EXPECT(SPINECT_OK, spinect_session_create(&config, &fresh));
    spinect_session_free(fresh);
  }
  return 0;
}

int main(int argc, char **argv) {
  spinect_cancel *cancel = NULL;
  char before[1200] = "", after[1200] = "";
  int status = 0;
  pid_t child;

  if (argc > 1) {
    spinect_session_config config;
    CLEAR(config);
    config.device = SPINECT_DEVICE_CPU;
    config.threads = 2;
    EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
    EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[1]));
  }
  EXPECT(SPINECT_OK, spinect_cancel_create(&cancel));
  spinect_last_error(before, sizeof before);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(20);
    _exit(in_child(cancel));
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);

  /* The parent goes on as if nothing had happened. */
  spinect_cancel_set(cancel);
  spinect_cancel_free(cancel);
  spinect_last_error(after, sizeof after);
  CHECK(strcmp(before, after) == 0);
  if (session != NULL) {
    spinect_model_info info;
    CLEAR(info);
    EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
    spinect_session_free(session);
  }
  return 0;
}
