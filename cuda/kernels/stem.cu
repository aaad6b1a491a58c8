// The network's first layer: 3×3×3 convolution of the window itself, which has one channel, read straight from the grid.
//
// With a reduction of 27 there is nothing for tensor cores to gain; sums are f32 FMA in either precision. A block computes
// 4×4×32 voxels × 32 outputs, a thread four voxels of a row × 8 outputs at a time.

#include "extent.cuh"
#include "half.cuh"

using namespace spinect;

namespace {

constexpr int stem_threads = 128;
constexpr int depth = 4, height = 4, width = 32;
constexpr int row_pitch = width + 2, layer_pitch = (height + 2) * row_pitch, positions = (depth + 2) * layer_pitch;
constexpr int columns = 32, quads = depth * height * width / 4;

/// Floats in shared memory: the weights [tap][output], then the brick and its halo.
constexpr int weights_of_block = 27 * columns;
constexpr int stem_bytes = (weights_of_block + positions) * 4;

struct StemBricks {
    int d, h, w, columns;
};

SPINECT_BOTH constexpr StemBricks stem_bricks(spinect_extent window, int outputs) {
    return {ceil_div(window.d, depth), ceil_div(window.h, height), ceil_div(window.w, width), ceil_div(padded(outputs), columns)};
}

struct alignas(16) Float4 {
    float values[4];
};

/// Eight neighboring outputs of a voxel.
__device__ void write(float *output, const float (&values)[8]) {
    for (int half = 0; half < 2; ++half) {
        reinterpret_cast<Float4 *>(output)[half] = {
            {values[half * 4], values[half * 4 + 1], values[half * 4 + 2], values[half * 4 + 3]}};
    }
}
struct alignas(16) Half8 {
    uint32_t pairs[4];
};
__device__ void write(uint16_t *output, const float (&values)[8]) {
    *reinterpret_cast<Half8 *>(output) = {{halves_of(values[0], values[1]), halves_of(values[2], values[3]),
                                           halves_of(values[4], values[5]), halves_of(values[6], values[7])}};
}

template <class Element>
__global__ void __launch_bounds__(stem_threads)
    stem_kernel(const __grid_constant__ spinect_stem_arguments a, const __grid_constant__ StemBricks bricks) {
    float *weights = reinterpret_cast<float *>(shared_memory()), *halo = weights + weights_of_block;
    int block = int(blockIdx.x);
    int first_column = block % bricks.columns * columns;
    block /= bricks.columns;
    int first_w = block % bricks.w * width;
    block /= bricks.w;
    int first_h = block % bricks.h * height;
    block /= bricks.h;
    int first_d = block % bricks.d * depth, window = block / bricks.d;
    const int32_t *start = a.starts + int64_t(window) * 3;
    int channels = padded(a.outputs);

    const float *packed = static_cast<const float *>(a.packed);
    for (int i = int(threadIdx.x); i < weights_of_block; i += stem_threads) {
        int column = first_column + i % columns;
        weights[i] = column < channels ? packed[i / columns * channels + column] : 0;
    }
    for (int i = int(threadIdx.x); i < positions; i += stem_threads) {
        int d = first_d + i / layer_pitch - 1, h = first_h + i % layer_pitch / row_pitch - 1, w = first_w + i % row_pitch - 1;
        float value = 0;
        if (within(a.window, d, h, w)) {
            int grid_d = start[0] + d, grid_h = start[1] + h, grid_w = start[2] + w;
            value = within(a.grid, grid_d, grid_h, grid_w) ? a.whitened[place(a.grid, grid_d, grid_h, grid_w)] : a.outside;
        }
        halo[i] = value;
    }
    __syncthreads();

    constexpr int groups = columns / 8;
    for (int item = int(threadIdx.x); item < quads * groups; item += stem_threads) {
        int group = item % groups, quad = item / groups;
        int w = quad % (width / 4) * 4, h = quad / (width / 4) % height, d = quad / (width / 4) / height;
        float sums[4][8] = {};
        // Unrolled, all weights would be kept from one item to the next, which no number of registers can do.
#pragma unroll 1
        for (int kd = 0; kd < 3; ++kd) {
#pragma unroll
            for (int kh = 0; kh < 3; ++kh) {
                const float *row = halo + (d + kd) * layer_pitch + (h + kh) * row_pitch + w;
                float inputs[6];
#pragma unroll
                for (int i = 0; i < 6; ++i) inputs[i] = row[i];
#pragma unroll
                for (int kw = 0; kw < 3; ++kw) {
                    const Float4 *factors =
                        reinterpret_cast<const Float4 *>(weights + ((kd * 3 + kh) * 3 + kw) * columns + group * 8);
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        Float4 four = factors[half];
#pragma unroll
                        for (int voxel = 0; voxel < 4; ++voxel) {
#pragma unroll
                            for (int i = 0; i < 4; ++i) sums[voxel][half * 4 + i] += inputs[voxel + kw] * four.values[i];
                        }
                    }
                }
            }
        }
        int column = first_column + group * 8;
        if (column >= channels) continue;
        float bias[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) bias[i] = a.bias[column + i];
#pragma unroll
        for (int voxel = 0; voxel < 4; ++voxel) {
            if (!within(a.window, first_d + d, first_h + h, first_w + w + voxel)) continue;
            int64_t to = window * voxels(a.window) + place(a.window, first_d + d, first_h + h, first_w + w + voxel);
            float values[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) values[i] = rectified(sums[voxel][i] + bias[i]);
            write(static_cast<Element *>(a.output) + to * channels + column, values);
        }
    }
}

} // namespace

size_t spinect_stem_bytes(spinect_precision, int32_t outputs) {
    return size_t(padded(outputs)) * 27 * sizeof(float);
}

/// Packed: [tap][output], f32 in either precision.
void spinect_stem_pack(spinect_precision, int32_t outputs, const float *weight, void *packed) {
    float *to = static_cast<float *>(packed);
    for (int tap = 0; tap < 27; ++tap) {
        for (int output = 0; output < padded(outputs); ++output) *to++ = output < outputs ? weight[output * 27 + tap] : 0;
    }
}

int spinect_stem(const spinect_stem_arguments *arguments, spinect_stream stream) {
    const spinect_stem_arguments &a = *arguments;
    if (a.windows < 0 || a.outputs <= 0 || !positive(a.window) || !positive(a.grid)) return invalid_value;
    StemBricks bricks = stem_bricks(a.window, a.outputs);
    int64_t blocks = int64_t(a.windows) * bricks.d * bricks.h * bricks.w * bricks.columns;
    auto kernel = a.precision == SPINECT_F16 ? stem_kernel<uint16_t> : stem_kernel<float>;
    return launch(kernel, blocks, stem_threads, stem_bytes, stream, a, bricks);
}
