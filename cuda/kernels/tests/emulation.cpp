#include "emulation.h"

#include <deque>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

#include "../half.cuh"
#include "../mma.cuh"
#include "fiber.h"

namespace emulation {

Order order = Order::forward;
int multiprocessors = 1;
Counts counts = {};

namespace {

constexpr int lanes = 32;
constexpr size_t stack_bytes = 128 * 1024;
/// Halves and floats of these bytes are no numbers.
constexpr int poison = 0xff;

enum class State { ready, waits_for_warp, waits_for_block, done };

struct Copy {
    char *to;
    const void *from;
};

struct Thread {
    Fiber fiber;
    State state;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
};

struct Warp {
    void (*operate)(void **);
    void *operands[lanes];
    int arrived;
};

std::vector<Thread> threads;
std::vector<Warp> warps;
std::vector<char> stacks, shared;
Fiber scheduler;
unsigned current, block;
const std::function<void()> *body;
std::map<const char *, size_t> memory;

void leave(State state) {
    threads[current].state = state;
    Fiber::swap(threads[current].fiber, scheduler);
}

void thread_main() {
    (*body)();
    leave(State::done);
    fail("a finished thread ran on");
}

void arrive(const Copy &copy) {
    if (copy.from) memcpy(copy.to, copy.from, 16);
    else memset(copy.to, 0, 16);
}

/// Runs the threads from barrier to barrier.
void run_block() {
    for (;;) {
        bool progress = false;
        for (size_t step = 0; step < threads.size(); ++step) {
            // Lanes of a warp run one after the other until each waits; then the next warp.
            size_t thread = order == Order::forward ? step : threads.size() - 1 - step;
            size_t first = thread / lanes * lanes;
            for (bool again = true; again;) {
                again = false;
                for (size_t lane = 0; lane < lanes; ++lane) {
                    current = unsigned(first + (order == Order::forward ? lane : lanes - 1 - lane));
                    if (threads[current].state != State::ready) continue;
                    again = progress = true;
                    Fiber::swap(scheduler, threads[current].fiber);
                }
            }
        }
        size_t waiting = 0, done = 0;
        for (Thread &thread : threads) {
            waiting += thread.state == State::waits_for_block;
            done += thread.state == State::done;
        }
        if (done == threads.size()) return;
        if (!progress || waiting != threads.size()) fail("threads wait for others that do not come");
        for (Thread &thread : threads) thread.state = State::ready;
    }
}

/// The bytes of shared memory at an address, which must all be the block's.
char *shared_bytes_at(uint32_t address, uint32_t bytes) {
    if (address % bytes != 0) fail("an address in shared memory is not aligned");
    if (address + size_t(bytes) > shared.size()) fail("an address lies beyond the shared memory");
    return shared.data() + address;
}

template <class Combine>
uint32_t reduce(uint32_t value, Combine) {
    collective(
        [](void **operands) {
            uint32_t all = *static_cast<uint32_t *>(operands[0]);
            for (int lane = 1; lane < lanes; ++lane) all = Combine()(all, *static_cast<uint32_t *>(operands[lane]));
            for (int lane = 0; lane < lanes; ++lane) *static_cast<uint32_t *>(operands[lane]) = all;
        },
        &value);
    return value;
}

} // namespace

void fail(const char *what) {
    fprintf(stderr, "block %u, thread %u: %s\n", block, current, what);
    abort();
}

Index thread_index() {
    return {current};
}

Index block_index() {
    return {block};
}

void add_memory(const void *begin, size_t bytes) {
    memory[static_cast<const char *>(begin)] = bytes;
}

void remove_memory(const void *begin) {
    memory.erase(static_cast<const char *>(begin));
}

void run(int64_t blocks, int count, int shared_bytes, const std::function<void()> &kernel) {
    if (blocks < 0 || blocks > INT32_MAX || count <= 0 || count > 1024 || count % lanes != 0) fail("no such launch");
    if (shared_bytes > 99 * 1024) fail("more shared memory than every architecture has");
    body = &kernel;
    threads = std::vector<Thread>(size_t(count));
    stacks.resize(size_t(count) * stack_bytes);
    for (int64_t index = 0; index < blocks; ++index) {
        block = unsigned(index);
        warps.assign(size_t(count) / lanes, Warp{});
        shared.assign(size_t(shared_bytes), char(poison));
        for (size_t thread = 0; thread < threads.size(); ++thread) {
            threads[thread].fiber.start(stacks.data() + thread * stack_bytes, stack_bytes, thread_main);
            threads[thread].state = State::ready;
        }
        run_block();
        for (Thread &thread : threads) {
            bool left = !thread.open.empty();
            for (auto &group : thread.groups) left |= !group.empty();
            if (left) fail("a thread ended before its copies arrived");
            thread.groups.clear();
        }
        ++counts.blocks;
    }
}

void barrier() {
    leave(State::waits_for_block);
}

void collective(void (*operate)(void **), void *operand) {
    Warp &warp = warps[current / lanes];
    if (warp.arrived > 0 && warp.operate != operate) fail("the lanes of a warp are not at the same instruction");
    warp.operate = operate;
    warp.operands[current % lanes] = operand;
    if (++warp.arrived < lanes) {
        leave(State::waits_for_warp);
        return;
    }
    operate(warp.operands);
    warp.arrived = 0;
    size_t first = current / lanes * lanes;
    for (size_t lane = 0; lane < lanes; ++lane) threads[first + lane].state = State::ready;
}

} // namespace emulation

using namespace emulation;

uint32_t __reduce_add_sync(uint32_t, uint32_t value) {
    return reduce(value, std::plus<uint32_t>());
}
uint32_t __reduce_min_sync(uint32_t, uint32_t value) {
    struct Smaller {
        uint32_t operator()(uint32_t a, uint32_t b) { return a < b ? a : b; }
    };
    return reduce(value, Smaller());
}
uint32_t __reduce_max_sync(uint32_t, uint32_t value) {
    struct Larger {
        uint32_t operator()(uint32_t a, uint32_t b) { return a > b ? a : b; }
    };
    return reduce(value, Larger());
}

namespace spinect {

char *shared_memory() {
    return shared.data();
}

uint32_t shared_address(const void *pointer) {
    return uint32_t(static_cast<const char *>(pointer) - shared.data());
}

void copy_async(uint32_t to, const void *from, bool inside) {
    if (inside) {
        const char *begin = static_cast<const char *>(from);
        auto after = memory.upper_bound(begin);
        if (reinterpret_cast<size_t>(from) % 16 != 0) fail("a copy from an address that is not a multiple of 16");
        if (after == memory.begin()) fail("a copy from outside of the device's memory");
        --after;
        if (begin + 16 > after->first + after->second) fail("a copy from outside of the device's memory");
    }
    char *place = shared_bytes_at(to, 16);
    memset(place, poison, 16);
    threads[current].open.push_back({place, inside ? from : nullptr});
    ++counts.copies;
}

void copy_async_commit() {
    Thread &thread = threads[current];
    thread.groups.push_back(std::move(thread.open));
    thread.open.clear();
}

void copy_async_wait_all_but(int newest) {
    Thread &thread = threads[current];
    while (thread.groups.size() > size_t(newest)) {
        for (const Copy &copy : thread.groups.front()) arrive(copy);
        thread.groups.pop_front();
    }
}

void load_shared(uint32_t (&registers)[4], uint32_t address) {
    memcpy(registers, shared_bytes_at(address, 16), 16);
}

namespace {

struct Load {
    uint32_t *registers;
    uint32_t address;
};

struct Product {
    float *sums;
    const uint32_t *a;
    uint32_t b[2];
};

void load_matrices_of_warp(void **operands) {
    for (int matrix = 0; matrix < 4; ++matrix) {
        unsigned banks = 0;
        for (int row = 0; row < 8; ++row) {
            uint32_t address = static_cast<Load *>(operands[matrix * 8 + row])->address;
            banks |= 1u << address / 16 % 8;
            const char *bytes = shared_bytes_at(address, 16);
            // Lane 4·row + i receives the row's halves 2·i and 2·i + 1.
            for (int i = 0; i < 4; ++i) memcpy(&static_cast<Load *>(operands[row * 4 + i])->registers[matrix], bytes + i * 4, 4);
        }
        counts.conflicts += banks != 0xff;
    }
    ++counts.matrices;
}

const float *floats_of_halves() {
    static const std::vector<float> table = [] {
        std::vector<float> table(65536);
        for (size_t bits = 0; bits < table.size(); ++bits) table[bits] = float_of(uint16_t(bits));
        return table;
    }();
    return table.data();
}

void multiply_of_warp(void **operands) {
    static const float *floats = floats_of_halves();
    float a[16][16], b[16][8], sums[16][8];
    for (int lane = 0; lane < lanes; ++lane) {
        const Product &product = *static_cast<Product *>(operands[lane]);
        for (int index = 0; index < 4; ++index) {
            for (int half = 0; half < 2; ++half) {
                Entry entry = entry_of_a(lane, index, half);
                a[entry.row][entry.column] = floats[uint16_t(product.a[index] >> half * 16)];
            }
            Entry entry = entry_of_sums(lane, index);
            sums[entry.row][entry.column] = product.sums[index];
        }
        for (int index = 0; index < 2; ++index) {
            for (int half = 0; half < 2; ++half) {
                Entry entry = entry_of_b(lane, index, half);
                b[entry.row][entry.column] = floats[uint16_t(product.b[index] >> half * 16)];
            }
        }
    }
    for (int row = 0; row < 16; ++row) {
        for (int k = 0; k < 16; ++k) {
            for (int column = 0; column < 8; ++column) sums[row][column] += a[row][k] * b[k][column];
        }
    }
    for (int lane = 0; lane < lanes; ++lane) {
        for (int index = 0; index < 4; ++index) {
            Entry entry = entry_of_sums(lane, index);
            static_cast<Product *>(operands[lane])->sums[index] = sums[entry.row][entry.column];
        }
    }
    ++counts.products;
}

} // namespace

void load_matrices(uint32_t (&registers)[4], uint32_t address) {
    Load load = {registers, address};
    collective(load_matrices_of_warp, &load);
}

void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    Product product = {sums, a, {b0, b1}};
    collective(multiply_of_warp, &product);
}

} // namespace spinect
