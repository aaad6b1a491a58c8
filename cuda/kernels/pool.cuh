// 2×2×2 maxima on their own, where no epilogue has them at hand: in f32, and after a stem that is a whole level.

#pragma once

#include "launch.h"

namespace spinect {

/// From [windows][shape][channels] to half of each; the shape is even.
int pool(spinect_precision precision, int windows, spinect_extent shape, int channels, const void *input, void *output, spinect_stream stream);

} // namespace spinect
