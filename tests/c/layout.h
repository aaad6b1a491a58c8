/* The sizes and offsets of ABI 1, as numbers: they hold in C, in C++ and for ever. Included by layout.c and layout.cpp. */
#include <stddef.h>

#include "spinect.h"

#ifdef __cplusplus
#define HOLDS(condition) static_assert(condition, #condition)
#else
/* C99 has no static assertion: an array of a negative size is an error. */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define HOLDS(condition) typedef char JOIN(holds_in_line_, __LINE__)[(condition) ? 1 : -1]
#endif

#define SIZE(type, bytes) HOLDS(sizeof(type) == (bytes))
#define FIELD(type, field, offset) HOLDS(offsetof(type, field) == (offset))

SIZE(spinect_status, 4);
HOLDS((spinect_status)-1 < 0);
SIZE(spinect_progress_fn, sizeof(void *));

SIZE(spinect_volume, 216);
FIELD(spinect_volume, struct_size, 0);
FIELD(spinect_volume, voxel_type, 4);
FIELD(spinect_volume, voxels, 8);
FIELD(spinect_volume, dims, 16);
FIELD(spinect_volume, strides, 40);
FIELD(spinect_volume, ijk_to_world, 64);
FIELD(spinect_volume, world, 192);
FIELD(spinect_volume, memory, 196);
FIELD(spinect_volume, rescale_slope, 200);
FIELD(spinect_volume, rescale_intercept, 208);

SIZE(spinect_volume_info, 40);
FIELD(spinect_volume_info, struct_size, 0);
FIELD(spinect_volume_info, orientation, 4);
FIELD(spinect_volume_info, spacing_mm, 8);
FIELD(spinect_volume_info, warnings, 32);

SIZE(spinect_image_config, 16);
FIELD(spinect_image_config, struct_size, 0);
FIELD(spinect_image_config, geometry, 4);
FIELD(spinect_image_config, memory_limit, 8);

SIZE(spinect_session_config, 48);
FIELD(spinect_session_config, struct_size, 0);
FIELD(spinect_session_config, device, 4);
FIELD(spinect_session_config, device_index, 8);
FIELD(spinect_session_config, precision, 12);
FIELD(spinect_session_config, threads, 16);
FIELD(spinect_session_config, reserved, 20);
FIELD(spinect_session_config, memory_limit, 24);
FIELD(spinect_session_config, cpus, 32);
FIELD(spinect_session_config, cpu_count, 40);

SIZE(spinect_model_info, 240);
FIELD(spinect_model_info, struct_size, 0);
FIELD(spinect_model_info, classes, 4);
FIELD(spinect_model_info, parameters, 8);
FIELD(spinect_model_info, window_dhw, 16);
FIELD(spinect_model_info, stride_dhw, 28);
FIELD(spinect_model_info, spacing_dhw_mm, 40);
FIELD(spinect_model_info, device, 64);
FIELD(spinect_model_info, precision, 68);
FIELD(spinect_model_info, name, 72);
FIELD(spinect_model_info, version, 136);
FIELD(spinect_model_info, sha256, 168);

SIZE(spinect_run, 96);
FIELD(spinect_run, struct_size, 0);
FIELD(spinect_run, flags, 4);
FIELD(spinect_run, cancel, 8);
FIELD(spinect_run, progress, 16);
FIELD(spinect_run, user_data, 24);
FIELD(spinect_run, roi_min, 32);
FIELD(spinect_run, roi_max, 56);
FIELD(spinect_run, deadline_seconds, 80);
FIELD(spinect_run, warnings, 88);

SIZE(spinect_label, 400);
FIELD(spinect_label, struct_size, 0);
FIELD(spinect_label, value, 4);
FIELD(spinect_label, rgb, 8);
FIELD(spinect_label, reserved, 11);
FIELD(spinect_label, name, 16);
FIELD(spinect_label, scheme, 80);
FIELD(spinect_label, code, 96);
FIELD(spinect_label, meaning, 128);
FIELD(spinect_label, category_scheme, 192);
FIELD(spinect_label, category_code, 208);
FIELD(spinect_label, category_meaning, 240);
FIELD(spinect_label, voxels, 304);
FIELD(spinect_label, volume_mm3, 312);
FIELD(spinect_label, box_min, 320);
FIELD(spinect_label, box_max, 344);
FIELD(spinect_label, centroid, 368);
FIELD(spinect_label, mean_confidence, 392);

SIZE(spinect_provenance, 312);
FIELD(spinect_provenance, struct_size, 0);
FIELD(spinect_provenance, device, 4);
FIELD(spinect_provenance, precision, 8);
FIELD(spinect_provenance, reserved, 12);
FIELD(spinect_provenance, warnings, 16);
FIELD(spinect_provenance, model_name, 24);
FIELD(spinect_provenance, model_sha256, 88);
FIELD(spinect_provenance, input_sha256, 160);
FIELD(spinect_provenance, library_version, 232);
FIELD(spinect_provenance, library_commit, 264);

SIZE(spinect_timings, 64);
FIELD(spinect_timings, struct_size, 0);
FIELD(spinect_timings, reserved, 4);
FIELD(spinect_timings, prepare, 8);
FIELD(spinect_timings, network, 16);
FIELD(spinect_timings, combine, 24);
FIELD(spinect_timings, restore, 32);
FIELD(spinect_timings, total, 40);
FIELD(spinect_timings, windows, 48);
FIELD(spinect_timings, windows_computed, 56);

SIZE(spinect_sample, 16);
FIELD(spinect_sample, struct_size, 0);
FIELD(spinect_sample, label, 4);
FIELD(spinect_sample, confidence, 8);

SIZE(spinect_distance, 48);
FIELD(spinect_distance, struct_size, 0);
FIELD(spinect_distance, reserved, 4);
FIELD(spinect_distance, distance_mm, 8);
FIELD(spinect_distance, nearest, 16);
FIELD(spinect_distance, unexamined_mm, 40);

SIZE(spinect_clearance, 80);
FIELD(spinect_clearance, struct_size, 0);
FIELD(spinect_clearance, crosses, 4);
FIELD(spinect_clearance, distance_mm, 8);
FIELD(spinect_clearance, at, 16);
FIELD(spinect_clearance, nearest, 40);
FIELD(spinect_clearance, length_inside_mm, 64);
FIELD(spinect_clearance, unexamined_mm, 72);

SIZE(spinect_tool, 64);
FIELD(spinect_tool, struct_size, 0);
FIELD(spinect_tool, reserved, 4);
FIELD(spinect_tool, from, 8);
FIELD(spinect_tool, to, 32);
FIELD(spinect_tool, radius_mm, 56);

SIZE(spinect_corridor, 72);
FIELD(spinect_corridor, struct_size, 0);
FIELD(spinect_corridor, violated, 4);
FIELD(spinect_corridor, along_mm, 8);
FIELD(spinect_corridor, at, 16);
FIELD(spinect_corridor, nearest, 40);
FIELD(spinect_corridor, unexamined_mm, 64);

SIZE(spinect_surface_config, 24);
FIELD(spinect_surface_config, struct_size, 0);
FIELD(spinect_surface_config, world, 4);
FIELD(spinect_surface_config, smoothing_mm, 8);
FIELD(spinect_surface_config, reduction, 16);
