// Algorithm 1 (method.md 3) by gathering: every voxel of the grid adds up the windows that cover it, in their order, and so
// in the order in which the CPU adds them. Then the winner of each voxel.

#include "rows.cuh"

using namespace spinect;

namespace {

/// Starts `begin` to `end` along an axis: the windows that cover a coordinate.
struct Covering {
    int begin, end;
};

/// The first of `count` ascending starts that is larger than `bound`, or `count`.
SPINECT_BOTH int first_above(const int32_t *starts, int count, int64_t bound) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (starts[middle] > bound) high = middle;
        else low = middle + 1;
    }
    return low;
}

SPINECT_BOTH Covering covering(const int32_t *starts, int count, int size, int coordinate) {
    return {first_above(starts, count, int64_t(coordinate) - size), first_above(starts, count, coordinate)};
}

__global__ void __launch_bounds__(row_threads)
    combine_kernel(const __grid_constant__ spinect_combine_arguments a, const __grid_constant__ Box box) {
    Voxel v = voxel_of(box);
    if (!v.inside) return;
    Covering d = covering(a.starts[0], a.count[0], a.window.d, v.d);
    Covering h = covering(a.starts[1], a.count[1], a.window.h, v.h);
    Covering w = covering(a.starts[2], a.count[2], a.window.w, v.w);
    if (d.begin == d.end || h.begin == h.end || w.begin == w.end) return;
    auto number = [&](int i, int j, int k) { return (int64_t(i) * a.count[1] + j) * a.count[2] + k - a.first_window; };
    // Windows' numbers rise with i, j and k.
    if (number(d.begin, h.begin, w.begin) >= a.windows || number(d.end - 1, h.end - 1, w.end - 1) < 0) return;
    bool earlier = number(d.begin, h.begin, w.begin) < 0;
    int64_t grid = voxels(a.grid), window = voxels(a.window), to = place(a.grid, v.d, v.h, v.w);
    bool any = false;
#pragma unroll 1
    for (int channel = 0; channel < a.classes; ++channel) {
        float sum = earlier ? a.sums[channel * grid + to] : 0;
        for (int i = d.begin; i < d.end; ++i) {
            for (int j = h.begin; j < h.end; ++j) {
#pragma unroll 1
                for (int k = w.begin; k < w.end; ++k) {
                    int64_t index = number(i, j, k);
                    if (index < 0 || index >= a.windows) continue;
                    any = true;
                    int64_t at = place(a.window, v.d - a.starts[0][i], v.h - a.starts[1][j], v.w - a.starts[2][k]);
                    sum += a.probabilities[(index * a.classes + channel) * window + at];
                }
            }
        }
        if (any) a.sums[channel * grid + to] = sum;
    }
}

__global__ void __launch_bounds__(row_threads)
    winners_kernel(const __grid_constant__ spinect_winners_arguments a, const __grid_constant__ Box box) {
    Voxel v = voxel_of(box);
    if (!v.inside) return;
    int64_t grid = voxels(a.grid), at = place(a.grid, v.d, v.h, v.w);
    float best = a.sums[at], total = best;
    int channel = 0;
    for (int other = 1; other < a.classes; ++other) {
        float sum = a.sums[other * grid + at];
        total += sum;
        if (sum > best) {
            best = sum;
            channel = other;
        }
    }
    a.channels[at] = uint8_t(channel);
    a.confidence[at] = best / total;
    if (total != total) *a.invalid = 1; // whoever writes, writes the same
}

} // namespace

int spinect_combine(const spinect_combine_arguments *arguments, spinect_stream stream) {
    const spinect_combine_arguments &a = *arguments;
    bool counts = a.count[0] >= 0 && a.count[1] >= 0 && a.count[2] >= 0 && a.windows >= 0 && a.first_window >= 0;
    if (!counts || !positive(a.grid) || !positive(a.window) || a.classes <= 0) return invalid_value;
    if (a.windows == 0) return 0;
    Box box = box_of({0, 0, 0}, a.grid);
    return launch(combine_kernel, box.blocks(), row_threads, 0, stream, a, box);
}

int spinect_winners(const spinect_winners_arguments *arguments, spinect_stream stream) {
    const spinect_winners_arguments &a = *arguments;
    if (!positive(a.grid) || !is_part(a.grid, a.first, a.last) || a.classes <= 0) return invalid_value;
    Box box = box_of(a.first, a.last);
    return launch(winners_kernel, box.blocks(), row_threads, 0, stream, a, box);
}
