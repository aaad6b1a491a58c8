#include "test.h"

using namespace test;

namespace {

struct Layer {
    int windows;
    spinect_extent shape;
    int first, second, outputs;
    bool pooled;
};

/// The layer at one output, in f64 from what the kernel is given.
double exact(const Layer &layer, const Map &first, const Map *second, const std::vector<float> &weight, float bias, int window,
             int d, int h, int w, int output) {
    double sum = bias;
    int inputs = layer.first + layer.second;
    for (int input = 0; input < inputs; ++input) {
        const Map &source = input < layer.first ? first : *second;
        int channel = input < layer.first ? input : input - layer.first;
        for (int tap = 0; tap < 27; ++tap) {
            float value = source.at(window, d + tap / 9 - 1, h + tap / 3 % 3 - 1, w + tap % 3 - 1, channel);
            sum += double(value) * rounded(first.precision, weight[size_t((output * inputs + input) * 27 + tap)]);
        }
    }
    return sum > 0 ? sum : 0;
}

/// Runs a layer and compares it, at every `sparse`th output.
void compare(spinect_precision precision, const Layer &layer, int sparse = 1) {
    Random random{uint64_t(layer.outputs * 31 + layer.first)};
    Map first(precision, layer.windows, layer.shape, layer.first);
    first.fill(random);
    Map second(precision, layer.second ? layer.windows : 0, layer.shape, layer.second ? layer.second : 1);
    second.fill(random);
    int inputs = layer.first + layer.second;
    std::vector<float> weight = random.numbers(size_t(layer.outputs * inputs * 27), 1.5f / sqrtf(float(inputs) * 27));
    std::vector<float> bias = random.numbers(size_t(layer.outputs), 0.3f);
    Device<char> packed(spinect_convolution_bytes(precision, layer.first, layer.second, layer.outputs));
    spinect_convolution_pack(precision, layer.first, layer.second, layer.outputs, weight.data(), packed.data());
    Device<float> biases(padded_bias(bias));
    Map output(precision, layer.windows, layer.shape, layer.outputs);
    spinect_extent half = {layer.shape.d / 2, layer.shape.h / 2, layer.shape.w / 2};
    Map pooled(precision, layer.pooled ? layer.windows : 0, half, layer.outputs);
    spinect_convolution_arguments arguments = {};
    arguments.precision = precision;
    arguments.windows = layer.windows;
    arguments.shape = layer.shape;
    arguments.first_channels = layer.first;
    arguments.second_channels = layer.second;
    arguments.outputs = layer.outputs;
    arguments.first = first.data();
    arguments.second = layer.second ? second.data() : nullptr;
    arguments.packed = packed.data();
    arguments.bias = biases.data();
    arguments.output = output.data();
    arguments.pooled = layer.pooled ? pooled.data() : nullptr;
    LAUNCH(spinect_convolution(&arguments, nullptr));

    int wrong = 0, place = 0;
    for (int window = 0; window < layer.windows; ++window) {
        for (int d = 0; d < layer.shape.d; ++d) {
            for (int h = 0; h < layer.shape.h; ++h) {
                for (int w = 0; w < layer.shape.w; ++w) {
                    for (int channel = 0; channel < spinect::padded(layer.outputs); ++channel) {
                        float got = output.at(window, d, h, w, channel);
                        if (channel >= layer.outputs) {
                            wrong += got != 0;
                        } else if (place++ % sparse == 0) {
                            wrong += !near(precision, got,
                                           exact(layer, first, &second, weight, bias[size_t(channel)], window, d, h, w, channel));
                        } else {
                            wrong += !(got >= 0);
                        }
                    }
                }
            }
        }
    }
    for (int window = 0; layer.pooled && window < layer.windows; ++window) {
        for (int d = 0; d < half.d; ++d) {
            for (int h = 0; h < half.h; ++h) {
                for (int w = 0; w < half.w; ++w) {
                    for (int channel = 0; channel < spinect::padded(layer.outputs); ++channel) {
                        float largest = 0;
                        for (int i = 0; i < 8; ++i) {
                            largest = fmaxf(largest, output.at(window, 2 * d + i / 4, 2 * h + i / 2 % 2, 2 * w + i % 2, channel));
                        }
                        wrong += pooled.at(window, d, h, w, channel) != largest;
                    }
                }
            }
        }
    }
    CHECK(wrong == 0, "%d outputs of %d windows of %d x %d x %d, %d + %d to %d channels, %s", wrong, layer.windows, layer.shape.d,
          layer.shape.h, layer.shape.w, layer.first, layer.second, layer.outputs, precision == SPINECT_F16 ? "f16" : "f32");
}

/// In both orders of threads, with tiles of 64 outputs where there are enough blocks (1 multiprocessor) and without (many).
void compare_all_ways(const Layer &layer, int sparse = 1) {
    compare(SPINECT_F32, layer, sparse);
    for (emulation::Order order : {emulation::Order::forward, emulation::Order::backward}) {
        for (int multiprocessors : {1, 1 << 20}) {
            emulation::order = order;
            emulation::multiprocessors = multiprocessors;
            compare(SPINECT_F16, layer, sparse);
        }
    }
    emulation::order = emulation::Order::forward;
    emulation::multiprocessors = 1;
}

} // namespace

TEST(a_convolution_sums_over_27_taps_and_all_channels) {
    compare_all_ways({1, {4, 8, 8}, 16, 0, 32, true});
    compare_all_ways({2, {8, 8, 16}, 32, 0, 64, true}, 3);
}

TEST(a_convolution_of_small_windows_takes_several_per_block) {
    compare_all_ways({8, {2, 4, 4}, 32, 0, 64, true}, 3);
    compare_all_ways({11, {2, 4, 4}, 16, 16, 32, false}, 3);
    compare_all_ways({3, {1, 1, 1}, 20, 0, 40, false});
    compare_all_ways({9, {1, 2, 2}, 16, 0, 16, false});
}

TEST(a_convolution_of_two_sources_takes_the_first_ones_channels_first) {
    compare_all_ways({1, {4, 8, 8}, 32, 32, 32, false}, 3);
    compare_all_ways({2, {4, 6, 8}, 5, 37, 3, true});
    compare_all_ways({1, {3, 5, 9}, 17, 1, 65, false}, 3);
}

TEST(a_convolution_takes_any_number_of_channels_and_pads_with_zeros) {
    for (int channels : {1, 7, 15, 16, 17, 33}) compare_all_ways({1, {2, 6, 10}, channels, 0, channels, true}, 2);
}

TEST(a_convolution_takes_any_shape) {
    for (spinect_extent shape :
         {spinect_extent{1, 1, 1}, {1, 1, 70}, {1, 70, 1}, {70, 1, 1}, {5, 9, 17}, {3, 7, 11}, {9, 2, 5}}) {
        compare_all_ways({2, shape, 16, 0, 16, false}, 2);
    }
}

TEST(many_blocks_take_64_outputs_each) {
    // The emulation is told that it has one multiprocessor, and so takes 64 everywhere.
    if (!on_gpu) {
        printf("SKIPPED: needs a GPU\n");
        return;
    }
    compare(SPINECT_F16, {3, {32, 64, 64}, 64, 64, 64, true}, 997);
    compare(SPINECT_F16, {2000, {2, 4, 4}, 32, 0, 512, true}, 997);
}

TEST(tensor_cores_load_without_bank_conflicts) {
    if (on_gpu) {
        printf("SKIPPED: only the emulation counts\n");
        return;
    }
    int64_t before = emulation::counts.conflicts, loads = emulation::counts.matrices;
    compare(SPINECT_F16, {1, {8, 16, 16}, 32, 16, 64, true}, 97);
    compare(SPINECT_F16, {8, {2, 4, 4}, 32, 16, 64, true}, 97);
    CHECK(emulation::counts.matrices > loads, "nothing was loaded");
    CHECK(emulation::counts.conflicts == before, "%lld conflicts", static_cast<long long>(emulation::counts.conflicts - before));
}

TEST(a_windows_bits_do_not_depend_on_the_windows_beside_it) {
    spinect_extent shape = {2, 4, 4};
    Random random(5);
    Map all(SPINECT_F16, 9, shape, 16), one(SPINECT_F16, 1, shape, 16);
    all.fill(random);
    std::vector<float> weight = random.numbers(64 * 16 * 27, 0.1f);
    Device<char> packed(spinect_convolution_bytes(SPINECT_F16, 16, 0, 64));
    spinect_convolution_pack(SPINECT_F16, 16, 0, 64, weight.data(), packed.data());
    Device<float> bias(std::vector<float>(64, 0.1f));
    Map output_of_all(SPINECT_F16, 9, shape, 64), output_of_one(SPINECT_F16, 1, shape, 64);
    spinect_convolution_arguments arguments = {
        SPINECT_F16, 9, shape, 16, 0, 64, all.data(), nullptr, packed.data(), bias.data(), output_of_all.data(), nullptr};
    LAUNCH(spinect_convolution(&arguments, nullptr));
    for (int window : {0, 5, 8}) {
        memcpy(one.data(), static_cast<char *>(all.data()) + one.bytes() * size_t(window), one.bytes());
        emulation::multiprocessors = window == 5 ? 1 << 20 : 1;
        arguments.windows = 1;
        arguments.first = one.data();
        arguments.output = output_of_one.data();
        LAUNCH(spinect_convolution(&arguments, nullptr));
        const char *same = static_cast<char *>(output_of_all.data()) + output_of_one.bytes() * size_t(window);
        CHECK(memcmp(output_of_one.data(), same, output_of_one.bytes()) == 0, "window %d", window);
    }
    emulation::multiprocessors = 1;
}

TEST(what_overflows_a_half_or_is_no_number_is_none_from_then_on) {
    for (spinect_precision precision : {SPINECT_F16, SPINECT_F32}) {
        spinect_extent shape = {2, 2, 2}, half = {1, 1, 1};
        Map input(precision, 1, shape, 16), output(precision, 1, shape, 16), pooled(precision, 1, half, 16);
        for (size_t voxel = 0; voxel < 8; ++voxel) {
            for (int channel = 0; channel < 16; ++channel) input.set(voxel, channel, 0);
        }
        input.set(3, 2, precision == SPINECT_F16 ? 60000.0f : 3e38f);
        std::vector<float> weight(16 * 16 * 27, 0.0f);
        weight[size_t((5 * 16 + 2) * 27 + 13)] = 100;
        Device<char> packed(spinect_convolution_bytes(precision, 16, 0, 16));
        spinect_convolution_pack(precision, 16, 0, 16, weight.data(), packed.data());
        Device<float> bias(std::vector<float>(16, 0.0f));
        spinect_convolution_arguments arguments = {
            precision, 1, shape, 16, 0, 16, input.data(), nullptr, packed.data(), bias.data(), output.data(), pooled.data()};
        LAUNCH(spinect_convolution(&arguments, nullptr));
        auto lost = [&](float value) { return precision == SPINECT_F16 ? isnan(value) : isinf(value); };
        CHECK(lost(output.get(3, 5)) && lost(pooled.get(0, 5)), "an overflow is %g, pooled %g", double(output.get(3, 5)),
              double(pooled.get(0, 5)));
        CHECK(output.get(2, 5) == 0, "its neighbor is %g", double(output.get(2, 5)));
        input.set(3, 2, NAN);
        LAUNCH(spinect_convolution(&arguments, nullptr));
        CHECK(isnan(output.get(3, 5)) && isnan(pooled.get(0, 5)), "no number is %g, pooled %g", double(output.get(3, 5)),
              double(pooled.get(0, 5)));
    }
}

TEST(a_layer_that_cannot_be_is_refused) {
    spinect_extent shape = {2, 4, 3};
    Map map(SPINECT_F16, 1, shape, 16);
    spinect_convolution_arguments arguments = {SPINECT_F16, 1,       shape,   16,      0,          16,
                                               map.data(),  nullptr, nullptr, nullptr, map.data(), map.data()};
    CHECK(spinect_convolution(&arguments, nullptr) != 0, "maxima of an odd width");
    arguments.pooled = nullptr;
    arguments.shape.d = 0;
    CHECK(spinect_convolution(&arguments, nullptr) != 0, "no depth");
    arguments.shape.d = 2;
    arguments.outputs = 0;
    CHECK(spinect_convolution(&arguments, nullptr) != 0, "no outputs");
}
