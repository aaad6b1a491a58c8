// Packing and launching 3×3×3 convolutions.

#include "convolution_f16.cuh"
#include "convolution_f32.cuh"

using namespace spinect;

namespace {

/// The reduction of both sources, in slices of `slice` channels of which the first source's last may be partly padding.
struct Sources {
    int first, second;

    int slices(int slice) const { return (padded(first) + padded(second)) / slice; }

    /// The input channel that stands at place `channel` of the padded concatenation, or -1 for padding.
    int input(int channel) const {
        if (channel < padded(first)) return channel < first ? channel : -1;
        channel -= padded(first);
        return channel < second ? first + channel : -1;
    }
};

/// Packed: [32 outputs][slice of 16][tap][a tile of tensor-core factors].
void pack_f16(Sources sources, int outputs, const float *weight, uint16_t *packed) {
    int inputs = sources.first + sources.second, slices = sources.slices(slice_channels);
    for (int tile = 0; tile < ceil_div(outputs, tile_columns); ++tile) {
        for (int slice = 0; slice < slices; ++slice) {
            for (int tap = 0; tap < 27; ++tap) {
                for (int place = 0; place < tile_halves; ++place) {
                    Entry entry = entry_of_tile(place);
                    int input = sources.input(slice * slice_channels + entry.row), output = tile * tile_columns + entry.column;
                    bool real = input >= 0 && output < outputs;
                    *packed++ = real ? half_of(weight[(int64_t(output) * inputs + input) * 27 + tap]) : 0;
                }
            }
        }
    }
}

/// Packed: [32 outputs][slice of 8][tap][channel][output].
void pack_f32(Sources sources, int outputs, const float *weight, float *packed) {
    int inputs = sources.first + sources.second;
    for (int first = 0; first < outputs; first += f32_columns) {
        for (int slice = 0; slice < sources.slices(f32_slice); ++slice) {
            for (int tap = 0; tap < 27; ++tap) {
                for (int channel = 0; channel < f32_slice; ++channel) {
                    int input = sources.input(slice * f32_slice + channel);
                    for (int output = first; output < first + f32_columns; ++output) {
                        bool real = input >= 0 && output < outputs;
                        *packed++ = real ? weight[(int64_t(output) * inputs + input) * 27 + tap] : 0;
                    }
                }
            }
        }
    }
}

/// Voxels per window that bricks multiply, those beyond the window's end too.
template <class Brick>
int64_t multiplied(spinect_extent shape) {
    return count(bricks_of<Brick>(1, shape)) * Brick::rows / Brick::windows;
}

template <class Brick, int Columns>
int launch_f16(const spinect_convolution_arguments &a, spinect_stream stream) {
    Bricks bricks = bricks_of<Brick>(a.windows, a.shape);
    return launch(convolve_f16<Brick, Columns>, count(bricks) * ceil_div(padded(a.outputs), Columns), threads,
                  ConvolutionMemory<Brick, Columns>::bytes, stream, a, bricks);
}

/// 64 outputs per block make half as many loads of each voxel; 32 make twice as many blocks, where those are few. The sums
/// are the same.
template <class Brick>
int launch_f16(const spinect_convolution_arguments &a, spinect_stream stream) {
    int tiles = ceil_div(padded(a.outputs), tile_columns);
    int64_t blocks = count(bricks_of<Brick>(a.windows, a.shape)) * (tiles / 2);
    bool wide = tiles % 2 == 0 && blocks >= 2 * multiprocessors();
    return wide ? launch_f16<Brick, 64>(a, stream) : launch_f16<Brick, 32>(a, stream);
}

} // namespace

size_t spinect_convolution_bytes(spinect_precision precision, int32_t first, int32_t second, int32_t outputs) {
    size_t numbers = size_t(padded(first) + padded(second)) * 27 * size_t(ceil_div(outputs, tile_columns) * tile_columns);
    return numbers * (precision == SPINECT_F16 ? 2 : 4);
}

void spinect_convolution_pack(spinect_precision precision, int32_t first, int32_t second, int32_t outputs, const float *weight,
                              void *packed) {
    if (precision == SPINECT_F16) pack_f16({first, second}, outputs, weight, static_cast<uint16_t *>(packed));
    else pack_f32({first, second}, outputs, weight, static_cast<float *>(packed));
}

int spinect_convolution(const spinect_convolution_arguments *arguments, spinect_stream stream) {
    const spinect_convolution_arguments &a = *arguments;
    bool even = a.shape.d % 2 == 0 && a.shape.h % 2 == 0 && a.shape.w % 2 == 0;
    bool channels = a.first_channels > 0 && a.second_channels >= 0 && a.outputs > 0;
    if (a.windows < 0 || !positive(a.shape) || !channels || (a.pooled && !even)) return invalid_value;
    if (a.precision == SPINECT_F16) {
        // By the shape alone, so that a window's bits do not depend on how many come with it. A small brick has more halo.
        bool small = multiplied<SmallBrick>(a.shape) * 5 < multiplied<LargeBrick>(a.shape) * 4;
        return small ? launch_f16<SmallBrick>(a, stream) : launch_f16<LargeBrick>(a, stream);
    }
    Bricks bricks = bricks_of<LargeBrick>(a.windows, a.shape);
    int64_t blocks = count(bricks) * ceil_div(padded(a.outputs), f32_columns);
    int error = launch(convolve_f32, blocks, threads, Convolution32Memory::bytes, stream, a, bricks);
    if (error || !a.pooled) return error;
    spinect_pool_arguments maxima = {a.precision, a.windows, a.shape, a.outputs, a.output, a.pooled};
    return spinect_pool(&maxima, stream);
}
