// Filling the grid, combining windows and choosing winners, bit for bit.

#include "test.h"

using namespace test;

namespace {

/// As the CPU engine does: f64 rescale and clip, f32 whitening.
float hounsfield(double raw, const spinect_fill_arguments &a) {
    double value = raw * a.slope + a.intercept;
    return float(value > a.clip_low ? (value < a.clip_high ? value : a.clip_high) : a.clip_low);
}

template <class T>
void compare_fill(int voxel_type, const std::vector<T> &special) {
    Random random{uint64_t(voxel_type)};
    // A volume of 5 × 4 × 3, whose rows lie apart and at odd addresses, read upside down along D and with neighbors repeated.
    const int n[3] = {3, 4, 5};
    const size_t row = 5 + 3, plane = 4 * row + 1;
    std::vector<char> bytes(3 * plane * sizeof(T) + 1);
    std::vector<T> raw(60);
    for (size_t i = 0; i < raw.size(); ++i) {
        raw[i] = i < special.size() ? special[i] : T(random.number() * 120);
        memcpy(&bytes[(i / 20 * plane + i / 5 % 4 * row + i % 5) * sizeof(T) + 1], &raw[i], sizeof(T));
    }
    Device<char> voxels(bytes);
    spinect_extent grid = {4, 5, 300};
    auto source = [&](int axis, int o) {
        return axis == 0 ? 2 - o * n[0] / grid.d : axis == 1 ? o * n[1] / grid.h : o * n[2] / grid.w;
    };
    std::vector<uint64_t> shares[3];
    for (int o = 0; o < grid.d; ++o) shares[0].push_back(size_t(source(0, o)) * plane);
    for (int o = 0; o < grid.h; ++o) shares[1].push_back(size_t(source(1, o)) * row);
    for (int o = 0; o < grid.w; ++o) shares[2].push_back(size_t(source(2, o)));
    Device<uint64_t> d(shares[0]), h(shares[1]), w(shares[2]), saturated(std::vector<uint64_t>{0});
    Device<uint32_t> range(std::vector<uint32_t>{~0u, 0});
    Device<float> whitened(size_t(spinect::voxels(grid)));
    spinect_fill_arguments arguments = {voxel_type,
                                        voxels.data() + 1,
                                        {d.data(), h.data(), w.data()},
                                        grid,
                                        {0, 1, 2},
                                        {4, 5, 299},
                                        1.7,
                                        -24.3,
                                        -100,
                                        90.5,
                                        12.25f,
                                        33.3f,
                                        whitened.data(),
                                        saturated.data(),
                                        range.data()};
    LAUNCH(spinect_fill(&arguments, nullptr));
    uint64_t count = 0;
    float low = INFINITY, high = -INFINITY;
    int wrong = 0;
    for (int i = 0; i < grid.d; ++i) {
        for (int j = 0; j < grid.h; ++j) {
            for (int k = 0; k < grid.w; ++k) {
                float got = whitened.data()[spinect::place(grid, i, j, k)];
                if (j < 1 || k < 2 || k >= 299) {
                    wrong += !isnan(got); // left as it was
                    continue;
                }
                float value = hounsfield(double(raw[size_t((source(0, i) * 4 + source(1, j)) * 5 + source(2, k))]), arguments);
                count += double(value) >= arguments.clip_high;
                low = fminf(low, value);
                high = fmaxf(high, value);
                wrong += got != (value - arguments.mean) / arguments.deviation;
            }
        }
    }
    CHECK(wrong == 0, "%d voxels of type %d", wrong, voxel_type);
    CHECK(saturated.data()[0] == count, "%llu saturated, not %llu", static_cast<unsigned long long>(saturated.data()[0]),
          static_cast<unsigned long long>(count));
    CHECK(spinect_fill_range_value(range.data()[0]) == low && spinect_fill_range_value(range.data()[1]) == high,
          "type %d: %g to %g", voxel_type, double(low), double(high));
}

/// The starts of windows along an axis (method.md 3).
std::vector<int32_t> starts(int n, int size, int stride) {
    std::vector<int32_t> starts;
    for (int start = 0; start < n - size; start += stride) starts.push_back(start);
    starts.push_back(n > size ? n - size : 0);
    return starts;
}

} // namespace

TEST(filling_rescales_clips_and_whitens_every_type_of_voxel) {
    compare_fill<int8_t>(1, {-128, 127, 0});
    compare_fill<uint8_t>(2, {255, 0});
    compare_fill<int16_t>(3, {-32768, 32767});
    compare_fill<uint16_t>(4, {65535});
    compare_fill<int32_t>(5, {INT32_MIN, INT32_MAX});
    compare_fill<float>(6, {NAN, INFINITY, -INFINITY, 3e38f, -0.0f});
    compare_fill<double>(7, {double(NAN), double(INFINITY), -double(INFINITY), 1e300});
    spinect_fill_arguments arguments = {};
    arguments.voxel_type = 8;
    arguments.grid = arguments.last = {1, 1, 1};
    CHECK(spinect_fill(&arguments, nullptr) != 0, "there is no type 8");
}

TEST(combining_adds_every_voxels_windows_in_their_order_whatever_the_chunks) {
    const int classes = 3;
    spinect_extent window = {4, 6, 6};
    for (spinect_extent grid : {spinect_extent{11, 13, 9}, {4, 6, 6}, {3, 5, 150}, {13, 2, 7}}) {
        std::vector<int32_t> lists[3] = {starts(grid.d, 4, 3), starts(grid.h, 6, 4), starts(grid.w, 6, 4)};
        Device<int32_t> d(lists[0]), h(lists[1]), w(lists[2]);
        int counts[3] = {int(lists[0].size()), int(lists[1].size()), int(lists[2].size())},
            windows = counts[0] * counts[1] * counts[2];
        Random random(7);
        size_t per_window = size_t(spinect::voxels(window)) * classes, voxels = size_t(spinect::voxels(grid));
        std::vector<float> probabilities = random.numbers(per_window * size_t(windows), 1), sums(voxels * classes, 0.0f);
        for (int index = 0; index < windows; ++index) {
            int start[3] = {lists[0][size_t(index / (counts[1] * counts[2]))], lists[1][size_t(index / counts[2] % counts[1])],
                            lists[2][size_t(index % counts[2])]};
            for (size_t i = 0; i < per_window; ++i) {
                size_t channel = i / size_t(spinect::voxels(window));
                int k = int(i) % window.w + start[2], j = int(i) / window.w % window.h + start[1],
                    z = int(i) / (window.w * window.h) % window.d + start[0];
                if (spinect::within(grid, z, j, k))
                    sums[channel * voxels + size_t(spinect::place(grid, z, j, k))] +=
                        probabilities[size_t(index) * per_window + i];
            }
        }
        for (int chunk : {1, 4, windows}) {
            Device<float> gathered(voxels * classes);
            for (int first = 0; first < windows; first += chunk) {
                int count = first + chunk < windows ? chunk : windows - first;
                auto begin = probabilities.begin() + ptrdiff_t(size_t(first) * per_window);
                Device<float> part(std::vector<float>(begin, begin + ptrdiff_t(size_t(count) * per_window)));
                spinect_combine_arguments arguments = {part.data(),
                                                       first,
                                                       count,
                                                       classes,
                                                       window,
                                                       grid,
                                                       {d.data(), h.data(), w.data()},
                                                       {counts[0], counts[1], counts[2]},
                                                       gathered.data()};
                LAUNCH(spinect_combine(&arguments, nullptr));
            }
            CHECK(memcmp(gathered.data(), sums.data(), sums.size() * sizeof(float)) == 0, "%d windows at once, of %d", chunk,
                  windows);
        }
    }
}

TEST(combining_leaves_alone_what_no_window_covers) {
    // The windows of a region: a start along D and H that is not the first, a gap along W.
    Device<int32_t> d(std::vector<int32_t>{3}), h(std::vector<int32_t>{1}), w(std::vector<int32_t>{0, 5});
    Device<float> probabilities(std::vector<float>(2 * 2 * 8, 0.5f)), sums(2 * 6 * 4 * 8, 0);
    spinect_combine_arguments arguments = {probabilities.data(),           0,         2,          2, {2, 2, 2}, {6, 4, 8},
                                           {d.data(), h.data(), w.data()}, {1, 1, 2}, sums.data()};
    for (size_t i = 0; i < sums.size(); ++i) sums.data()[i] = -1;
    LAUNCH(spinect_combine(&arguments, nullptr));
    int wrong = 0;
    for (int i = 0; i < 2 * 6 * 4 * 8; ++i) {
        int z = i / 32 % 6, j = i / 8 % 4, k = i % 8;
        bool covered = (z == 3 || z == 4) && (j == 1 || j == 2) && (k < 2 || k == 5 || k == 6);
        wrong += sums.data()[i] != (covered ? 0.5f : -1.0f);
    }
    CHECK(wrong == 0, "%d sums", wrong);
}

TEST(the_largest_sum_wins_and_the_lowest_channel_of_equals) {
    spinect_extent grid = {2, 2, 140}, first = {1, 0, 3}, last = {2, 2, 139};
    const int classes = 4;
    size_t voxels = size_t(spinect::voxels(grid));
    Random random(3);
    std::vector<float> values(voxels * classes);
    for (float &value : values) value = float(random.bits() % 4) + 0.1f; // many equals
    Device<float> sums(values);
    Device<uint8_t> channels(voxels, 0x77);
    Device<float> confidence(voxels);
    Device<uint32_t> invalid(std::vector<uint32_t>{0});
    spinect_winners_arguments arguments = {sums.data(),     classes,           grid,          first, last,
                                           channels.data(), confidence.data(), invalid.data()};
    LAUNCH(spinect_winners(&arguments, nullptr));
    int wrong = 0;
    for (size_t v = 0; v < voxels; ++v) {
        int d = int(v) / 280, w = int(v) % 140;
        if (d < 1 || w < 3 || w >= 139) {
            wrong += channels.data()[v] != 0x77 || !isnan(confidence.data()[v]);
            continue;
        }
        size_t best = 0;
        float total = values[v];
        for (size_t k = 1; k < classes; ++k) {
            best = values[k * voxels + v] > values[best * voxels + v] ? k : best;
            total += values[k * voxels + v];
        }
        wrong += channels.data()[v] != best || confidence.data()[v] != values[best * voxels + v] / total;
    }
    CHECK(wrong == 0 && invalid.data()[0] == 0, "%d voxels, invalid %u", wrong, invalid.data()[0]);
    sums.data()[2 * voxels + 0] = NAN; // beyond the part
    LAUNCH(spinect_winners(&arguments, nullptr));
    CHECK(invalid.data()[0] == 0, "nobody asked for that voxel");
    sums.data()[2 * voxels + 280 + 5] = NAN;
    LAUNCH(spinect_winners(&arguments, nullptr));
    CHECK(invalid.data()[0] == 1, "a sum that is no number is not told");
}
