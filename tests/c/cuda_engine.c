/* A CUDA engine without a GPU, for tests of everything around one: it implements src/engine/cuda/table.h on the host.
 * Its network is a threshold: channel 1 where a voxel of the model grid is above 300 HU, whatever the weights.
 *
 * What goes wrong is asked for in the environment variable FAKE_CUDA, a word at each call; what was called stands in
 * `fake_log`. FAKE_VERSION and FAKE_SIZE, when compiling, make a library of another seam. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/engine/cuda/table.h"
#include "spinect.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION SPINECT_CUDA_TABLE_VERSION
#endif
#ifndef FAKE_SIZE
#define FAKE_SIZE sizeof(spinect_cuda_table_data)
#endif

/* What was asked for. Read by the test, by its name. */
struct {
  uint64_t probes, creates, prepares, waits, fills, runs, frees;
  uint64_t device_index, precision, layers, steps;
  uint64_t device_bytes;  /* taken by the last prepare */
  uint64_t windows_together;
  uint64_t input_bytes;   /* of the last fill */
} fake_log;

typedef struct {
  spinect_cuda_model model;
  spinect_cuda_size size;
  uint8_t *input, *channels;
  float *confidence, *whitened;
  int32_t grid[3];
  float threshold;
  spinect_cuda_outcome outcome;
} engine;

static int asked_for(const char *word) {
  const char *value = getenv("FAKE_CUDA");
  return value != NULL && strcmp(value, word) == 0;
}

/* The number behind a word, or `otherwise`. */
static uint64_t number_of(const char *word, uint64_t otherwise) {
  const char *value = getenv("FAKE_CUDA");
  size_t length = strlen(word);
  return value != NULL && strncmp(value, word, length) == 0 ? strtoull(value + length, NULL, 10) : otherwise;
}

static int32_t fail(spinect_cuda_message message, int32_t status, const char *text) {
  snprintf(message.text, message.capacity, "%s", text);
  return status;
}

static int32_t probe(int32_t device, int32_t precision, spinect_cuda_gpu *gpu, spinect_cuda_message message) {
  ++fake_log.probes;
  fake_log.device_index = (uint64_t)device;
  fake_log.precision = (uint64_t)precision;
  if (asked_for("no device")) return fail(message, SPINECT_ERROR_DEVICE_UNAVAILABLE, "this machine has 0 NVIDIA GPUs");
  if (asked_for("no message")) return 12345;
  if (asked_for("endless message")) {
    memset(message.text, 'x', message.capacity);
    return SPINECT_ERROR_DEVICE_UNAVAILABLE;
  }
  gpu->memory = (uint64_t)1 << 30;
  strcpy(gpu->name, "Fake GPU");
  return SPINECT_OK;
}

/* A window takes a byte per number of its feature maps: as many windows together as the limit allows, at least one. */
static uint64_t together(const spinect_cuda_model *model, const spinect_cuda_size *size, uint64_t *per_window) {
  uint64_t count;
  size_t at;
  *per_window = 0;
  for (at = 0; at < model->map_count; ++at) {
    const spinect_cuda_map *map = &model->maps[at];
    *per_window += (uint64_t)map->channels * (uint64_t)map->shape[0] * (uint64_t)map->shape[1] * (uint64_t)map->shape[2];
  }
  count = size->limit / *per_window;
  if (count > size->windows) count = size->windows;
  return count > 0 ? count : 1;
}

static int32_t estimate(const spinect_cuda_model *model, const spinect_cuda_size *size, uint64_t *host, uint64_t *device,
                        spinect_cuda_message message) {
  uint64_t per_window, count = together(model, size, &per_window);
  (void)message;
  if (host) *host = size->input_bytes + size->voxels * 5;
  if (device) *device = size->input_bytes + size->voxels * 9 + size->indices * 8 + size->starts * 4 + count * per_window;
  return SPINECT_OK;
}

static int32_t create(int32_t device, const spinect_cuda_model *model, const spinect_cuda_layer *layers, size_t layer_count,
                      void **made, spinect_cuda_message message) {
  engine *self = calloc(1, sizeof *self);
  spinect_cuda_map *maps = malloc(model->map_count * sizeof *maps);
  size_t at;
  ++fake_log.creates;
  fake_log.device_index = (uint64_t)device;
  fake_log.layers = layer_count;
  fake_log.steps = model->step_count;
  if (self == NULL || maps == NULL) return fail(message, SPINECT_ERROR_OUT_OF_MEMORY, "no memory");
  for (at = 0; at < layer_count; ++at) {
    if (layers[at].weight_count == 0 || !isfinite(layers[at].weight[layers[at].weight_count - 1]) ||
        !isfinite(layers[at].bias[layers[at].bias_count - 1])) {
      return fail(message, SPINECT_ERROR_INVALID_MODEL, "a layer without weights");
    }
  }
  memcpy(maps, model->maps, model->map_count * sizeof *maps);
  self->model = *model;
  self->model.maps = maps;
  *made = self;
  return SPINECT_OK;
}

static void give_back(engine *self) {
  free(self->input);
  free(self->channels);
  free(self->confidence);
  free(self->whitened);
  self->input = self->channels = NULL;
  self->confidence = self->whitened = NULL;
}

static int32_t prepare(void *made, const spinect_cuda_size *size, spinect_cuda_buffers *buffers, spinect_cuda_message message) {
  engine *self = made;
  uint64_t device, per_window;
  ++fake_log.prepares;
  give_back(self);
  estimate(&self->model, size, NULL, &device, message);
  if (device > number_of("memory ", UINT64_MAX)) return fail(message, SPINECT_ERROR_DEVICE_OUT_OF_MEMORY, "the GPU is full");
  self->size = *size;
  self->input = malloc(size->input_bytes);
  self->channels = calloc(size->voxels, 1);
  self->confidence = calloc(size->voxels, sizeof(float));
  self->whitened = calloc(size->voxels, sizeof(float));
  if (!self->input || !self->channels || !self->confidence || !self->whitened) {
    give_back(self);
    return fail(message, SPINECT_ERROR_OUT_OF_MEMORY, "no memory");
  }
  fake_log.device_bytes = device;
  fake_log.windows_together = together(&self->model, size, &per_window);
  buffers->input = self->input;
  buffers->input_bytes = size->input_bytes;
  buffers->channels = self->channels;
  buffers->confidence = self->confidence;
  return SPINECT_OK;
}

static int32_t wait(void *made, spinect_cuda_poll poll, spinect_cuda_message message) {
  (void)made;
  ++fake_log.waits;
  return poll.ask(poll.context, 0.0) ? fail(message, SPINECT_ERROR_CANCELLED, "stopped") : SPINECT_OK;
}

static double voxel(const uint8_t *input, int32_t type, uint64_t place) {
#define READ(number, T)                        \
  if (type == (number)) {                      \
    T value;                                   \
    memcpy(&value, input + place * sizeof(T), sizeof(T)); \
    return (double)value;                      \
  }
  READ(SPINECT_VOXEL_INT8, int8_t)
  READ(SPINECT_VOXEL_UINT8, uint8_t)
  READ(SPINECT_VOXEL_INT16, int16_t)
  READ(SPINECT_VOXEL_UINT16, uint16_t)
  READ(SPINECT_VOXEL_INT32, int32_t)
  READ(SPINECT_VOXEL_FLOAT32, float)
  READ(SPINECT_VOXEL_FLOAT64, double)
#undef READ
  abort();
}

static int32_t fill(void *made, const spinect_cuda_fill *fill, spinect_cuda_message message) {
  engine *self = made;
  int32_t d, h, w;
  ++fake_log.fills;
  fake_log.input_bytes = fill->input_bytes;
  if (asked_for("die in fill")) return fail(message, SPINECT_ERROR_DEVICE_FAILED, "the GPU has fallen off the bus");
  if (fill->input_bytes > self->size.input_bytes) abort();
  if ((uint64_t)fill->grid[0] * (uint64_t)fill->grid[1] * (uint64_t)fill->grid[2] > self->size.voxels) abort();
  memcpy(self->grid, fill->grid, sizeof self->grid);
  self->threshold = (300.0f - fill->mean) / fill->deviation;
  if (fill->first_part) {
    self->outcome.saturated = 0;
    self->outcome.min = INFINITY;
    self->outcome.max = -INFINITY;
  }
  for (d = fill->first[0]; d < fill->last[0]; ++d) {
    for (h = fill->first[1]; h < fill->last[1]; ++h) {
      for (w = fill->first[2]; w < fill->last[2]; ++w) {
        uint64_t place = fill->element[0][d] + fill->element[1][h] + fill->element[2][w];
        double value = voxel(self->input, fill->voxel_type, place) * fill->slope + fill->intercept;
        float hu = (float)(value > fill->clip_low ? (value < fill->clip_high ? value : fill->clip_high) : fill->clip_low);
        self->outcome.saturated += (double)hu >= fill->clip_high;
        if (hu < self->outcome.min) self->outcome.min = hu;
        if (hu > self->outcome.max) self->outcome.max = hu;
        self->whitened[((size_t)d * (size_t)fill->grid[1] + (size_t)h) * (size_t)fill->grid[2] + (size_t)w] =
            (hu - fill->mean) / fill->deviation;
      }
    }
  }
  return SPINECT_OK;
}

static int32_t run(void *made, const spinect_cuda_run *run, spinect_cuda_poll poll, spinect_cuda_outcome *outcome,
                   spinect_cuda_message message) {
  engine *self = made;
  const struct timespec moment = {0, 1000000};
  int32_t d, h, w, steps, step;
  ++fake_log.runs;
  if (asked_for("die in run")) {
    poll.ask(poll.context, 0.5);
    return fail(message, SPINECT_ERROR_DEVICE_FAILED, "an uncorrectable memory error");
  }
  if (asked_for("out of memory in run")) return fail(message, SPINECT_ERROR_DEVICE_FAILED, "out of memory in a launch");
  if (asked_for("not a number")) return fail(message, SPINECT_ERROR_INVALID_MODEL, "the network's output is not a number");
  steps = asked_for("slow") ? 100000 : 4;
  for (step = 0; step < steps; ++step) {
    if (asked_for("slow")) nanosleep(&moment, NULL);
    if (poll.ask(poll.context, (double)(step + 1) / steps)) return fail(message, SPINECT_ERROR_CANCELLED, "stopped");
  }
  for (d = run->first[0]; d < run->last[0]; ++d) {
    for (h = run->first[1]; h < run->last[1]; ++h) {
      for (w = run->first[2]; w < run->last[2]; ++w) {
        size_t at = ((size_t)d * (size_t)self->grid[1] + (size_t)h) * (size_t)self->grid[2] + (size_t)w;
        self->channels[at] = self->whitened[at] > self->threshold;
        self->confidence[at] = self->channels[at] ? 0.75f : 0.5f;
      }
    }
  }
  *outcome = self->outcome;
  return SPINECT_OK;
}

static void end(void *made) {
  engine *self = made;
  ++fake_log.frees;
  give_back(self);
  free((void *)(uintptr_t)self->model.maps);
  free(self);
}

const spinect_cuda_table_data *spinect_cuda_table(void) {
  static const spinect_cuda_table_data table = {
      FAKE_VERSION, (uint32_t)FAKE_SIZE, "9.9.9", probe, estimate, create, prepare, wait, fill, run, end,
  };
  return &table;
}
