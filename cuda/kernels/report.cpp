// For report.sh: threads per block and bytes of dynamic shared memory of the kernels that use much; ptxas does not know them.

#include <stdio.h>

#include "convolution_f16.cuh"
#include "convolution_f32.cuh"
#include "upsample_f16.cuh"

using namespace spinect;

template <class Brick, int Columns>
void convolution(const char *brick) {
    printf("convolve_f16<%s,%d> %d %d\n", brick, Columns, threads, ConvolutionMemory<Brick, Columns>::bytes);
}

int main() {
    convolution<LargeBrick, 32>("LargeBrick");
    convolution<LargeBrick, 64>("LargeBrick");
    convolution<SmallBrick, 32>("SmallBrick");
    convolution<SmallBrick, 64>("SmallBrick");
    printf("convolve_f32 %d %d\n", threads, Convolution32Memory::bytes);
    printf("upsample_f16 %d %d\n", Upsample16::threads, Upsample16::bytes);
}
