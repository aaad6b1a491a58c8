// Where the kernels run: on a GPU, compiled by nvcc, or on the host, compiled by any C++17 compiler, in the emulation of
// tests/emulation.h. The kernels' source is the same.

#pragma once

#include "launch.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

// For index arithmetic, which static_assert and tests on the host check.
#define SPINECT_BOTH __host__ __device__

namespace spinect {

/// The block's shared memory, as many bytes as it was launched with.
__device__ inline char *shared_memory() {
    extern __shared__ __align__(128) char shared[];
    return shared;
}

/// An address in shared memory as the instructions take it.
__device__ inline uint32_t shared_address(const void *pointer) {
    return uint32_t(__cvta_generic_to_shared(pointer));
}

/// Multiprocessors of the current device, or 1 if that cannot be told.
inline int multiprocessors() {
    int device = 0, count = 0;
    bool known = cudaGetDevice(&device) == cudaSuccess &&
                 cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess;
    return known && count > 0 ? count : 1;
}

/// Launches `blocks` blocks in one dimension; none if there is nothing to do.
template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes, spinect_stream stream,
           const Arguments &...arguments) {
    if (blocks == 0) return cudaSuccess;
    if (blocks < 0 || blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
    const void *function = reinterpret_cast<const void *>(kernel);
    if (shared_bytes > 48 * 1024) {
        cudaError_t error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
        if (error != cudaSuccess) return error;
    }
    if (shared_bytes > 16 * 1024) {
        // A preference only: as many blocks per multiprocessor as its shared memory holds.
        cudaError_t error =
            cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
        if (error != cudaSuccess) return error;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(unsigned(blocks));
    config.blockDim = dim3(unsigned(threads));
    config.dynamicSmemBytes = size_t(shared_bytes);
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

} // namespace spinect

#else

#include "tests/emulation.h"
#define SPINECT_BOTH

#endif

namespace spinect {

/// What a launch returns for arguments that no layer can have: cudaErrorInvalidValue.
constexpr int invalid_value = 1;

} // namespace spinect
