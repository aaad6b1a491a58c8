// Stem, upsampling and head beside plain loops.

#include "test.h"

using namespace test;

namespace {

void compare_stem(spinect_precision precision, spinect_extent grid, spinect_extent window, std::vector<int32_t> starts,
                  int outputs, bool pooled) {
    Random random{uint64_t(outputs)};
    int windows = int(starts.size() / 3);
    Device<float> whitened(random.numbers(size_t(spinect::voxels(grid)), 2));
    Device<int32_t> places(starts);
    std::vector<float> weight = random.numbers(size_t(outputs) * 27, 0.3f), bias = random.numbers(size_t(outputs), 0.3f);
    Device<char> packed(spinect_stem_bytes(precision, outputs));
    spinect_stem_pack(precision, outputs, weight.data(), packed.data());
    Device<float> biases(padded_bias(bias));
    Map output(precision, windows, window, outputs);
    spinect_extent half = {window.d / 2, window.h / 2, window.w / 2};
    Map maxima(precision, pooled ? windows : 0, half, outputs);
    const float outside = -3.25f;
    spinect_stem_arguments arguments = {precision, whitened.data(), grid,          outside,       places.data(), windows,
                                        window,    outputs,         packed.data(), biases.data(), output.data()};
    LAUNCH(spinect_stem(&arguments, nullptr));
    spinect_pool_arguments maxima_of = {precision, windows, window, outputs, output.data(), maxima.data()};
    bool even = window.d % 2 == 0 && window.h % 2 == 0 && window.w % 2 == 0;
    CHECK(even || spinect_pool(&maxima_of, nullptr) != 0, "maxima of an odd shape");
    if (pooled) LAUNCH(spinect_pool(&maxima_of, nullptr));
    auto input = [&](int index, int d, int h, int w) {
        if (!spinect::within(window, d, h, w)) return 0.0f;
        const int32_t *start = &starts[size_t(index) * 3];
        d += start[0], h += start[1], w += start[2];
        return spinect::within(grid, d, h, w) ? whitened.data()[spinect::place(grid, d, h, w)] : outside;
    };
    int wrong = 0;
    for (int index = 0; index < windows; ++index) {
        for (int64_t voxel = 0; voxel < spinect::voxels(window); ++voxel) {
            int d = int(voxel / window.w / window.h), h = int(voxel / window.w % window.h), w = int(voxel % window.w);
            for (int channel = 0; channel < spinect::padded(outputs); ++channel) {
                double sum = channel < outputs ? double(bias[size_t(channel)]) : 0;
                for (int tap = 0; channel < outputs && tap < 27; ++tap) {
                    sum += double(input(index, d + tap / 9 - 1, h + tap / 3 % 3 - 1, w + tap % 3 - 1)) *
                           weight[size_t(channel * 27 + tap)];
                }
                wrong += !near(precision, output.at(index, d, h, w, channel), sum > 0 ? sum : 0);
                if (pooled && d % 2 == 0 && h % 2 == 0 && w % 2 == 0) {
                    float largest = 0;
                    for (int i = 0; i < 8; ++i)
                        largest = fmaxf(largest, output.at(index, d + i / 4, h + i / 2 % 2, w + i % 2, channel));
                    wrong += maxima.at(index, d / 2, h / 2, w / 2, channel) != largest;
                }
            }
        }
    }
    CHECK(wrong == 0, "%d outputs", wrong);
}

void compare_upsample(spinect_precision precision, int windows, spinect_extent shape, int inputs, int outputs) {
    Random random{uint64_t(inputs * 7 + outputs)};
    Map input(precision, windows, shape, inputs);
    input.fill(random);
    spinect_extent twice = {shape.d * 2, shape.h * 2, shape.w * 2};
    Map output(precision, windows, twice, outputs);
    std::vector<float> weight = random.numbers(size_t(inputs * outputs) * 8, 1.5f / sqrtf(float(inputs))),
                       bias = random.numbers(size_t(outputs), 0.3f);
    Device<char> packed(spinect_upsample_bytes(precision, inputs, outputs));
    spinect_upsample_pack(precision, inputs, outputs, weight.data(), packed.data());
    Device<float> biases(padded_bias(bias));
    spinect_upsample_arguments arguments = {precision,    windows,       shape,         inputs,       outputs,
                                            input.data(), packed.data(), biases.data(), output.data()};
    LAUNCH(spinect_upsample(&arguments, nullptr));
    int wrong = 0;
    for (int window = 0; window < windows; ++window) {
        for (int64_t voxel = 0; voxel < spinect::voxels(twice); ++voxel) {
            int d = int(voxel / twice.w / twice.h), h = int(voxel / twice.w % twice.h), w = int(voxel % twice.w);
            int corner = d % 2 * 4 + h % 2 * 2 + w % 2;
            for (int channel = 0; channel < spinect::padded(outputs); ++channel) {
                double sum = channel < outputs ? double(bias[size_t(channel)]) : 0;
                for (int i = 0; channel < outputs && i < inputs; ++i) {
                    sum += double(input.at(window, d / 2, h / 2, w / 2, i)) *
                           rounded(precision, weight[size_t((i * outputs + channel) * 8 + corner)]);
                }
                wrong += !near(precision, output.at(window, d, h, w, channel), sum);
            }
        }
    }
    CHECK(wrong == 0, "%d outputs of %d windows of %d x %d x %d, %d to %d channels", wrong, windows, shape.d, shape.h, shape.w,
          inputs, outputs);
}

void compare_head(spinect_precision precision, int windows, spinect_extent shape, int inputs, int classes, float scale) {
    Random random{uint64_t(classes)};
    Map input(precision, windows, shape, inputs);
    input.fill(random);
    std::vector<float> weight = random.numbers(size_t(classes * spinect::padded(inputs)), scale),
                       bias = random.numbers(size_t(classes), 0.3f);
    // What weights hold for padded inputs does not matter: those are zero.
    Device<float> weights(weight), biases(bias);
    Device<float> probabilities(size_t(windows * spinect::voxels(shape) * classes));
    spinect_head_arguments arguments = {
        precision, windows, shape, inputs, classes, input.data(), weights.data(), biases.data(), probabilities.data()};
    LAUNCH(spinect_head(&arguments, nullptr));
    int wrong = 0;
    int64_t voxels = spinect::voxels(shape);
    for (int64_t voxel = 0; voxel < windows * voxels; ++voxel) {
        std::vector<double> scores(size_t(classes), 0.0);
        double largest = -INFINITY, sum = 0;
        for (int k = 0; k < classes; ++k) {
            double score = bias[size_t(k)];
            for (int i = 0; i < inputs; ++i)
                score += double(input.get(size_t(voxel), i)) * weight[size_t(k * spinect::padded(inputs) + i)];
            scores[size_t(k)] = score;
            largest = fmax(largest, score);
        }
        for (double score : scores) sum += exp(score - largest);
        for (int k = 0; k < classes; ++k) {
            float got = probabilities.data()[(voxel / voxels * classes + k) * voxels + voxel % voxels];
            wrong += !(fabs(got - exp(scores[size_t(k)] - largest) / sum) <= 1e-5);
        }
    }
    CHECK(wrong == 0, "%d probabilities of %d classes", wrong, classes);
}

} // namespace

TEST(the_stem_reads_windows_from_the_grid_and_what_lies_outside_of_either) {
    for (spinect_precision precision : {SPINECT_F32, SPINECT_F16}) {
        compare_stem(precision, {9, 10, 40}, {8, 8, 36}, {0, 0, 0, 1, 2, 4}, 32, true);
        compare_stem(precision, {3, 20, 5}, {4, 6, 10}, {0, 0, 0, 0, 14, 0}, 5, false);
        compare_stem(precision, {5, 5, 5}, {3, 5, 1}, {2, 0, 4}, 49, false);
        compare_stem(precision, {6, 6, 6}, {2, 2, 2}, {4, 4, 4, 0, 3, 2}, 16, true);
    }
}

TEST(upsampling_gives_every_voxel_eight_of_its_own) {
    for (spinect_precision precision : {SPINECT_F32, SPINECT_F16}) {
        compare_upsample(precision, 1, {4, 8, 8}, 64, 32);
        compare_upsample(precision, 9, {2, 4, 4}, 32, 16);
        compare_upsample(precision, 2, {3, 1, 7}, 5, 3);
        compare_upsample(precision, 1, {1, 1, 1}, 100, 50);
        compare_upsample(precision, 3, {2, 3, 5}, 17, 33);
    }
    int64_t conflicts = emulation::counts.conflicts;
    emulation::order = emulation::Order::backward;
    compare_upsample(SPINECT_F16, 1, {5, 8, 8}, 160, 32);
    emulation::order = emulation::Order::forward;
    CHECK(emulation::counts.conflicts == conflicts, "bank conflicts");
}

TEST(the_head_gives_the_softmax_of_its_scores) {
    for (spinect_precision precision : {SPINECT_F32, SPINECT_F16}) {
        compare_head(precision, 2, {3, 5, 17}, 32, 3, 1);
        compare_head(precision, 1, {2, 2, 2}, 5, 2, 20);
        compare_head(precision, 2, {1, 3, 5}, 33, 4, 1);
        compare_head(precision, 2, {1, 3, 5}, 16, 5, 1);
        compare_head(precision, 1, {1, 2, 3}, 1, 255, 1);
        compare_head(precision, 1, {1, 2, 3}, 40, 1, 1);
    }
}

TEST(a_score_that_is_no_number_makes_every_probability_none) {
    for (int classes : {3, 6}) {
        Map input(SPINECT_F16, 1, {1, 1, 2}, 16);
        Random random(1);
        input.fill(random);
        input.set(0, 3, NAN);
        Device<float> weight(std::vector<float>(size_t(classes) * 16, 0.5f)), bias(std::vector<float>(size_t(classes), 0.0f));
        Device<float> probabilities(size_t(classes) * 2);
        spinect_head_arguments arguments = {SPINECT_F16,   1,           {1, 1, 2},           16, classes, input.data(),
                                            weight.data(), bias.data(), probabilities.data()};
        LAUNCH(spinect_head(&arguments, nullptr));
        for (int k = 0; k < classes; ++k) {
            CHECK(isnan(probabilities.data()[k * 2]) && !isnan(probabilities.data()[k * 2 + 1]), "class %d of %d", k, classes);
        }
    }
}
