// A stack of its own for each thread of a block, and the way from one to the other.

#pragma once

#include <memory>
#include <stddef.h>
#include <ucontext.h>

namespace emulation {

// AddressSanitizer knows `swapcontext`, and where a stack is.
#if defined(__x86_64__) && !defined(SANITIZE)

// Saves the registers that a function must preserve on the old stack and takes those of the new. `swapcontext` would ask
// the system for the signal mask each time.
extern "C" void emulation_switch(void **from, void *to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

struct Fiber {
    void *stack = nullptr;

    void start(char *bottom, size_t bytes, void (*body)()) {
        // At the first switch `body` is what is returned to, with the stack as a call would have left it.
        void **top = reinterpret_cast<void **>((reinterpret_cast<size_t>(bottom) + bytes) & ~size_t(15));
        *--top = nullptr;
        *--top = reinterpret_cast<void *>(body);
        stack = top - 6;
    }
    static void swap(Fiber &from, Fiber &to) { emulation_switch(&from.stack, to.stack); }
};

#else

struct Fiber {
    ucontext_t context;

    void start(char *bottom, size_t bytes, void (*body)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = bottom;
        context.uc_stack.ss_size = bytes;
        context.uc_link = nullptr;
        makecontext(&context, body, 0);
    }
    static void swap(Fiber &from, Fiber &to) { swapcontext(&from.context, &to.context); }
};

#endif

} // namespace emulation
