// A whole network: grid to windows to probabilities to labels, through the functions of launch.h alone, beside plain loops
// in f64. Errors of single layers add up; these are the bounds that the engine promises.

#include "test.h"

#include <memory>

using namespace test;

namespace {

/// A feature map in f64, [channel][D][H][W].
struct Plain {
    int channels;
    spinect_extent shape;
    std::vector<double> values;

    Plain(int channels, spinect_extent shape)
        : channels(channels), shape(shape), values(size_t(channels * spinect::voxels(shape))) {}
    double &at(int channel, int d, int h, int w) {
        return values[size_t(channel * spinect::voxels(shape) + spinect::place(shape, d, h, w))];
    }
    double padded_at(int channel, int d, int h, int w) { return spinect::within(shape, d, h, w) ? at(channel, d, h, w) : 0; }
};

template <class Body>
void each(spinect_extent shape, Body body) {
    for (int d = 0; d < shape.d; ++d) {
        for (int h = 0; h < shape.h; ++h) {
            for (int w = 0; w < shape.w; ++w) body(d, h, w);
        }
    }
}

struct Layer {
    std::vector<float> weight, bias;

    Layer(Random &random, int inputs, int outputs, int taps) {
        weight = random.numbers(size_t(inputs * outputs * taps), sqrtf(6.0f / float(inputs * (taps == 8 ? 1 : taps))));
        bias = random.numbers(size_t(outputs), 0.1f);
    }
};

Plain convolved(Plain &input, Plain *second, const Layer &layer, int outputs) {
    Plain output(outputs, input.shape);
    int inputs = input.channels + (second ? second->channels : 0);
    each(input.shape, [&](int d, int h, int w) {
        for (int o = 0; o < outputs; ++o) {
            double sum = layer.bias[size_t(o)];
            for (int i = 0; i < inputs; ++i) {
                Plain &source = i < input.channels ? input : *second;
                for (int tap = 0; tap < 27; ++tap) {
                    sum += source.padded_at(i < input.channels ? i : i - input.channels, d + tap / 9 - 1, h + tap / 3 % 3 - 1,
                                            w + tap % 3 - 1) *
                           layer.weight[size_t((o * inputs + i) * 27 + tap)];
                }
            }
            output.at(o, d, h, w) = sum > 0 ? sum : 0;
        }
    });
    return output;
}

Plain pooled(Plain &input) {
    Plain output(input.channels, {input.shape.d / 2, input.shape.h / 2, input.shape.w / 2});
    each(output.shape, [&](int d, int h, int w) {
        for (int c = 0; c < input.channels; ++c) {
            double largest = 0;
            for (int i = 0; i < 8; ++i) largest = fmax(largest, input.at(c, d * 2 + i / 4, h * 2 + i / 2 % 2, w * 2 + i % 2));
            output.at(c, d, h, w) = largest;
        }
    });
    return output;
}

Plain upsampled(Plain &input, const Layer &layer, int outputs) {
    Plain output(outputs, {input.shape.d * 2, input.shape.h * 2, input.shape.w * 2});
    each(output.shape, [&](int d, int h, int w) {
        for (int o = 0; o < outputs; ++o) {
            double sum = layer.bias[size_t(o)];
            for (int i = 0; i < input.channels; ++i) {
                sum += input.at(i, d / 2, h / 2, w / 2) *
                       layer.weight[size_t((i * outputs + o) * 8 + d % 2 * 4 + h % 2 * 2 + w % 2)];
            }
            output.at(o, d, h, w) = sum;
        }
    });
    return output;
}

/// A U-Net of method.md 2 with these channels per level.
struct Network {
    std::vector<int> channels;
    spinect_extent window;
    int classes;
    std::vector<std::vector<Layer>> encoder, decoder;
    std::vector<Layer> upsample, head;

    Network(std::vector<int> channels, spinect_extent window, int classes, uint64_t seed)
        : channels(channels), window(window), classes(classes) {
        Random random(seed);
        for (size_t level = 0; level < channels.size(); ++level) {
            int inputs = level ? channels[level - 1] : 1, outputs = channels[level];
            encoder.push_back({Layer(random, inputs, outputs, 27), Layer(random, outputs, outputs, 27)});
            if (level + 1 == channels.size()) break;
            upsample.push_back(Layer(random, channels[level + 1], outputs, 8));
            decoder.push_back({Layer(random, outputs * 2, outputs, 27), Layer(random, outputs, outputs, 27)});
        }
        head.push_back(Layer(random, channels[0], classes, 1));
    }

    spinect_extent shape(size_t level) const { return {window.d >> level, window.h >> level, window.w >> level}; }

    /// Probabilities in f64, [class][D][H][W].
    Plain exact(Plain input) const {
        std::vector<Plain> skips;
        for (size_t level = 0; level < channels.size(); ++level) {
            Plain first = convolved(input, nullptr, encoder[level][0], channels[level]);
            skips.push_back(convolved(first, nullptr, encoder[level][1], channels[level]));
            if (level + 1 < channels.size()) input = pooled(skips.back());
        }
        Plain current = skips.back();
        for (size_t level = channels.size() - 1; level-- > 0;) {
            Plain up = upsampled(current, upsample[level], channels[level]);
            Plain first = convolved(skips[level], &up, decoder[level][0], channels[level]);
            current = convolved(first, nullptr, decoder[level][1], channels[level]);
        }
        Plain probabilities(classes, window);
        each(window, [&](int d, int h, int w) {
            double largest = -INFINITY, sum = 0;
            for (int k = 0; k < classes; ++k) {
                double score = head[0].bias[size_t(k)];
                for (int i = 0; i < channels[0]; ++i)
                    score += current.at(i, d, h, w) * head[0].weight[size_t(k * channels[0] + i)];
                probabilities.at(k, d, h, w) = score;
                largest = fmax(largest, score);
            }
            for (int k = 0; k < classes; ++k) sum += exp(probabilities.at(k, d, h, w) - largest);
            for (int k = 0; k < classes; ++k) probabilities.at(k, d, h, w) = exp(probabilities.at(k, d, h, w) - largest) / sum;
        });
        return probabilities;
    }
};

/// The same by the kernels, for all windows at once.
struct OnDevice {
    const Network &network;
    spinect_precision precision;
    int windows;

    std::unique_ptr<Map> map(size_t level) const {
        return std::make_unique<Map>(precision, windows, network.shape(level), network.channels[level]);
    }

    std::unique_ptr<Map> convolution(const Map &first, const Map *second, const Layer &layer, size_t level, Map *pooled) const {
        int outputs = network.channels[level], second_channels = second ? second->channels : 0;
        Device<char> packed(spinect_convolution_bytes(precision, first.channels, second_channels, outputs));
        spinect_convolution_pack(precision, first.channels, second_channels, outputs, layer.weight.data(), packed.data());
        Device<float> bias(padded_bias(layer.bias));
        auto output = map(level);
        spinect_convolution_arguments arguments = {
            precision,       windows,     output->shape,  first.channels,
            second_channels, outputs,     first.data(),   second ? second->data() : nullptr,
            packed.data(),   bias.data(), output->data(), pooled ? pooled->data() : nullptr};
        LAUNCH(spinect_convolution(&arguments, nullptr));
        return output;
    }

    /// Probabilities, [window][class][D][H][W].
    std::vector<float> run(const Device<float> &whitened, spinect_extent grid, float outside,
                           const Device<int32_t> &starts) const {
        std::vector<std::unique_ptr<Map>> skips;
        std::unique_ptr<Map> current;
        for (size_t level = 0; level < network.channels.size(); ++level) {
            const Layer &layer = network.encoder[level][0];
            std::unique_ptr<Map> first;
            if (level == 0) {
                Device<char> packed(spinect_stem_bytes(precision, network.channels[0]));
                spinect_stem_pack(precision, network.channels[0], layer.weight.data(), packed.data());
                Device<float> bias(padded_bias(layer.bias));
                first = map(0);
                spinect_stem_arguments arguments = {precision,     whitened.data(), grid,           outside,
                                                    starts.data(), windows,         network.window, network.channels[0],
                                                    packed.data(), bias.data(),     first->data()};
                LAUNCH(spinect_stem(&arguments, nullptr));
            } else {
                first = convolution(*current, nullptr, layer, level, nullptr);
            }
            bool last = level + 1 == network.channels.size();
            auto below =
                last ? nullptr : std::make_unique<Map>(precision, windows, network.shape(level + 1), network.channels[level]);
            skips.push_back(convolution(*first, nullptr, network.encoder[level][1], level, below.get()));
            current = std::move(below);
        }
        current = std::move(skips.back());
        for (size_t level = network.channels.size() - 1; level-- > 0;) {
            const Layer &layer = network.upsample[level];
            int inputs = current->channels, outputs = network.channels[level];
            Device<char> packed(spinect_upsample_bytes(precision, inputs, outputs));
            spinect_upsample_pack(precision, inputs, outputs, layer.weight.data(), packed.data());
            Device<float> bias(padded_bias(layer.bias));
            auto up = map(level);
            spinect_upsample_arguments arguments = {precision,       windows,       current->shape, inputs,    outputs,
                                                    current->data(), packed.data(), bias.data(),    up->data()};
            LAUNCH(spinect_upsample(&arguments, nullptr));
            auto first = convolution(*skips[level], up.get(), network.decoder[level][0], level, nullptr);
            current = convolution(*first, nullptr, network.decoder[level][1], level, nullptr);
        }
        int inputs = network.channels[0], padded = spinect::padded(inputs);
        std::vector<float> weight(size_t(network.classes * padded), 0.0f);
        for (int k = 0; k < network.classes; ++k) {
            for (int i = 0; i < inputs; ++i) weight[size_t(k * padded + i)] = network.head[0].weight[size_t(k * inputs + i)];
        }
        Device<float> weights(weight), bias(network.head[0].bias);
        Device<float> probabilities(size_t(windows * network.classes * spinect::voxels(network.window)));
        spinect_head_arguments arguments = {precision,      windows,         network.window,
                                            inputs,         network.classes, current->data(),
                                            weights.data(), bias.data(),     probabilities.data()};
        LAUNCH(spinect_head(&arguments, nullptr));
        return probabilities.values();
    }
};

void compare_network(const Network &network, spinect_extent grid, std::vector<int32_t> starts) {
    Random random(99);
    const float outside = -1.5f;
    int windows = int(starts.size() / 3);
    // As whitened CT is: from -2 to 2 where something is.
    Device<float> whitened(random.numbers(size_t(spinect::voxels(grid)), 2));
    Device<int32_t> places(starts);
    std::vector<Plain> exact;
    for (int index = 0; index < windows; ++index) {
        Plain input(1, network.window);
        each(network.window, [&](int d, int h, int w) {
            int z = d + starts[size_t(index * 3)], y = h + starts[size_t(index * 3 + 1)], x = w + starts[size_t(index * 3 + 2)];
            input.at(0, d, h, w) = spinect::within(grid, z, y, x) ? whitened.data()[spinect::place(grid, z, y, x)] : outside;
        });
        exact.push_back(network.exact(std::move(input)));
    }
    for (spinect_precision precision : {SPINECT_F32, SPINECT_F16}) {
        std::vector<float> got = OnDevice{network, precision, windows}.run(whitened, grid, outside, places);
        double largest = 0, spread = 0;
        size_t per_window = got.size() / size_t(windows);
        for (size_t i = 0; i < got.size(); ++i) {
            double error = fabs(got[i] - exact[i / per_window].values[i % per_window]);
            largest = error <= largest ? largest : error;
            spread = fmax(spread, fabs(got[i] - 1.0 / network.classes));
        }
        double bound = precision == SPINECT_F16 ? 5e-3 : 1e-4;
        printf("       %s: largest error of a probability %.1e, of at most %.0e\n", precision == SPINECT_F16 ? "f16" : "f32",
               largest, bound);
        CHECK(largest <= bound, "%g", largest);
        CHECK(spread > 0.05, "probabilities that are all alike show nothing");
        std::vector<float> again = OnDevice{network, precision, windows}.run(whitened, grid, outside, places);
        CHECK(memcmp(got.data(), again.data(), got.size() * sizeof(float)) == 0, "other bits the second time");
    }
}

} // namespace

TEST(a_network_gives_the_probabilities_of_f64_within_the_bounds) {
    compare_network(Network({16, 32, 64}, {8, 8, 16}, 3, 1), {12, 8, 12}, {0, 0, 0, 4, 0, 0});
}

TEST(a_network_of_odd_channels_and_shapes_does_too) {
    compare_network(Network({5, 17, 20, 33}, {8, 16, 8}, 5, 2), {9, 20, 7}, {0, 0, 0, 1, 4, 0, 0, 4, 0});
    compare_network(Network({7, 3}, {6, 2, 10}, 2, 3), {6, 2, 10}, {0, 0, 0});
}

TEST(the_papers_network_does_too_in_a_small_window) {
    compare_network(Network({32, 64, 128, 256, 512}, {16, 16, 16}, 3, 4), {16, 16, 16}, {0, 0, 0});
}
