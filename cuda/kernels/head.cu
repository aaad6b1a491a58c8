// The network's last step: 1×1×1 convolution to the classes and softmax, p[k] = exp(z[k] − max z) / Σ exp(z − max z).
//
// A thread per voxel; memory is what it waits for. Up to four classes stay in registers; more stand in `probabilities` as
// scores until all are known. Threads touch no voxel but their own.

#include "extent.cuh"
#include "half.cuh"

#include <math.h>

using namespace spinect;

namespace {

constexpr int head_threads = 128, at_once = 4;

struct alignas(16) Words {
    uint32_t words[4];
};
struct alignas(16) Floats4 {
    float values[4];
};

/// 16 bytes of input as floats.
struct F16 {
    static constexpr int channels = 8;
    __device__ static void unpack(const Words &words, float (&values)[channels]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            Pair pair = floats_of(words.words[i]);
            values[i * 2] = pair.low;
            values[i * 2 + 1] = pair.high;
        }
    }
};
struct F32 {
    static constexpr int channels = 4;
    __device__ static void unpack(const Words &words, float (&values)[channels]) { memcpy(values, &words, 16); }
};

/// Scores of up to four classes from `first` on.
template <class Element>
__device__ void score(const spinect_head_arguments &a, int64_t voxel, int first, float (&scores)[at_once]) {
    int channels = padded(a.inputs), parts = channels / Element::channels;
    const Words *input = static_cast<const Words *>(a.input) + voxel * parts;
#pragma unroll
    for (int i = 0; i < at_once; ++i) scores[i] = first + i < a.classes ? a.bias[first + i] : 0;
    for (int part = 0; part < parts; ++part) {
        float values[Element::channels];
        Element::unpack(input[part], values);
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (first + i >= a.classes) continue;
            const Floats4 *weight =
                reinterpret_cast<const Floats4 *>(a.weight + int64_t(first + i) * channels + part * Element::channels);
#pragma unroll
            for (int quad = 0; quad < Element::channels / 4; ++quad) {
                Floats4 four = weight[quad];
#pragma unroll
                for (int k = 0; k < 4; ++k) scores[i] += values[quad * 4 + k] * four.values[k];
            }
        }
    }
}

template <class Element>
__global__ void __launch_bounds__(head_threads, 8) head_kernel(const __grid_constant__ spinect_head_arguments a) {
    int64_t per_window = voxels(a.shape), voxel = int64_t(blockIdx.x) * head_threads + threadIdx.x;
    if (voxel >= a.windows * per_window) return;
    int64_t window = voxel / per_window;
    float *to = a.probabilities + window * a.classes * per_window + (voxel - window * per_window);

    float scores[at_once], largest = 0;
    for (int first = 0; first < a.classes; first += at_once) {
        score<Element>(a, voxel, first, scores);
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (first + i >= a.classes) continue;
            if (first + i == 0 || scores[i] > largest) largest = scores[i];
            if (a.classes > at_once) to[(first + i) * per_window] = scores[i];
        }
    }
    float sum = 0;
    if (a.classes <= at_once) {
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (i >= a.classes) continue;
            scores[i] = expf(scores[i] - largest);
            sum += scores[i];
        }
#pragma unroll
        for (int i = 0; i < at_once; ++i) {
            if (i < a.classes) to[i * per_window] = scores[i] / sum;
        }
        return;
    }
    for (int i = 0; i < a.classes; ++i) {
        float power = expf(to[i * per_window] - largest);
        to[i * per_window] = power;
        sum += power;
    }
    for (int i = 0; i < a.classes; ++i) to[i * per_window] = to[i * per_window] / sum;
}

} // namespace

int spinect_head(const spinect_head_arguments *arguments, spinect_stream stream) {
    const spinect_head_arguments &a = *arguments;
    if (a.windows < 0 || !positive(a.shape) || a.inputs <= 0 || a.classes <= 0) return invalid_value;
    int64_t blocks = ceil_div<int64_t>(a.windows * voxels(a.shape), head_threads);
    return launch(a.precision == SPINECT_F16 ? head_kernel<F16> : head_kernel<F32>, blocks, head_threads, 0, stream, a);
}
