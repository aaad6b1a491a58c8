/* Handles that were freed, freed twice, are of another type, or were never one. */
#include "check.h"

#define HANDLES 300

/* Every function that takes a handle answers INVALID_HANDLE, before it looks at anything but NULL. */
static void nothing_works_with(void *handle) {
  spinect_volume volume;
  spinect_run run;
  spinect_model_info info;
  spinect_label label;
  spinect_provenance provenance;
  spinect_timings timings;
  spinect_sample sample;
  spinect_distance distance;
  spinect_clearance clearance;
  spinect_surface_config config;
  spinect_segmentation *segmentation = NULL;
  spinect_surface *surface = NULL;
  const uint8_t *labels;
  const double *points;
  const uint32_t *triangles;
  uint64_t dims[3], bytes[2];
  double affine[16] = {0}, fraction;
  int32_t world;
  size_t count, more;
  uint8_t map[1];
  float confidence[1];
  const spinect_status invalid = SPINECT_ERROR_INVALID_HANDLE;

  /* Not even their sizes are right. */
  memset(&volume, 0, sizeof volume);
  memset(&run, 0, sizeof run);
  memset(&info, 0, sizeof info);
  memset(&label, 0, sizeof label);
  memset(&provenance, 0, sizeof provenance);
  memset(&timings, 0, sizeof timings);
  memset(&sample, 0, sizeof sample);
  memset(&distance, 0, sizeof distance);
  memset(&clearance, 0, sizeof clearance);
  memset(&config, 0, sizeof config);

  EXPECT(invalid, spinect_image_view(handle, &volume));
  EXPECT(invalid, spinect_session_load_weights(handle, ""));
  EXPECT(invalid, spinect_session_load_weights_from_memory(handle, "", 1));
  EXPECT(invalid, spinect_session_model_info(handle, &info));
  EXPECT(invalid, spinect_session_find_label(handle, "", &world));
  EXPECT(invalid, spinect_session_estimate_memory(handle, &volume, bytes, bytes + 1));
  EXPECT(invalid, spinect_session_prepare(handle, &volume));
  EXPECT(invalid, spinect_session_segment(handle, &volume, &run, &segmentation));
  EXPECT(invalid, spinect_session_segment_into(handle, &volume, &run, map, 1));
  EXPECT(invalid, spinect_session_segment_again(handle, &volume, &run, handle));
  EXPECT(invalid, spinect_session_progress(handle, &fraction));
  EXPECT(invalid, spinect_segmentation_reserve(handle, &volume, &segmentation));
  EXPECT(invalid, spinect_segmentation_write(handle, ""));
  EXPECT(invalid, spinect_segmentation_geometry(handle, dims, affine, &world));
  EXPECT(invalid, spinect_segmentation_labels(handle, &labels, &count));
  EXPECT(invalid, spinect_segmentation_copy_confidence(handle, confidence, 1));
  CHECK(spinect_segmentation_label_count(handle) == 0);
  EXPECT(invalid, spinect_segmentation_label(handle, 0, &label));
  EXPECT(invalid, spinect_segmentation_provenance(handle, &provenance));
  EXPECT(invalid, spinect_segmentation_timings(handle, &timings));
  EXPECT(invalid, spinect_segmentation_prepare_queries(handle, 1));
  EXPECT(invalid, spinect_segmentation_at(handle, 0, affine, &sample));
  EXPECT(invalid, spinect_segmentation_distance(handle, 1, 0, affine, &distance));
  EXPECT(invalid, spinect_segmentation_clearance(handle, 1, 0, affine, affine, -1.0, &clearance));
  EXPECT(invalid, spinect_segmentation_surface(handle, 1, &config, &surface));
  EXPECT(invalid, spinect_surface_data(handle, &points, &count, &triangles, &more));
  EXPECT(invalid, spinect_surface_write(handle, ""));
  spinect_image_free(handle);
  spinect_session_free(handle);
  spinect_segmentation_free(handle);
  spinect_surface_free(handle);
  CHECK(segmentation == NULL && surface == NULL);
}

int main(void) {
  spinect_cancel *cancels[HANDLES], *first;
  uintptr_t bits;
  size_t at;

  spinect_image_free(NULL);
  spinect_session_free(NULL);
  spinect_cancel_free(NULL);
  spinect_segmentation_free(NULL);
  spinect_surface_free(NULL);
  CHECK(spinect_last_error(NULL, 0) == 0);
  spinect_cancel_set(NULL);
  spinect_cancel_reset(NULL);
  CHECK(spinect_last_error(NULL, 0) >= 8);

  for (at = 0; at < HANDLES; ++at) {
    EXPECT(SPINECT_OK, spinect_cancel_create(&cancels[at]));
    CHECK(at == 0 || cancels[at] != cancels[at - 1]);
    spinect_cancel_set(cancels[at]);
    spinect_cancel_reset(cancels[at]);
  }
  /* A live handle of another type. */
  nothing_works_with(cancels[0]);

  first = cancels[0];
  for (at = 0; at < HANDLES; ++at) {
    spinect_cancel_free(cancels[at]);
    spinect_cancel_free(cancels[at]);
    spinect_cancel_set(cancels[at]);
  }
  /* The slot lives again, the old handle does not. */
  for (at = 0; at < HANDLES; ++at) {
    EXPECT(SPINECT_OK, spinect_cancel_create(&cancels[at]));
    CHECK(cancels[at] != first);
  }
  spinect_cancel_free(first);
  for (at = 0; at < HANDLES; ++at) {
    spinect_cancel_free(cancels[at]);
  }

  /* Numbers and addresses that were never handles. */
  nothing_works_with(&bits);
  for (bits = 1; bits != 0; bits <<= 1) {
    nothing_works_with((void *)bits);
    nothing_works_with((void *)~bits);
  }
  nothing_works_with((void *)UINTPTR_MAX);
  return 0;
}
