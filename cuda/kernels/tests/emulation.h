// CUDA blocks on the host: every thread of a block is a fiber, switched where it waits for others. One block after the
// other, in an order that can be reversed, so that threads which forget to wait are found: whoever reads too early reads
// numbers that are none, whoever writes too early destroys what others still read.
//
// An asynchronous copy arrives as late as it may: when its own thread waits for its group. Until then its place holds
// numbers that are none. Shared memory begins as such numbers too.

#pragma once

#include <functional>
#include <stdint.h>

#include "../launch.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__

namespace emulation {

struct Index {
    unsigned x;
};

Index thread_index();
Index block_index();

/// In which order threads run between two barriers.
enum class Order { forward, backward };
extern Order order;
/// What spinect::multiprocessors() says.
extern int multiprocessors;

/// What was seen since the program began.
struct Counts {
    int64_t blocks, copies, matrices, products;
    /// Times that two rows of one matrix lay in the same banks, so that loading it took a turn more.
    int64_t conflicts;
};
extern Counts counts;

/// Device memory: asynchronous copies from anywhere else fail.
void add_memory(const void *begin, size_t bytes);
void remove_memory(const void *begin);

void run(int64_t blocks, int threads, int shared_bytes, const std::function<void()> &kernel);
void barrier();

/// Waits for the other lanes of the warp; the last to come works on the operands of all 32.
void collective(void (*operate)(void **operands), void *operand);

[[noreturn]] void fail(const char *what);

} // namespace emulation

#define threadIdx emulation::thread_index()
#define blockIdx emulation::block_index()

inline void __syncthreads() {
    emulation::barrier();
}

// Operations of the language that the compiler must not contract to others; the flags of tests/run see to that here.
inline double __dmul_rn(double a, double b) {
    return a * b;
}
inline double __dadd_rn(double a, double b) {
    return a + b;
}

uint32_t __reduce_add_sync(uint32_t mask, uint32_t value);
uint32_t __reduce_min_sync(uint32_t mask, uint32_t value);
uint32_t __reduce_max_sync(uint32_t mask, uint32_t value);

template <class T>
T atomicAdd(T *to, T value) {
    T before = *to;
    *to += value;
    return before;
}
template <class T>
T atomicMin(T *to, T value) {
    T before = *to;
    *to = value < before ? value : before;
    return before;
}
template <class T>
T atomicMax(T *to, T value) {
    T before = *to;
    *to = value > before ? value : before;
    return before;
}

namespace spinect {

char *shared_memory();
uint32_t shared_address(const void *pointer);

inline int multiprocessors() {
    return emulation::multiprocessors;
}

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes, spinect_stream,
           const Arguments &...arguments) {
    emulation::run(blocks, threads, shared_bytes, [&] { kernel(arguments...); });
    return 0;
}

void copy_async(uint32_t to, const void *from, bool inside);
void copy_async_commit();
void copy_async_wait_all_but(int groups);

template <int Groups>
void copy_async_wait() {
    copy_async_wait_all_but(Groups);
}

void load_shared(uint32_t (&registers)[4], uint32_t address);
void load_matrices(uint32_t (&registers)[4], uint32_t address);
void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

} // namespace spinect
