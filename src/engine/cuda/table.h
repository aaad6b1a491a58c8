/* The seam to the library of the CUDA engine, in C: table.rs says the same, with more words. A test compares every size
 * and offset. Statuses are those of spinect.h. */
#ifndef SPINECT_CUDA_TABLE_H
#define SPINECT_CUDA_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define SPINECT_CUDA_TABLE_VERSION 1

enum { SPINECT_CUDA_STEM = 0, SPINECT_CUDA_CONVOLUTION = 1, SPINECT_CUDA_UPSAMPLE = 2, SPINECT_CUDA_HEAD = 3, SPINECT_CUDA_NONE = -1 };

typedef struct {
  char *text;
  size_t capacity;
} spinect_cuda_message;

typedef struct {
  int32_t (*ask)(void *context, double share); /* other than 0: stop, and return SPINECT_ERROR_CANCELLED */
  void *context;
} spinect_cuda_poll;

typedef struct {
  uint64_t memory;
  char name[128];
} spinect_cuda_gpu;

typedef struct {
  int32_t channels;
  int32_t shape[3];
} spinect_cuda_map;

typedef struct {
  int32_t kind, input, second, output, pooled, layer;
} spinect_cuda_step;

typedef struct {
  int32_t precision;
  int32_t classes;
  int32_t window[3];
  const spinect_cuda_map *maps;
  size_t map_count;
  const spinect_cuda_step *steps;
  size_t step_count;
} spinect_cuda_model;

typedef struct {
  const float *weight;
  size_t weight_count;
  const float *bias;
  size_t bias_count;
} spinect_cuda_layer;

typedef struct {
  uint64_t input_bytes, voxels, indices, starts, windows, limit;
} spinect_cuda_size;

typedef struct {
  uint8_t *input;
  uint64_t input_bytes;
  const uint8_t *channels;
  const float *confidence;
} spinect_cuda_buffers;

typedef struct {
  int32_t voxel_type;
  int32_t first_part;
  uint64_t input_bytes;
  const uint64_t *element[3];
  int32_t grid[3], first[3], last[3];
  double slope, intercept, clip_low, clip_high;
  float mean, deviation, outside;
} spinect_cuda_fill;

typedef struct {
  const int32_t *starts[3];
  int32_t count[3], first[3], last[3];
} spinect_cuda_run;

typedef struct {
  uint64_t saturated;
  float min, max;
} spinect_cuda_outcome;

typedef struct {
  uint32_t version, size;
  const char *release;
  int32_t (*probe)(int32_t device, int32_t precision, spinect_cuda_gpu *gpu, spinect_cuda_message message);
  int32_t (*estimate)(const spinect_cuda_model *model, const spinect_cuda_size *size, uint64_t *host, uint64_t *device,
                      spinect_cuda_message message);
  int32_t (*create)(int32_t device, const spinect_cuda_model *model, const spinect_cuda_layer *layers, size_t layer_count,
                    void **engine, spinect_cuda_message message);
  int32_t (*prepare)(void *engine, const spinect_cuda_size *size, spinect_cuda_buffers *buffers, spinect_cuda_message message);
  int32_t (*wait)(void *engine, spinect_cuda_poll poll, spinect_cuda_message message);
  int32_t (*fill)(void *engine, const spinect_cuda_fill *fill, spinect_cuda_message message);
  int32_t (*run)(void *engine, const spinect_cuda_run *run, spinect_cuda_poll poll, spinect_cuda_outcome *outcome,
                 spinect_cuda_message message);
  void (*free)(void *engine);
} spinect_cuda_table_data;

const spinect_cuda_table_data *spinect_cuda_table(void);

#endif
