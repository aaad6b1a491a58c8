// 2×2×2 maxima where no epilogue has them at hand: in f32, and after a stem that is a whole level.

#include "extent.cuh"
#include "half.cuh"

using namespace spinect;

namespace {

constexpr int pool_threads = 128;

/// 16 bytes of channels: eight halves or four floats.
struct alignas(16) Sixteen {
    uint32_t words[4];
};

struct Halves {
    static constexpr int channels = 8;
    __device__ static uint32_t larger(uint32_t a, uint32_t b) { return larger_halves(a, b); }
};

/// Numbers that are none stay none, as in halves.
struct Floats {
    static constexpr int channels = 4;
    __device__ static uint32_t larger(uint32_t a, uint32_t b) {
        float x, y;
        memcpy(&x, &a, 4);
        memcpy(&y, &b, 4);
        return x != x || x > y ? a : b;
    }
};

template <class Element>
__global__ void __launch_bounds__(pool_threads)
    pool_kernel(int64_t pieces, spinect_extent half, int channels, const Sixteen *input, Sixteen *output) {
    int64_t piece = int64_t(blockIdx.x) * pool_threads + threadIdx.x;
    if (piece >= pieces) return;
    int parts = channels / Element::channels;
    int64_t voxel = piece / parts, row = voxel / half.w;
    int part = int(piece % parts), w = int(voxel % half.w), h = int(row % half.h);
    // Windows lie one after the other along D: so a window's number need not be told from D.
    int64_t plane = row / half.h;
    spinect_extent full = {0, half.h * 2, half.w * 2};
    Sixteen largest;
    for (int corner = 0; corner < 8; ++corner) {
        int64_t from = ((plane * 2 + corner / 4) * full.h + h * 2 + corner / 2 % 2) * full.w + w * 2 + corner % 2;
        Sixteen sixteen = input[from * parts + part];
        for (int i = 0; i < 4; ++i)
            largest.words[i] = corner == 0 ? sixteen.words[i] : Element::larger(largest.words[i], sixteen.words[i]);
    }
    output[piece] = largest;
}

} // namespace

int spinect_pool(const spinect_pool_arguments *arguments, spinect_stream stream) {
    const spinect_pool_arguments &a = *arguments;
    bool even = a.shape.d % 2 == 0 && a.shape.h % 2 == 0 && a.shape.w % 2 == 0;
    if (a.windows < 0 || a.channels <= 0 || !positive(a.shape) || !even) return invalid_value;
    spinect_extent half = {a.shape.d / 2, a.shape.h / 2, a.shape.w / 2};
    auto go = [&](auto kernel, int per_piece) {
        int64_t pieces = a.windows * voxels(half) * (padded(a.channels) / per_piece);
        return launch(kernel, ceil_div<int64_t>(pieces, pool_threads), pool_threads, 0, stream, pieces, half, padded(a.channels),
                      static_cast<const Sixteen *>(a.input), static_cast<Sixteen *>(a.output));
    };
    return a.precision == SPINECT_F16 ? go(pool_kernel<Halves>, Halves::channels) : go(pool_kernel<Floats>, Floats::channels);
}
