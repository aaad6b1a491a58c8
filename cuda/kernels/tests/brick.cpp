#include "test.h"

#include "../convolution_copy.cuh"

using namespace spinect;

namespace {

/// Whether every voxel of a layer is a row of exactly one brick, and every one of its neighbors a position of that brick.
template <class Brick>
bool covers(int windows, spinect_extent shape) {
    Bricks bricks = bricks_of<Brick>(windows, shape);
    std::vector<int> times(size_t(windows * voxels(shape)), 0);
    for (int64_t index = 0; index < count(bricks); ++index) {
        Cell first = origin<Brick>(bricks, index);
        for (int row = 0; row < Brick::rows; ++row) {
            Cell cell = Brick::cell(row);
            int window = first.window + cell.window, d = first.d + cell.d, h = first.h + cell.h, w = first.w + cell.w;
            if (window < windows && within(shape, d, h, w)) ++times[size_t(window * voxels(shape) + place(shape, d, h, w))];
        }
    }
    for (int each : times) {
        if (each != 1) return false;
    }
    return true;
}

/// Whether tap (kd, kh, kw) of a row is the position of the voxel that far from the row's.
template <class Brick>
bool taps_are_neighbors() {
    for (int row = 0; row < Brick::rows; ++row) {
        Cell cell = Brick::cell(row);
        int before = Brick::position({cell.window, cell.d - 1, cell.h - 1, cell.w - 1});
        bool seen[27] = {};
        for (int tap = 0; tap < 27; ++tap) {
            Cell step = Brick::tap(tap % 3, tap / 3), at = Brick::cell_at(before + tap_step<Brick>(step));
            if (at.window != cell.window || at.d != cell.d + step.d - 1 || at.h != cell.h + step.h - 1 ||
                at.w != cell.w + step.w - 1)
                return false;
            seen[tap_number(step)] = true;
        }
        for (bool each : seen) {
            if (!each) return false;
        }
    }
    return true;
}

} // namespace

TEST(every_voxel_is_a_row_of_exactly_one_brick) {
    for (spinect_extent shape : {spinect_extent{32, 64, 64},
                                 {16, 32, 32},
                                 {8, 16, 16},
                                 {4, 8, 8},
                                 {2, 4, 4},
                                 {1, 1, 1},
                                 {3, 5, 9},
                                 {5, 70, 1},
                                 {7, 1, 33}}) {
        for (int windows : {1, 2, 7, 8, 9}) {
            CHECK(covers<LargeBrick>(windows, shape), "large, %d windows of %d x %d x %d", windows, shape.d, shape.h, shape.w);
            CHECK(covers<SmallBrick>(windows, shape), "small, %d windows of %d x %d x %d", windows, shape.d, shape.h, shape.w);
        }
    }
    CHECK(taps_are_neighbors<LargeBrick>() && taps_are_neighbors<SmallBrick>(), "a tap is no neighbor");
}

TEST(thousands_of_windows_are_told_apart) {
    spinect_extent shape = {32, 64, 64};
    Bricks bricks = bricks_of<LargeBrick>(4000, shape);
    Cell last = origin<LargeBrick>(bricks, count(bricks) - 1);
    CHECK(last.window == 3999 && last.d == 28 && last.h == 56 && last.w == 56, "window %d", last.window);
    CHECK(last.window * voxels(shape) * 64 == int64_t(3999) * 131072 * 64, "beyond 32 bits");
}

TEST(results_are_written_to_shared_memory_without_bank_conflicts) {
    // What the 32 lanes of a warp write at once: 4 bytes each, which must lie in 32 banks.
    auto free_of_conflicts = [](int row_bytes) {
        for (int half = 0; half < 2; ++half) {
            uint32_t banks = 0;
            for (int lane = 0; lane < 32; ++lane) {
                Entry entry = entry_of_sums(lane, half * 2);
                banks |= 1u << (entry.row * row_bytes + entry.column * 2) / 4 % 32;
            }
            if (banks != ~0u) return false;
        }
        return true;
    };
    CHECK(free_of_conflicts(ResultTile<32>::row_bytes) && free_of_conflicts(ResultTile<64>::row_bytes), "conflicts");
    // What eight lanes copy at once: 16 bytes each, of four neighbors two eighths, wherever they begin.
    auto copied = [](int eighth) {
        for (int position = 0; position < 8; ++position) {
            uint32_t banks = 0;
            for (int lane = 0; lane < 8; ++lane) banks |= 1u << (lane % 2 * eighth + position + lane / 2) % 8;
            if (banks != 0xff) return false;
        }
        return true;
    };
    CHECK((copied(ConvolutionMemory<LargeBrick, 32>::eighth) && copied(ConvolutionMemory<SmallBrick, 64>::eighth)), "conflicts");
}
