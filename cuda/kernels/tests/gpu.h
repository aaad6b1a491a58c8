// In place of emulation.h where nvcc compiles the tests: the same tests on a GPU, in memory that both sides see.

#pragma once

#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

namespace emulation {

// What only the emulation can be told or asked.
enum class Order { forward, backward };
inline Order order = Order::forward;
inline int multiprocessors = 1;
struct Counts {
    int64_t blocks, copies, matrices, products, conflicts;
};
inline Counts counts = {};
inline void add_memory(const void *, size_t) {}
inline void remove_memory(const void *) {}

} // namespace emulation

namespace test {

constexpr bool on_gpu = true;

inline char *allocate(size_t bytes) {
    void *memory = nullptr;
    cudaError_t error = cudaMallocManaged(&memory, bytes);
    if (error != cudaSuccess) {
        fprintf(stderr, "no memory on a GPU: %s\n", cudaGetErrorString(error));
        exit(2);
    }
    return static_cast<char *>(memory);
}
inline void release(char *bytes) {
    cudaFree(bytes);
}
inline bool finished() {
    return cudaDeviceSynchronize() == cudaSuccess;
}

} // namespace test
