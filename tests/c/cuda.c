/* cuda absent|present MODEL: what a program learns about CUDA where the engine is not beside the library, and where it is. */
#include "check.h"

int main(int argc, char **argv) {
  spinect_session_config config;
  spinect_session *session = NULL;
  spinect_model_info info;
  char text[2048];
  int present;

  CHECK(argc == 3);
  present = strcmp(argv[1], "present") == 0;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.device = SPINECT_DEVICE_CUDA;
  EXPECT(present ? SPINECT_OK : SPINECT_ERROR_DEVICE_UNAVAILABLE, spinect_session_create(&config, &session));
  if (!present) {
    CHECK(spinect_last_error(text, sizeof text) < sizeof text);
    puts(text);
  }
  spinect_session_free(session);

  config.device = SPINECT_DEVICE_AUTO;
  EXPECT(SPINECT_OK, spinect_session_create(&config, &session));
  EXPECT(SPINECT_OK, spinect_session_load_weights(session, argv[2]));
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  EXPECT(SPINECT_OK, spinect_session_model_info(session, &info));
  CHECK(info.device == (present ? SPINECT_DEVICE_CUDA : SPINECT_DEVICE_CPU));
  spinect_session_free(session);
  return 0;
}
