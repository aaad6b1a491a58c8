// A volume's voxels to the whitened model grid (method.md 1): the same bits as the CPU's. So no multiplication and addition
// is contracted to one.

#include "rows.cuh"

#include <string.h>

using namespace spinect;

namespace {

/// A float's bits, so changed that they order as the floats do.
SPINECT_BOTH uint32_t ordered(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

/// A voxel at an address that need not be aligned.
template <class T>
__device__ T read(const char *at) {
    char bytes[sizeof(T)];
#pragma unroll
    for (unsigned i = 0; i < sizeof(T); ++i) bytes[i] = at[i];
    T value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

template <class T>
__global__ void __launch_bounds__(row_threads)
    fill_kernel(const __grid_constant__ spinect_fill_arguments a, const __grid_constant__ Box box) {
    Voxel v = voxel_of(box);
    uint32_t saturated = 0, low = ~0u, high = 0;
    if (v.inside) {
        uint64_t from = (a.element[0][v.d] + a.element[1][v.h] + a.element[2][v.w]) * sizeof(T);
        double raw = double(read<T>(static_cast<const char *>(a.voxels) + from));
        double hounsfield = __dadd_rn(__dmul_rn(raw, a.slope), a.intercept);
        // What is no number takes the lower clip.
        float clipped = float(hounsfield > a.clip_low ? (hounsfield < a.clip_high ? hounsfield : a.clip_high) : a.clip_low);
        saturated = double(clipped) >= a.clip_high;
        low = high = ordered(clipped);
        a.whitened[place(a.grid, v.d, v.h, v.w)] = (clipped - a.mean) / a.deviation;
    }
    saturated = __reduce_add_sync(~0u, saturated);
    low = __reduce_min_sync(~0u, low);
    high = __reduce_max_sync(~0u, high);
    // Integers: whichever comes first, the result is the same.
    if (threadIdx.x % 32 == 0) {
        if (saturated) atomicAdd(reinterpret_cast<unsigned long long *>(a.saturated), static_cast<unsigned long long>(saturated));
        if (low < a.range[0]) atomicMin(&a.range[0], low);
        if (high > a.range[1]) atomicMax(&a.range[1], high);
    }
}

template <class T>
int fill(const spinect_fill_arguments &a, spinect_stream stream) {
    Box box = box_of(a.first, a.last);
    return launch(fill_kernel<T>, box.blocks(), row_threads, 0, stream, a, box);
}

} // namespace

int spinect_fill(const spinect_fill_arguments *arguments, spinect_stream stream) {
    const spinect_fill_arguments &a = *arguments;
    if (!positive(a.grid) || !is_part(a.grid, a.first, a.last)) return invalid_value;
    switch (a.voxel_type) {
    case 1: return fill<int8_t>(a, stream);
    case 2: return fill<uint8_t>(a, stream);
    case 3: return fill<int16_t>(a, stream);
    case 4: return fill<uint16_t>(a, stream);
    case 5: return fill<int32_t>(a, stream);
    case 6: return fill<float>(a, stream);
    case 7: return fill<double>(a, stream);
    default: return invalid_value;
    }
}

float spinect_fill_range_value(uint32_t bits) {
    bits = bits & 0x80000000 ? bits & 0x7fffffff : ~bits;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
