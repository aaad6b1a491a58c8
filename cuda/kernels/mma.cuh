// The tensor core's instruction m16n8k16: sums[16][8] += A[16][16] · B[16][8], f16 in, f32 sums. A warp holds all three
// matrices; which lane holds which entry is said here once, for packing, for the epilogues and for the emulation.

#pragma once

#include "device.cuh"

namespace spinect {

struct Entry {
    int row, column;
};

/// The entry in half `half` of register `index` (0 to 3) of A.
SPINECT_BOTH constexpr Entry entry_of_a(int lane, int index, int half) {
    return {lane / 4 + index % 2 * 8, lane % 4 * 2 + index / 2 * 8 + half};
}

/// The entry in half `half` of register `index` (0 or 1) of B.
SPINECT_BOTH constexpr Entry entry_of_b(int lane, int index, int half) {
    return {lane % 4 * 2 + index * 8 + half, lane / 4};
}

/// The entry in register `index` (0 to 3) of the sums.
SPINECT_BOTH constexpr Entry entry_of_sums(int lane, int index) {
    return {lane / 4 + index / 2 * 8, lane % 4 * 2 + index % 2};
}

/// A is loaded as four matrices of 8×8, of which lane l names row l % 8 of matrix l / 8: the row of A and which eight of
/// its columns.
SPINECT_BOTH constexpr int row_named_by(int lane) {
    return lane % 16;
}
SPINECT_BOTH constexpr int eighth_named_by(int lane) {
    return lane / 16;
}

/// B is kept as the warp reads it: 16 rows × 32 columns are 1024 bytes, of which lane l reads 16 at `l * 16` and 16 at
/// `512 + l * 16`. The entry of the tile in the half at this place (0 to 511).
constexpr int tile_columns = 32;
constexpr int tile_halves = 16 * tile_columns;
constexpr int tile_bytes = tile_halves * 2;

SPINECT_BOTH constexpr Entry entry_of_tile(int place) {
    int half = place % 2, word = place / 2 % 4, lane = place / 8 % 32, pair = place / 256;
    Entry entry = entry_of_b(lane, word % 2, half);
    return {entry.row, entry.column + (pair * 2 + word / 2) * 8};
}

#ifdef __CUDACC__

/// 16 bytes of shared memory.
__device__ inline void load_shared(uint32_t (&registers)[4], uint32_t address) {
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
}

/// Four matrices of 8×8 halves, by the warp together; each lane gives the address of one row.
__device__ inline void load_matrices(uint32_t (&registers)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
}

__device__ inline void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

} // namespace spinect
