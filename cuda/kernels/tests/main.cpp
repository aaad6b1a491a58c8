// Runs all tests, or those whose names contain the first argument.

#include "test.h"

#include <chrono>

int test::failures = 0;

int main(int count, char **arguments) {
    int failed = 0, ran = 0;
    for (const test::Test &each : test::all()) {
        if (count > 1 && !strstr(each.name, arguments[1])) continue;
        int before = test::failures;
        auto start = std::chrono::steady_clock::now();
        each.body();
        double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        bool passed = test::failures == before;
        printf("%s %s (%.1f s)\n", passed ? "ok    " : "FAILED", each.name, seconds);
        fflush(stdout);
        failed += !passed;
        ++ran;
    }
    printf("%d tests, %d failed; %lld blocks, %lld products of tensor cores, %lld bank conflicts of their loads\n", ran, failed,
           static_cast<long long>(emulation::counts.blocks), static_cast<long long>(emulation::counts.products),
           static_cast<long long>(emulation::counts.conflicts));
    return failed > 0 || ran == 0;
}
