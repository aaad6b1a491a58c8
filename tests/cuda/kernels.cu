// The kernels of cuda/kernels/launch.h on the host, as plainly as they can be said, and as slowly: with driver.c in place of
// the driver, the whole library runs where there is no GPU. `.ci/cuda` builds it so.
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "launch.h"

namespace {

int padded(int channels) { return (channels + SPINECT_CHANNEL_BLOCK - 1) / SPINECT_CHANNEL_BLOCK * SPINECT_CHANNEL_BLOCK; }

// Feature maps of one precision.
struct Maps {
  spinect_precision precision;
  float get(const void *map, size_t at) const {
    return precision == SPINECT_F32 ? static_cast<const float *>(map)[at] : __half2float(static_cast<const __half *>(map)[at]);
  }
  void put(void *map, size_t at, float value) const {
    if (precision == SPINECT_F32) {
      static_cast<float *>(map)[at] = value;
    } else {
      static_cast<__half *>(map)[at] = __float2half(value);
    }
  }
};

size_t voxels(spinect_extent e) { return static_cast<size_t>(e.d) * e.h * e.w; }

template <typename Body>
void each(spinect_extent e, Body body) {
  for (int d = 0; d < e.d; ++d)
    for (int h = 0; h < e.h; ++h)
      for (int w = 0; w < e.w; ++w) body(d, h, w, (static_cast<size_t>(d) * e.h + h) * e.w + w);
}

bool inside(spinect_extent e, int d, int h, int w) { return d >= 0 && h >= 0 && w >= 0 && d < e.d && h < e.h && w < e.w; }

double voxel(const void *voxels, int type, uint64_t at) {
  switch (type) {
    case 1: return static_cast<const int8_t *>(voxels)[at];
    case 2: return static_cast<const uint8_t *>(voxels)[at];
    case 3: return static_cast<const int16_t *>(voxels)[at];
    case 4: return static_cast<const uint16_t *>(voxels)[at];
    case 5: return static_cast<const int32_t *>(voxels)[at];
    case 6: return static_cast<const float *>(voxels)[at];
    default: return static_cast<const double *>(voxels)[at];
  }
}

uint32_t ordered(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

}  // namespace

extern "C" {

int spinect_fill(const spinect_fill_arguments *a, spinect_stream) {
  for (int d = a->first.d; d < a->last.d; ++d)
    for (int h = a->first.h; h < a->last.h; ++h)
      for (int w = a->first.w; w < a->last.w; ++w) {
        const double value = voxel(a->voxels, a->voxel_type, a->element[0][d] + a->element[1][h] + a->element[2][w]) * a->slope + a->intercept;
        const float hu = static_cast<float>(value > a->clip_low ? std::min(value, a->clip_high) : a->clip_low);
        *a->saturated += static_cast<double>(hu) >= a->clip_high;
        a->range[0] = std::min(a->range[0], ordered(hu));
        a->range[1] = std::max(a->range[1], ordered(hu));
        a->whitened[(static_cast<size_t>(d) * a->grid.h + h) * a->grid.w + w] = (hu - a->mean) / a->deviation;
      }
  return 0;
}

float spinect_fill_range_value(uint32_t bits) {
  bits = bits >> 31 ? bits & 0x7fffffffu : ~bits;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

size_t spinect_stem_bytes(spinect_precision, int32_t outputs) { return static_cast<size_t>(outputs) * 27 * sizeof(float); }
void spinect_stem_pack(spinect_precision, int32_t outputs, const float *weight, void *packed) {
  std::memcpy(packed, weight, static_cast<size_t>(outputs) * 27 * sizeof(float));
}
int spinect_stem(const spinect_stem_arguments *a, spinect_stream) {
  const Maps maps{a->precision};
  const float *weight = static_cast<const float *>(a->packed);
  const int channels = padded(a->outputs);
  for (int window = 0; window < a->windows; ++window) {
    const int32_t *start = a->starts + 3 * window;
    each(a->window, [&](int d, int h, int w, size_t at) {
      for (int o = 0; o < channels; ++o) {
        float sum = o < a->outputs ? a->bias[o] : 0.0f;
        for (int tap = 0; o < a->outputs && tap < 27; ++tap) {
          const int z = d + tap / 9 - 1, y = h + tap / 3 % 3 - 1, x = w + tap % 3 - 1;
          if (!inside(a->window, z, y, x)) continue;
          const int gz = start[0] + z, gy = start[1] + y, gx = start[2] + x;
          const bool known = inside(a->grid, gz, gy, gx);
          sum += weight[o * 27 + tap] * (known ? a->whitened[(static_cast<size_t>(gz) * a->grid.h + gy) * a->grid.w + gx] : a->outside);
        }
        maps.put(a->output, (window * voxels(a->window) + at) * channels + o, std::max(sum, 0.0f));
      }
    });
  }
  return 0;
}

size_t spinect_convolution_bytes(spinect_precision, int32_t first, int32_t second, int32_t outputs) {
  return static_cast<size_t>(first + second) * outputs * 27 * sizeof(float);
}
void spinect_convolution_pack(spinect_precision precision, int32_t first, int32_t second, int32_t outputs, const float *weight, void *packed) {
  std::memcpy(packed, weight, spinect_convolution_bytes(precision, first, second, outputs));
}
int spinect_convolution(const spinect_convolution_arguments *a, spinect_stream) {
  const Maps maps{a->precision};
  const float *weight = static_cast<const float *>(a->packed);
  const int inputs = a->first_channels + a->second_channels, channels = padded(a->outputs);
  const spinect_extent half = {a->shape.d / 2, a->shape.h / 2, a->shape.w / 2};
  for (int window = 0; window < a->windows; ++window) {
    const size_t base = window * voxels(a->shape);
    each(a->shape, [&](int d, int h, int w, size_t at) {
      std::vector<float> sums(channels, 0.0f);
      std::copy(a->bias, a->bias + a->outputs, sums.begin());
      for (int tap = 0; tap < 27; ++tap) {
        const int z = d + tap / 9 - 1, y = h + tap / 3 % 3 - 1, x = w + tap % 3 - 1;
        if (!inside(a->shape, z, y, x)) continue;
        const size_t from = base + (static_cast<size_t>(z) * a->shape.h + y) * a->shape.w + x;
        for (int i = 0; i < inputs; ++i) {
          const float value = i < a->first_channels ? maps.get(a->first, from * padded(a->first_channels) + i)
                                                    : maps.get(a->second, from * padded(a->second_channels) + i - a->first_channels);
          for (int o = 0; o < a->outputs; ++o) sums[o] += weight[(static_cast<size_t>(o) * inputs + i) * 27 + tap] * value;
        }
      }
      for (int o = 0; o < channels; ++o) maps.put(a->output, (base + at) * channels + o, std::max(sums[o], 0.0f));
    });
    if (a->pooled == nullptr) continue;
    each(half, [&](int d, int h, int w, size_t at) {
      for (int o = 0; o < channels; ++o) {
        float most = 0.0f;
        for (int n = 0; n < 8; ++n) {
          const size_t from = (static_cast<size_t>(2 * d + n / 4) * a->shape.h + 2 * h + n / 2 % 2) * a->shape.w + 2 * w + n % 2;
          most = std::max(most, maps.get(a->output, (base + from) * channels + o));
        }
        maps.put(a->pooled, (window * voxels(half) + at) * channels + o, most);
      }
    });
  }
  return 0;
}

size_t spinect_upsample_bytes(spinect_precision, int32_t inputs, int32_t outputs) {
  return static_cast<size_t>(inputs) * outputs * 8 * sizeof(float);
}
void spinect_upsample_pack(spinect_precision precision, int32_t inputs, int32_t outputs, const float *weight, void *packed) {
  std::memcpy(packed, weight, spinect_upsample_bytes(precision, inputs, outputs));
}
int spinect_upsample(const spinect_upsample_arguments *a, spinect_stream) {
  const Maps maps{a->precision};
  const float *weight = static_cast<const float *>(a->packed);
  const int channels = padded(a->outputs);
  const spinect_extent twice = {2 * a->shape.d, 2 * a->shape.h, 2 * a->shape.w};
  for (int window = 0; window < a->windows; ++window) {
    each(twice, [&](int d, int h, int w, size_t at) {
      const size_t from = window * voxels(a->shape) + (static_cast<size_t>(d / 2) * a->shape.h + h / 2) * a->shape.w + w / 2;
      const int tap = d % 2 * 4 + h % 2 * 2 + w % 2;
      for (int o = 0; o < channels; ++o) {
        float sum = o < a->outputs ? a->bias[o] : 0.0f;
        for (int i = 0; o < a->outputs && i < a->inputs; ++i) {
          sum += weight[(static_cast<size_t>(i) * a->outputs + o) * 8 + tap] * maps.get(a->input, from * padded(a->inputs) + i);
        }
        maps.put(a->output, (window * voxels(twice) + at) * channels + o, sum);
      }
    });
  }
  return 0;
}

int spinect_head(const spinect_head_arguments *a, spinect_stream) {
  const Maps maps{a->precision};
  std::vector<float> logits(a->classes);
  for (int window = 0; window < a->windows; ++window) {
    for (size_t at = 0; at < voxels(a->shape); ++at) {
      float most = -INFINITY, total = 0.0f;
      for (int c = 0; c < a->classes; ++c) {
        logits[c] = a->bias[c];
        for (int i = 0; i < a->inputs; ++i) {
          logits[c] += a->weight[c * padded(a->inputs) + i] * maps.get(a->input, (window * voxels(a->shape) + at) * padded(a->inputs) + i);
        }
        most = std::max(most, logits[c]);
      }
      for (float &logit : logits) total += logit = std::exp(logit - most);
      for (int c = 0; c < a->classes; ++c) a->probabilities[(window * a->classes + c) * voxels(a->shape) + at] = logits[c] / total;
    }
  }
  return 0;
}

int spinect_combine(const spinect_combine_arguments *a, spinect_stream) {
  const int windows = a->count[0] * a->count[1] * a->count[2];
  each(a->grid, [&](int d, int h, int w, size_t at) {
    bool earlier = false;
    for (int window = 0; window < std::min(windows, a->first_window + a->windows); ++window) {
      const int z = d - a->starts[0][window / (a->count[1] * a->count[2])];
      const int y = h - a->starts[1][window / a->count[2] % a->count[1]], x = w - a->starts[2][window % a->count[2]];
      if (!inside(a->window, z, y, x)) continue;
      for (int c = 0; c < a->classes && window >= a->first_window; ++c) {
        const size_t from = ((static_cast<size_t>(window - a->first_window) * a->classes + c) * a->window.d + z) * a->window.h + y;
        float *sum = &a->sums[c * voxels(a->grid) + at];
        *sum = (earlier ? *sum : 0.0f) + a->probabilities[from * a->window.w + x];
      }
      earlier = true;
    }
  });
  return 0;
}

int spinect_winners(const spinect_winners_arguments *a, spinect_stream) {
  each(a->grid, [&](int d, int h, int w, size_t at) {
    if (d < a->first.d || h < a->first.h || w < a->first.w || d >= a->last.d || h >= a->last.h || w >= a->last.w) return;
    int channel = 0;
    float total = 0.0f;
    for (int c = 0; c < a->classes; ++c) {
      const float sum = a->sums[c * voxels(a->grid) + at];
      total += sum;
      if (sum > a->sums[channel * voxels(a->grid) + at]) channel = c;
    }
    a->channels[at] = static_cast<uint8_t>(channel);
    a->confidence[at] = a->sums[channel * voxels(a->grid) + at] / total;
    if (std::isnan(total)) *a->invalid = 1;
  });
  return 0;
}

}
