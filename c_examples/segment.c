/* segment MODEL INPUT.nii.gz OUTPUT.nii.gz: segments a CT and prints what was found. The program to copy from.
 *
 * After `cargo build --release`, in the repository's root:
 *   shared:  ln -sf libspinect.so target/release/libspinect.so.1   (the name that programs ask for; installing makes it)
 *            cc -std=c99 -Iinclude c_examples/segment.c -Ltarget/release -lspinect -Wl,-rpath,"$PWD/target/release" -o segment
 *   static:  cc -std=c99 -Iinclude c_examples/segment.c target/release/libspinect.a -lgcc_s -lpthread -ldl -lm -o segment
 * Once it is installed:
 *            cc -std=c99 segment.c $(pkg-config --cflags --libs spinect) -o segment
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "spinect.h"

/* Says which step failed and why. */
static void complain(const char *step) {
  char message[1024];
  spinect_last_error(message, sizeof message);
  fprintf(stderr, "error: %s: %s\n", step, message);
}

/* Told how far the run is, on this very thread; anything but 0 would cancel it. */
static int32_t show_progress(double fraction, const char *stage, void *user_data) {
  (void)user_data;
  fprintf(stderr, "%-8s %3.0f %%%c", stage, 100 * fraction, fraction < 1 ? '\r' : '\n');
  return 0;
}

static void print_warnings(uint64_t warnings) {
  static const struct { uint64_t bit; const char *text; } texts[] = {
      {SPINECT_WARNING_MODEL_NOT_CLINICAL, "the model is a demonstration or untrained: this result means NOTHING for a patient"},
      {SPINECT_WARNING_STRUCTURE_CUT, "a structure touches the border of the field of view"},
      {SPINECT_WARNING_STRUCTURE_ABSENT, "a structure that the model knows was not found"},
      {SPINECT_WARNING_SPACING, "the spacing is outside what the model was trained for"},
      {SPINECT_WARNING_INTENSITY, "metal, truncation, or not Hounsfield units"},
      {SPINECT_WARNING_LOW_CONFIDENCE, "the confidence is low"},
      {SPINECT_WARNING_FRAGMENTED, "a structure is in more pieces than it has"},
      {SPINECT_WARNING_SHEARED, "the volume is sheared (gantry tilt)"}};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (warnings & texts[i].bit) printf("WARNING: %s\n", texts[i].text);
}

/* Prints the label table, the timings and the warnings; 0 if that failed. */
static int print_result(const spinect_segmentation *segmentation) {
  spinect_timings timings = {.struct_size = sizeof timings};
  spinect_provenance provenance = {.struct_size = sizeof provenance};
  printf("label  name                    voxels  volume/ml  confidence\n");
  for (size_t i = 0; i < spinect_segmentation_label_count(segmentation); i++) {
    spinect_label label = {.struct_size = sizeof label};
    if (spinect_segmentation_label(segmentation, i, &label) != SPINECT_OK) return 0;
    printf("%5" PRId32 "  %-16s  %12" PRIu64 "  %9.2f  %10.3f\n", label.value, label.name, label.voxels, label.volume_mm3 / 1000,
           label.mean_confidence);
  }
  if (spinect_segmentation_timings(segmentation, &timings) != SPINECT_OK) return 0;
  printf("%.3f s: prepare %.3f, network %.3f (%" PRIu64 " of %" PRIu64 " windows), combine %.3f, restore %.3f\n", timings.total,
         timings.prepare, timings.network, timings.windows_computed, timings.windows, timings.combine, timings.restore);
  if (spinect_segmentation_provenance(segmentation, &provenance) != SPINECT_OK) return 0;
  print_warnings(provenance.warnings);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s MODEL INPUT.nii.gz OUTPUT.nii.gz\n", argv[0]);
    return 2;
  }
  /* Every field that is left at 0 means the default; the size says which version of the struct this is. */
  spinect_session_config config = {.struct_size = sizeof config};
  spinect_image_config how = {.struct_size = sizeof how};
  spinect_run run = {.struct_size = sizeof run, .progress = show_progress};
  spinect_volume volume = {.struct_size = sizeof volume};
  spinect_session *session = NULL;
  spinect_image *image = NULL;
  spinect_segmentation *segmentation = NULL;
  int exit_status = EXIT_FAILURE;

  if (spinect_session_create(&config, &session) != SPINECT_OK) complain("creating the session");
  else if (spinect_session_load_weights(session, argv[1]) != SPINECT_OK) complain("loading the model");
  else if (spinect_image_read(argv[2], &how, &image) != SPINECT_OK) complain("reading the image");
  else if (spinect_image_view(image, &volume) != SPINECT_OK) complain("viewing the image");
  else if (spinect_session_segment(session, &volume, &run, &segmentation) != SPINECT_OK) complain("segmenting");
  else if (!print_result(segmentation)) complain("describing the result");
  else if (spinect_segmentation_write(segmentation, argv[3]) != SPINECT_OK) complain("writing the result");
  else exit_status = EXIT_SUCCESS;

  spinect_segmentation_free(segmentation); /* freeing NULL does nothing */
  spinect_image_free(image);
  spinect_session_free(session);
  return exit_status;
}
