// What the engine asks of the kernels: sizes and packing on the host, launches on a stream.
//
// Every function that launches returns a cudaError_t (0: launched) and neither allocates nor waits. Pointers are device
// pointers but where "host" is said. Feature maps are [window][D][H][W][channels], channels last, padded with zeros to a
// multiple of SPINECT_CHANNEL_BLOCK; elements are f16 (SPINECT_F16) or f32 (SPINECT_F32, TF32 off: the reference).
// Sums are f32 in both. No border: beyond a window there is zero. Nothing uses atomics but the integer counts of
// spinect_fill: the same input gives the same bits.

#ifndef SPINECT_CUDA_LAUNCH_H
#define SPINECT_CUDA_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SPINECT_CHANNEL_BLOCK = 16 };
typedef enum { SPINECT_F32 = 0, SPINECT_F16 = 1 } spinect_precision;
typedef struct { int32_t d, h, w; } spinect_extent;
typedef struct CUstream_st *spinect_stream;

// A volume's voxels to the whitened model grid: orientation, nearest neighbor, rescale, clip, whiten (method.md 1).
typedef struct {
    int32_t voxel_type;             // the numbers of spinect_voxel_type in spinect.h
    const void *voxels;             // the volume's bytes as they lie in memory
    const uint64_t *element[3];     // for D, H, W and each grid index: its share of the element's place in `voxels`
    spinect_extent grid;            // voxels of the model grid
    spinect_extent first, last;     // the part to fill: first <= index < last
    double slope, intercept, clip_low, clip_high;
    float mean, deviation;
    float *whitened;                // [D][H][W]
    uint64_t *saturated;            // one count: voxels at or above clip_high; set to 0 before
    uint32_t *range;                // two: smallest and largest clipped HU as order-preserving bits; set to ~0, 0 before
} spinect_fill_arguments;
int spinect_fill(const spinect_fill_arguments *, spinect_stream);
float spinect_fill_range_value(uint32_t bits); // host: an entry of `range` in Hounsfield units

// First layer: 3x3x3 convolution of one channel, bias, ReLU, read straight from the grid at each window's start.
size_t spinect_stem_bytes(spinect_precision, int32_t outputs);
void spinect_stem_pack(spinect_precision, int32_t outputs, const float *weight /* host [out][27] */, void *packed /* host */);
typedef struct {
    spinect_precision precision;
    const float *whitened;
    spinect_extent grid;
    float outside;                  // beyond the grid, but within a window
    const int32_t *starts;          // [windows][3], D, H, W
    int32_t windows;
    spinect_extent window;
    int32_t outputs;
    const void *packed;
    const float *bias;              // [outputs padded]
    void *output;
} spinect_stem_arguments;
int spinect_stem(const spinect_stem_arguments *, spinect_stream);

// 3x3x3 convolution of one or two sources (first source's channels first), bias, ReLU, and 2x2x2 maxima if `pooled`.
size_t spinect_convolution_bytes(spinect_precision, int32_t first, int32_t second, int32_t outputs);
void spinect_convolution_pack(spinect_precision, int32_t first, int32_t second, int32_t outputs,
                              const float *weight /* host [out][first + second][27] */, void *packed /* host */);
typedef struct {
    spinect_precision precision;
    int32_t windows;
    spinect_extent shape;           // of each window at this level
    int32_t first_channels, second_channels, outputs; // unpadded; second 0: one source
    const void *first, *second;
    const void *packed;
    const float *bias;              // [outputs padded]
    void *output;
    void *pooled;                   // or null
} spinect_convolution_arguments;
int spinect_convolution(const spinect_convolution_arguments *, spinect_stream);

// 2x2x2 maxima on their own: after a stem that is a whole level.
typedef struct {
    spinect_precision precision;
    int32_t windows;
    spinect_extent shape;           // of the input, even; the output has half of each
    int32_t channels;
    const void *input;
    void *output;
} spinect_pool_arguments;
int spinect_pool(const spinect_pool_arguments *, spinect_stream);

// 2x2x2 transposed convolution of stride 2, bias.
size_t spinect_upsample_bytes(spinect_precision, int32_t inputs, int32_t outputs);
void spinect_upsample_pack(spinect_precision, int32_t inputs, int32_t outputs,
                           const float *weight /* host [in][out][8] */, void *packed /* host */);
typedef struct {
    spinect_precision precision;
    int32_t windows;
    spinect_extent shape;           // of the input; the output has twice of each
    int32_t inputs, outputs;
    const void *input;
    const void *packed;
    const float *bias;
    void *output;
} spinect_upsample_arguments;
int spinect_upsample(const spinect_upsample_arguments *, spinect_stream);

// 1x1x1 convolution to the classes and softmax, f32 throughout but for the input.
typedef struct {
    spinect_precision precision;
    int32_t windows;
    spinect_extent shape;
    int32_t inputs, classes;
    const void *input;
    const float *weight;            // [classes][inputs padded]
    const float *bias;              // [classes]
    float *probabilities;           // [window][class][D][H][W]
} spinect_head_arguments;
int spinect_head(const spinect_head_arguments *, spinect_stream);

// Algorithm 1: each voxel of the covered part gathers from the windows of this chunk, in their order, onto `sums`.
typedef struct {
    const float *probabilities;     // of windows first_window .. first_window + windows
    int32_t first_window, windows;
    int32_t classes;
    spinect_extent window, grid;
    const int32_t *starts[3];       // starts along D, H, W, ascending; windows are ordered D, H, W
    int32_t count[3];
    float *sums;                    // [class][D][H][W]; read only where an earlier chunk's window lies
} spinect_combine_arguments;
int spinect_combine(const spinect_combine_arguments *, spinect_stream);

// The largest sum, the lowest channel of equals, and its share of all; `invalid` is set to 1 where a sum is no number.
typedef struct {
    const float *sums;
    int32_t classes;
    spinect_extent grid, first, last; // the part that windows cover; elsewhere the outputs keep what they hold
    uint8_t *channels;              // [D][H][W]
    float *confidence;
    uint32_t *invalid;              // set to 0 before
} spinect_winners_arguments;
int spinect_winners(const spinect_winners_arguments *, spinect_stream);

#ifdef __cplusplus
}
#endif
#endif
