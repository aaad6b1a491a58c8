// Copies from global to shared memory that the threads need not wait for (sm_80 and later). The host's are in
// tests/emulation.h.

#pragma once

#include "device.cuh"

#ifdef __CUDACC__

namespace spinect {

/// Copies 16 bytes, both addresses multiples of 16, or writes zeros and reads nothing if not `inside`.
__device__ inline void copy_async(uint32_t to, const void *from, bool inside) {
    int bytes = inside ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
}

/// Closes a group: the copies that this thread has begun since the last one.
__device__ inline void copy_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until all groups of this thread but the newest `Groups` have arrived. Others see them after the next barrier.
template <int Groups>
__device__ inline void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

} // namespace spinect

#endif
