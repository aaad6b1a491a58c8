/* Every function has the signature of ABI 1: pointers of the contract's types take the header's functions. */
#include <stdio.h>

#include "spinect.h"

static const char *(*const spinect_version_is)(void) = spinect_version;
static uint32_t (*const spinect_abi_version_is)(void) = spinect_abi_version;
static const char *(*const spinect_build_info_is)(void) = spinect_build_info;
static const char *(*const spinect_status_name_is)(spinect_status status) = spinect_status_name;
static size_t (*const spinect_last_error_is)(char *buffer, size_t capacity) = spinect_last_error;
static spinect_status (*const spinect_thread_prepare_is)(void) = spinect_thread_prepare;
static spinect_status (*const spinect_volume_check_is)(const spinect_volume *volume, spinect_volume_info *info) = spinect_volume_check;
static spinect_status (*const spinect_image_read_is)(const char *path, const spinect_image_config *config, spinect_image **image) = spinect_image_read;
static spinect_status (*const spinect_image_view_is)(const spinect_image *image, spinect_volume *volume) = spinect_image_view;
static void (*const spinect_image_free_is)(spinect_image *image) = spinect_image_free;
static spinect_status (*const spinect_session_create_is)(const spinect_session_config *config, spinect_session **session) = spinect_session_create;
static void (*const spinect_session_free_is)(spinect_session *session) = spinect_session_free;
static spinect_status (*const spinect_session_load_weights_is)(spinect_session *session, const char *path) = spinect_session_load_weights;
static spinect_status (*const spinect_session_load_weights_from_memory_is)(spinect_session *session, const void *data, size_t size) = spinect_session_load_weights_from_memory;
static spinect_status (*const spinect_session_model_info_is)(const spinect_session *session, spinect_model_info *info) = spinect_session_model_info;
static spinect_status (*const spinect_session_find_label_is)(const spinect_session *session, const char *name, int32_t *label) = spinect_session_find_label;
static spinect_status (*const spinect_session_estimate_memory_is)(const spinect_session *session, const spinect_volume *like, uint64_t *host_bytes, uint64_t *device_bytes) = spinect_session_estimate_memory;
static spinect_status (*const spinect_session_prepare_is)(spinect_session *session, const spinect_volume *like) = spinect_session_prepare;
static spinect_status (*const spinect_cancel_create_is)(spinect_cancel **cancel) = spinect_cancel_create;
static void (*const spinect_cancel_set_is)(spinect_cancel *cancel) = spinect_cancel_set;
static void (*const spinect_cancel_reset_is)(spinect_cancel *cancel) = spinect_cancel_reset;
static void (*const spinect_cancel_free_is)(spinect_cancel *cancel) = spinect_cancel_free;
static spinect_status (*const spinect_session_segment_is)(spinect_session *session, const spinect_volume *volume, const spinect_run *run, spinect_segmentation **segmentation) = spinect_session_segment;
static spinect_status (*const spinect_session_segment_into_is)(spinect_session *session, const spinect_volume *volume, const spinect_run *run, uint8_t *labels, size_t capacity) = spinect_session_segment_into;
static spinect_status (*const spinect_session_segment_again_is)(spinect_session *session, const spinect_volume *volume, const spinect_run *run, spinect_segmentation *target) = spinect_session_segment_again;
static spinect_status (*const spinect_session_progress_is)(const spinect_session *session, double *fraction) = spinect_session_progress;
static spinect_status (*const spinect_segmentation_reserve_is)(const spinect_session *session, const spinect_volume *like, spinect_segmentation **segmentation) = spinect_segmentation_reserve;
static spinect_status (*const spinect_segmentation_from_labels_is)(const spinect_volume *labels, const spinect_label *table, size_t count, spinect_segmentation **segmentation) = spinect_segmentation_from_labels;
static spinect_status (*const spinect_segmentation_read_is)(const char *path, spinect_segmentation **segmentation) = spinect_segmentation_read;
static spinect_status (*const spinect_segmentation_write_is)(const spinect_segmentation *segmentation, const char *path) = spinect_segmentation_write;
static void (*const spinect_segmentation_free_is)(spinect_segmentation *segmentation) = spinect_segmentation_free;
static spinect_status (*const spinect_segmentation_geometry_is)(const spinect_segmentation *segmentation, uint64_t dims[3], double ijk_to_world[16], int32_t *world) = spinect_segmentation_geometry;
static spinect_status (*const spinect_segmentation_labels_is)(const spinect_segmentation *segmentation, const uint8_t **labels, size_t *count) = spinect_segmentation_labels;
static spinect_status (*const spinect_segmentation_copy_confidence_is)(const spinect_segmentation *segmentation, float *confidence, size_t capacity) = spinect_segmentation_copy_confidence;
static size_t (*const spinect_segmentation_label_count_is)(const spinect_segmentation *segmentation) = spinect_segmentation_label_count;
static spinect_status (*const spinect_segmentation_label_is)(const spinect_segmentation *segmentation, size_t index, spinect_label *label) = spinect_segmentation_label;
static spinect_status (*const spinect_segmentation_provenance_is)(const spinect_segmentation *segmentation, spinect_provenance *provenance) = spinect_segmentation_provenance;
static spinect_status (*const spinect_segmentation_timings_is)(const spinect_segmentation *segmentation, spinect_timings *timings) = spinect_segmentation_timings;
static spinect_status (*const spinect_segmentation_prepare_queries_is)(spinect_segmentation *segmentation, int32_t label) = spinect_segmentation_prepare_queries;
static spinect_status (*const spinect_segmentation_at_is)(const spinect_segmentation *segmentation, int32_t world, const double point[3], spinect_sample *sample) = spinect_segmentation_at;
static spinect_status (*const spinect_segmentation_distance_is)(const spinect_segmentation *segmentation, int32_t label, int32_t world, const double point[3], spinect_distance *distance) = spinect_segmentation_distance;
static spinect_status (*const spinect_segmentation_clearance_is)(const spinect_segmentation *segmentation, int32_t label, int32_t world, const double from[3], const double to[3], double tool_radius_mm, spinect_clearance *clearance) = spinect_segmentation_clearance;
static spinect_status (*const spinect_segmentation_clearances_is)(const spinect_segmentation *segmentation, int32_t label, int32_t world, const spinect_tool *tools, size_t count, spinect_clearance *clearances) = spinect_segmentation_clearances;
static spinect_status (*const spinect_segmentation_corridor_is)(const spinect_segmentation *segmentation, int32_t label, int32_t world, const spinect_tool *tool, double margin_mm, spinect_corridor *corridor) = spinect_segmentation_corridor;
static spinect_status (*const spinect_segmentation_surface_is)(const spinect_segmentation *segmentation, int32_t label, const spinect_surface_config *config, spinect_surface **surface) = spinect_segmentation_surface;
static spinect_status (*const spinect_surface_data_is)(const spinect_surface *surface, const double **points_xyz, size_t *point_count, const uint32_t **triangles, size_t *triangle_count) = spinect_surface_data;
static spinect_status (*const spinect_surface_write_is)(const spinect_surface *surface, const char *path) = spinect_surface_write;
static void (*const spinect_surface_free_is)(spinect_surface *surface) = spinect_surface_free;

#define PRESENT(function) present += (function) != NULL

int main(void) {
  int present = 0;
  PRESENT(spinect_version_is);
  PRESENT(spinect_abi_version_is);
  PRESENT(spinect_build_info_is);
  PRESENT(spinect_status_name_is);
  PRESENT(spinect_last_error_is);
  PRESENT(spinect_thread_prepare_is);
  PRESENT(spinect_volume_check_is);
  PRESENT(spinect_image_read_is);
  PRESENT(spinect_image_view_is);
  PRESENT(spinect_image_free_is);
  PRESENT(spinect_session_create_is);
  PRESENT(spinect_session_free_is);
  PRESENT(spinect_session_load_weights_is);
  PRESENT(spinect_session_load_weights_from_memory_is);
  PRESENT(spinect_session_model_info_is);
  PRESENT(spinect_session_find_label_is);
  PRESENT(spinect_session_estimate_memory_is);
  PRESENT(spinect_session_prepare_is);
  PRESENT(spinect_cancel_create_is);
  PRESENT(spinect_cancel_set_is);
  PRESENT(spinect_cancel_reset_is);
  PRESENT(spinect_cancel_free_is);
  PRESENT(spinect_session_segment_is);
  PRESENT(spinect_session_segment_into_is);
  PRESENT(spinect_session_segment_again_is);
  PRESENT(spinect_session_progress_is);
  PRESENT(spinect_segmentation_reserve_is);
  PRESENT(spinect_segmentation_from_labels_is);
  PRESENT(spinect_segmentation_read_is);
  PRESENT(spinect_segmentation_write_is);
  PRESENT(spinect_segmentation_free_is);
  PRESENT(spinect_segmentation_geometry_is);
  PRESENT(spinect_segmentation_labels_is);
  PRESENT(spinect_segmentation_copy_confidence_is);
  PRESENT(spinect_segmentation_label_count_is);
  PRESENT(spinect_segmentation_label_is);
  PRESENT(spinect_segmentation_provenance_is);
  PRESENT(spinect_segmentation_timings_is);
  PRESENT(spinect_segmentation_prepare_queries_is);
  PRESENT(spinect_segmentation_at_is);
  PRESENT(spinect_segmentation_distance_is);
  PRESENT(spinect_segmentation_clearance_is);
  PRESENT(spinect_segmentation_surface_is);
  PRESENT(spinect_surface_data_is);
  PRESENT(spinect_surface_write_is);
  PRESENT(spinect_surface_free_is);
  PRESENT(spinect_segmentation_clearances_is);
  PRESENT(spinect_segmentation_corridor_is);
  printf("%d functions\n", present);
  return present == 48 ? 0 : 1;
}
