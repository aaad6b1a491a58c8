#include "test.h"

#include "../mma.cuh"

using namespace spinect;

TEST(every_half_is_its_own_nearest) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        uint16_t back = half_of(float_of(uint16_t(bits)));
        bool number = (bits & 0x7fff) < 0x7c00;
        CHECK(number ? back == bits : (back & 0x7fff) > 0x7c00, "%04x became %04x", bits, back);
    }
}

TEST(floats_round_to_the_nearest_half_and_ties_to_even) {
    // Between neighbors of equal sign: below the middle down, above it up, the middle to the even one.
    for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
        float below = float_of(uint16_t(bits)), above = float_of(uint16_t(bits + 1)), middle = (below + above) / 2;
        CHECK(half_of(nextafterf(middle, 0)) == bits && half_of(nextafterf(middle, INFINITY)) == bits + 1, "near %g",
              double(middle));
        CHECK(half_of(middle) == (bits % 2 == 0 ? bits : bits + 1), "the middle %g", double(middle));
        CHECK(half_of(-middle) == (half_of(middle) | 0x8000), "minus %g", double(middle));
    }
    CHECK(half_of(65519.996f) == 0x7bff, "the largest");
    for (float none : {65520.0f, -65520.0f, 1e30f, INFINITY, -INFINITY, NAN})
        CHECK((half_of(none) & 0x7fff) > 0x7c00, "no half for %g", double(none));
    CHECK(half_of(1e-10f) == 0 && half_of(-1e-10f) == 0x8000, "the smallest");
}

TEST(the_matrices_lie_in_registers_as_the_ptx_isa_says) {
    // In its own words: "Matrix Fragments for mma.m16n8k16 with floating point type", elements a0 to a7, b0 to b3, c0 to c3.
    int wrong = 0;
    auto differ = [&](Entry entry, int row, int column) { wrong += entry.row != row || entry.column != column; };
    for (int lane = 0; lane < 32; ++lane) {
        int group = lane >> 2, thread_in_group = lane % 4;
        for (int i = 0; i < 8; ++i) {
            int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
            differ(entry_of_a(lane, i / 2, i % 2), row, thread_in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0));
        }
        for (int i = 0; i < 4; ++i) {
            differ(entry_of_b(lane, i / 2, i % 2), thread_in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0), group);
            differ(entry_of_sums(lane, i), i < 2 ? group : group + 8, thread_in_group * 2 + (i & 1));
        }
    }
    CHECK(wrong == 0, "%d entries", wrong);
}

TEST(each_entry_of_the_matrices_has_one_place) {
    bool a[16][16] = {}, b[16][8] = {}, sums[16][8] = {}, tile[16][32] = {};
    int repeated = 0;
    auto mark = [&](bool &seen) {
        repeated += seen;
        seen = true;
    };
    for (int lane = 0; lane < 32; ++lane) {
        for (int index = 0; index < 4; ++index) {
            Entry entry = entry_of_sums(lane, index);
            mark(sums[entry.row][entry.column]);
            for (int half = 0; half < 2; ++half) {
                entry = entry_of_a(lane, index, half);
                mark(a[entry.row][entry.column]);
                entry = entry_of_b(lane, index / 2, half);
                if (index % 2 == 0) mark(b[entry.row][entry.column]);
            }
        }
    }
    for (int place = 0; place < tile_halves; ++place) mark(tile[entry_of_tile(place).row][entry_of_tile(place).column]);
    // As many places as entries: none twice is each once.
    CHECK(repeated == 0, "%d entries have two places", repeated);
}
