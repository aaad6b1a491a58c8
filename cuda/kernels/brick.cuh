// The voxels of a block of the convolution: a brick of 256, with a halo of one voxel on every side that the nine taps of a
// row's neighbors need. The order of its rows (of the GEMM) is what makes the kernel cheap:
//
// - Each of four warps has 64 rows: four times 16, stacked along one axis. The 16 rows of one halo layer then serve up to
//   three taps of up to three of the four: 6 loads for 12 products.
// - Eight rows that are loaded together lie in the halo at places that differ modulo 8, so in different banks.

#pragma once

#include "extent.cuh"

namespace spinect {

/// A place within a brick, or in its halo if an index is -1 or one too large.
struct Cell {
    int window, d, h, w;
};

/// What bricks have in common, from their own `cell` and `row`.
template <int Windows, int Depth, int Height, int Width>
struct BrickOf {
    static constexpr int windows = Windows, d = Depth, h = Height, w = Width;
    static constexpr int rows = windows * d * h * w;
    static constexpr int halo_row = w + 2, halo_layer = (h + 2) * halo_row, halo_window = (d + 2) * halo_layer;
    /// Voxels of brick and halo.
    static constexpr int positions = windows * halo_window;

    /// The place among `positions`.
    SPINECT_BOTH static constexpr int position(Cell cell) {
        return cell.window * halo_window + (cell.d + 1) * halo_layer + (cell.h + 1) * halo_row + cell.w + 1;
    }
    SPINECT_BOTH static constexpr Cell cell_at(int position) {
        return {position / halo_window, position % halo_window / halo_layer - 1, position % halo_layer / halo_row - 1,
                position % halo_row - 1};
    }
};

constexpr int warps = 4;
constexpr int threads = warps * 32;
constexpr int stacked = 4;
constexpr int rows_of_warp = stacked * 16;

/// For levels whose windows are at least this large. Rows: W, two of H, all of D (stacked), the other H (a warp each).
struct LargeBrick : BrickOf<1, 4, 8, 8> {
    /// From a place in the halo to that one further along the stacked axis.
    static constexpr int stack_step = halo_layer;

    SPINECT_BOTH static constexpr Cell cell(int row) { return {0, row / 16 % 4, row / rows_of_warp * 2 + row / 8 % 2, row % 8}; }
    SPINECT_BOTH static constexpr int row(Cell cell) { return cell.h / 2 * rows_of_warp + cell.d * 16 + cell.h % 2 * 8 + cell.w; }
    /// Tap `along` (0 to 2) of the stacked axis and tap `across` (0 to 8) of the other two.
    SPINECT_BOTH static constexpr Cell tap(int along, int across) { return {0, along, across / 3, across % 3}; }
};

/// For levels of few voxels: several windows. Rows: W, D, two windows, all of H (stacked), the other windows (a warp each).
struct SmallBrick : BrickOf<8, 2, 4, 4> {
    static constexpr int stack_step = halo_row;

    SPINECT_BOTH static constexpr Cell cell(int row) {
        return {row / rows_of_warp * 2 + row / 8 % 2, row / 4 % 2, row / 16 % 4, row % 4};
    }
    SPINECT_BOTH static constexpr int row(Cell cell) {
        return cell.window / 2 * rows_of_warp + cell.h * 16 + cell.window % 2 * 8 + cell.d * 4 + cell.w;
    }
    SPINECT_BOTH static constexpr Cell tap(int along, int across) { return {0, across / 3, along, across % 3}; }
};

/// How far a tap's voxel lies from that of tap (0, 0, 0), in positions.
template <class Brick>
SPINECT_BOTH constexpr int tap_step(Cell tap) {
    return tap.d * Brick::halo_layer + tap.h * Brick::halo_row + tap.w;
}

/// The tap as weights are numbered: kd, kh, kw, the last fastest.
SPINECT_BOTH constexpr int tap_number(Cell tap) {
    return (tap.d * 3 + tap.h) * 3 + tap.w;
}

/// Whether rows are as the head of this file says.
template <class Brick>
constexpr bool sound() {
    for (int row = 0; row < Brick::rows; ++row) {
        Cell cell = Brick::cell(row);
        int position = Brick::position(cell), in_warp = row % rows_of_warp;
        Cell back = Brick::cell_at(position);
        bool same = back.window == cell.window && back.d == cell.d && back.h == cell.h && back.w == cell.w;
        if (!same || Brick::row(cell) != row) return false;
        // Within a warp, each sixteen lies one step of the stack further than the one before.
        if (in_warp >= 16 && position != Brick::position(Brick::cell(row - 16)) + Brick::stack_step) return false;
        for (int other = row / 8 * 8; other < row; ++other) {
            if (Brick::position(Brick::cell(other)) % 8 == position % 8) return false;
        }
    }
    for (int along = 0; along < 3; ++along) {
        for (int across = 0; across < 9; ++across) {
            if (tap_step<Brick>(Brick::tap(along, across)) != tap_step<Brick>(Brick::tap(0, across)) + along * Brick::stack_step)
                return false;
        }
    }
    return Brick::rows == warps * rows_of_warp;
}
static_assert(sound<LargeBrick>() && sound<SmallBrick>());

/// How a layer is cut into bricks.
struct Bricks {
    int groups, d, h, w; // of windows, and along each axis
};

template <class Brick>
SPINECT_BOTH constexpr Bricks bricks_of(int windows, spinect_extent shape) {
    return {ceil_div(windows, Brick::windows), ceil_div(shape.d, Brick::d), ceil_div(shape.h, Brick::h),
            ceil_div(shape.w, Brick::w)};
}

SPINECT_BOTH constexpr int64_t count(Bricks bricks) {
    return int64_t(bricks.groups) * bricks.d * bricks.h * bricks.w;
}

/// The first voxel of a brick.
template <class Brick>
SPINECT_BOTH constexpr Cell origin(Bricks bricks, int64_t index) {
    int64_t d = index / bricks.w / bricks.h;
    return {int(d / bricks.d) * Brick::windows, int(d % bricks.d) * Brick::d, int(index / bricks.w % bricks.h) * Brick::h,
            int(index % bricks.w) * Brick::w};
}

} // namespace spinect
