// A test is a function with a name that says what holds; it fails by saying where it does not.

#pragma once

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <string>
#include <vector>

#include "../extent.cuh"
#include "../half.cuh"

#ifdef __CUDACC__
#include "gpu.h"
#endif

namespace test {

#ifndef __CUDACC__

constexpr bool on_gpu = false;

inline char *allocate(size_t bytes) {
    return new char[bytes];
}
inline void release(char *bytes) {
    delete[] bytes;
}
/// Waits for what was launched; the emulation has finished it already.
inline bool finished() {
    return true;
}

#endif

struct Test {
    const char *name;
    void (*body)();
};

inline std::vector<Test> &all() {
    static std::vector<Test> tests;
    return tests;
}

struct Registration {
    Registration(const char *name, void (*body)()) { all().push_back({name, body}); }
};

#define TEST(name)                                                                                                               \
    static void name();                                                                                                          \
    static test::Registration registration_of_##name(#name, name);                                                               \
    static void name()

/// Failures so far.
extern int failures;

#define CHECK(condition, ...)                                                                                                    \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            ++test::failures;                                                                                                    \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                                               \
            printf(__VA_ARGS__);                                                                                                 \
            printf("\n");                                                                                                        \
        }                                                                                                                        \
    } while (0)

/// A launch, which must succeed.
#define LAUNCH(call) CHECK((call) == 0 && test::finished(), "not launched, or failed")

/// Reproducible numbers.
struct Random {
    uint64_t state;

    explicit Random(uint64_t seed) : state(seed * 2 + 1) {}

    uint32_t bits() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return uint32_t(state >> 32);
    }
    /// -1 to 1.
    float number() { return float(bits() >> 8) * 0x1p-23f - 1; }

    std::vector<float> numbers(size_t count, float scale) {
        std::vector<float> numbers(count);
        for (float &value : numbers) value = number() * scale;
        return numbers;
    }
};

/// Memory of the device, which begins at a multiple of 256 as cudaMalloc's does.
template <class T>
class Device {
    static constexpr size_t alignment = 256;
    size_t count, total;
    char *bytes;
    T *first;

  public:
    explicit Device(size_t count, int fill = 0xff)
        : count(count), total(count * sizeof(T) + 2 * alignment), bytes(allocate(total)) {
        // As far to the end as alignment allows. Around it stands what no kernel may change.
        size_t end = reinterpret_cast<size_t>(bytes) + total - 1, begin = (end - count * sizeof(T)) / alignment * alignment;
        first = reinterpret_cast<T *>(begin);
        memset(bytes, 0, total);
        memset(static_cast<void *>(first), fill, count * sizeof(T));
        emulation::add_memory(first, count * sizeof(T));
    }
    explicit Device(const std::vector<T> &values) : Device(values.size()) {
        if (!values.empty()) memcpy(first, values.data(), count * sizeof(T));
    }
    Device(const Device &) = delete;
    ~Device() {
        const char *begin = reinterpret_cast<const char *>(first), *end = reinterpret_cast<const char *>(first + count);
        int changed = 0;
        for (const char *byte = bytes; byte < bytes + total; ++byte) changed += (byte < begin || byte >= end) && *byte != 0;
        CHECK(changed == 0, "%d bytes before or beyond a buffer", changed);
        emulation::remove_memory(first);
        release(bytes);
    }

    T *data() const { return first; }
    size_t size() const { return count; }
    std::vector<T> values() const { return std::vector<T>(first, first + count); }
};

/// A feature map, [window][D][H][W][channels padded], in either precision.
class Map {
    Device<char> memory;

  public:
    spinect_precision precision;
    int windows, channels;
    spinect_extent shape;

    /// Filled with what is no number.
    Map(spinect_precision precision, int windows, spinect_extent shape, int channels)
        : memory(size_t(windows) * size_t(spinect::voxels(shape)) * size_t(spinect::padded(channels)) *
                 (precision == SPINECT_F16 ? 2 : 4)),
          precision(precision),
          windows(windows),
          channels(channels),
          shape(shape) {}

    void *data() const { return memory.data(); }
    size_t bytes() const { return memory.size(); }

    size_t voxels() const { return size_t(windows) * size_t(spinect::voxels(shape)); }

    float get(size_t voxel, int channel) const {
        size_t at = voxel * size_t(spinect::padded(channels)) + size_t(channel);
        if (precision == SPINECT_F16) return spinect::float_of(reinterpret_cast<const uint16_t *>(memory.data())[at]);
        return reinterpret_cast<const float *>(memory.data())[at];
    }
    void set(size_t voxel, int channel, float value) {
        size_t at = voxel * size_t(spinect::padded(channels)) + size_t(channel);
        if (precision == SPINECT_F16) reinterpret_cast<uint16_t *>(memory.data())[at] = spinect::half_of(value);
        else reinterpret_cast<float *>(memory.data())[at] = value;
    }
    /// Random numbers; zeros in the padding.
    void fill(Random &random) {
        for (size_t voxel = 0; voxel < voxels(); ++voxel) {
            for (int channel = 0; channel < spinect::padded(channels); ++channel)
                set(voxel, channel, channel < channels ? random.number() : 0);
        }
    }
    /// The value at a voxel, 0 beyond the window.
    float at(int window, int d, int h, int w, int channel) const {
        if (!spinect::within(shape, d, h, w)) return 0;
        return get(size_t(window * spinect::voxels(shape) + spinect::place(shape, d, h, w)), channel);
    }
};

/// What the precision makes of a number.
inline float rounded(spinect_precision precision, float value) {
    return precision == SPINECT_F16 ? spinect::float_of(spinect::half_of(value)) : value;
}

/// The bias as layers take it.
inline std::vector<float> padded_bias(std::vector<float> bias) {
    bias.resize(size_t(spinect::padded(int(bias.size()))), 0.0f);
    return bias;
}

/// Whether a result is as near to the exact value as sums in f32 and a rounding to the precision leave it.
inline bool near(spinect_precision precision, float got, double exact) {
    double rounding = precision == SPINECT_F16 ? 0x1p-11 * fabs(exact) + 2e-6 : 0;
    return fabs(got - exact) <= rounding + 1e-5;
}

} // namespace test
