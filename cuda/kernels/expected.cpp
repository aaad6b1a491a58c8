// What the paper's network should take on an H100, by a simple model: not measured. From the same tiling as the kernels.
//   c++ -std=c++17 -Wno-unknown-pragmas expected.cpp tests/emulation.cpp -o expected && ./expected [windows]

#include <algorithm>
#include <stdio.h>
#include <stdlib.h>

#include "convolution_f16.cuh"
#include "upsample_f16.cuh"

using namespace spinect;

namespace {

// H100 SXM: dense f16, memory, second-level cache (bytes per second, sustained), multiprocessors, clock.
constexpr double peak = 989e12, memory = 3.0e12, cache = 5.5e12, multiprocessors_of_h100 = 132, clock = 1.755e9;
// mma.sync reaches about this share of the peak on Hopper; the rest is wgmma's.
constexpr double share = 0.62;

double total = 0, total_flop = 0;

struct Work {
    double flop, memory_bytes, cache_bytes, shared_cycles;
    int64_t blocks;
    int blocks_per_multiprocessor;
};

void say(const char *name, spinect_extent shape, int inputs, int outputs, Work work) {
    // The last round of blocks is not full; of less than one round, some multiprocessors have one block more than others.
    int64_t slots = int64_t(multiprocessors_of_h100) * work.blocks_per_multiprocessor;
    double full = double(work.blocks) / double(slots);
    double idle =
        full > 1 ? double(ceil_div(work.blocks, slots)) / full : std::max(1.0, multiprocessors_of_h100 / double(work.blocks));
    double tensor = work.flop / (peak * share) * idle, shared = work.shared_cycles / clock / multiprocessors_of_h100 * idle;
    double seconds = std::max({tensor, shared, work.memory_bytes / memory, work.cache_bytes / cache});
    const char *bound = seconds == tensor                       ? "tensor"
                        : seconds == shared                     ? "shared"
                        : seconds == work.memory_bytes / memory ? "memory"
                                                                : "cache";
    printf("| %-11s | %2dx%2dx%2d | %3d -> %3d | %7.1f | %8lld | %6.1f | %6.2f | %6.2f | %6.2f | %6.2f | %-6s |\n", name, shape.d,
           shape.h, shape.w, inputs, outputs, work.flop * 1e-9, static_cast<long long>(work.blocks), full, tensor * 1e3,
           shared * 1e3, work.memory_bytes / memory * 1e3, seconds * 1e3, bound);
    total += seconds;
    total_flop += work.flop;
}

template <class Brick, int Columns>
Work convolution(int windows, spinect_extent shape, int inputs, int outputs, bool pooled) {
    int64_t bricks = count(bricks_of<Brick>(windows, shape)), blocks = bricks * (outputs / Columns);
    double voxels_of_all = double(windows) * double(voxels(shape)), steps = double(inputs / 16 * taps_across);
    // Per step and warp: loads of weights and rows, 512 bytes each at 128 per cycle; what is copied in passes once more.
    double loads = steps * warps * 4 * (taps_along * Columns / 16 + stacked + taps_along - 1);
    double copied = inputs / 16 * (Brick::positions * 32.0 + 27.0 * Columns * 32);
    Work work;
    work.flop = 2.0 * 27 * inputs * outputs * double(bricks) * Brick::rows;
    work.memory_bytes = voxels_of_all * 2 * (inputs + outputs * (pooled ? 1.125 : 1));
    work.cache_bytes = double(blocks) * copied;
    work.shared_cycles = double(blocks) * (loads + copied / 128);
    work.blocks = blocks;
    work.blocks_per_multiprocessor = Columns == 32 && Brick::windows == 1 ? 3 : 2;
    return work;
}

void convolution(const char *name, int windows, int level, int inputs, int outputs, bool pooled) {
    spinect_extent shape = {32 >> level, 64 >> level, 64 >> level};
    Work work = level == 4   ? convolution<SmallBrick, 32>(windows, shape, inputs, outputs, pooled)
                : level == 0 ? convolution<LargeBrick, 32>(windows, shape, inputs, outputs, pooled)
                             : convolution<LargeBrick, 64>(windows, shape, inputs, outputs, pooled);
    say(name, shape, inputs, outputs, work);
}

void upsampling(int windows, int level, int inputs, int outputs) {
    spinect_extent shape = {32 >> level, 64 >> level, 64 >> level};
    double rows = double(windows) * double(voxels(shape));
    Work work;
    work.flop = 2 * rows * inputs * outputs * 8;
    work.memory_bytes = rows * 2 * (inputs + outputs * 8);
    work.blocks = int64_t(ceil_div<int64_t>(int64_t(rows), Upsample16::rows) * (outputs * 8 / Upsample16::columns));
    work.cache_bytes = double(work.blocks) * inputs * 2 * (Upsample16::rows + Upsample16::columns);
    work.shared_cycles = work.cache_bytes / 128 + double(work.blocks) * (inputs / 16) * warps * 4 * 8;
    work.blocks_per_multiprocessor = 2;
    say("upsample", shape, inputs, outputs, work);
}

/// Kernels that wait for memory, or for f32 FMA.
void streaming(const char *name, int windows, int inputs, int outputs, double flop, double bytes) {
    spinect_extent shape = {32, 64, 64};
    double rows = double(windows) * double(voxels(shape)), seconds = std::max(rows * bytes / memory, rows * flop / (60e12 * 0.6));
    printf("| %-11s | %2dx%2dx%2d | %3d -> %3d | %7.1f | %8s | %6s | %6s | %6s | %6.2f | %6.2f | %-6s |\n", name, shape.d,
           shape.h, shape.w, inputs, outputs, rows * flop * 1e-9, "", "", "", "", rows * bytes / memory * 1e3, seconds * 1e3,
           rows * bytes / memory == seconds ? "memory" : "FMA");
    total += seconds;
    total_flop += rows * flop;
}

} // namespace

int main(int count, char **arguments) {
    int windows = count > 1 ? atoi(arguments[1]) : 175;
    const int channels[] = {32, 64, 128, 256, 512};
    printf(
        "| layer       | shape    | channels   | GFLOP   | blocks   | rounds | tensor | shared | memory | ms     | bound  |\n");
    printf("|---|---|---|---|---|---|---|---|---|---|---|\n");
    streaming("stem", windows, 1, 32, 2 * 27 * 32, 4 + 64);
    for (int level = 0; level < 5; ++level) {
        if (level > 0) convolution("encoder", windows, level, channels[level - 1], channels[level], false);
        convolution("encoder", windows, level, channels[level], channels[level], level < 4);
    }
    for (int level = 4; level-- > 0;) {
        upsampling(windows, level + 1, channels[level + 1], channels[level]);
        convolution("decoder", windows, level, channels[level] * 2, channels[level], false);
        convolution("decoder", windows, level, channels[level], channels[level], false);
    }
    streaming("head", windows, 32, 3, 2 * 32 * 3, 64 + 12);
    streaming("combine", windows, 3, 3, 3, 12 * 1.3);
    printf("\n%d windows: %.1f TFLOP, %.1f ms, %.0f TFLOP/s\n", windows, total_flop * 1e-12, total * 1e3,
           total_flop / total * 1e-12);
}
