#!/usr/bin/env bash
# What ptxas makes of the kernels, for every architecture: registers, spills, shared memory, and how many blocks a
# multiprocessor can hold. Fails if any spills. Needs nvcc (CUDA 12.8 or later) and a C++17 compiler, no GPU.
#   report.sh [architecture ...]        80 86 89 90 120 if none is named
set -euo pipefail
cd "$(dirname "$0")"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"${CXX:-c++}" -std=c++17 -Wno-unknown-pragmas report.cpp tests/emulation.cpp -o "$build/sizes"
"$build/sizes" >"$build/sizes.txt"
for architecture in "${@:-80 86 89 90 120}"; do
  for number in $architecture; do
    for source in *.cu; do
      nvcc -std=c++17 -O3 -arch="sm_$number" -Xptxas -v -cubin "$source" -o "$build/cubin" 2>&1 | c++filt | tr -d '\r' >>"$build/$number.txt"
    done
    awk -v architecture="$number" -v sizes="$build/sizes.txt" '
      function smaller(a, b) { return a < b ? a : b }
      BEGIN {
        while ((getline line < sizes) > 0) { split(line, part, " "); threads[part[1]] = part[2]; shared[part[1]] = part[3] }
        # Per multiprocessor, by the CUDA C++ Programming Guide: shared memory, threads, blocks.
        kilobytes = architecture == 80 ? 164 : architecture == 90 ? 228 : 100
        most_threads = architecture == 80 || architecture == 90 ? 2048 : 1536
        most_blocks = architecture == 80 || architecture == 90 ? 32 : architecture == 86 ? 16 : 24
        printf "sm_%s\n  %-44s %9s %6s %8s %7s %6s\n", architecture, "kernel", "registers", "spills", "shared", "blocks", "warps"
      }
      /Function properties for/ {
        name = $0
        sub(/.*properties for (void )?/, "", name); gsub(/spinect::|\(anonymous namespace\)::|\(int\)/, "", name)
        sub(/\(.*/, "", name); gsub(/, /, ",", name)
        if (name ~ /^_Z/) name = "?" name
      }
      /bytes spill stores/ { spills = $(NF - 7) + $(NF - 3) }
      /Used [0-9]+ registers/ {
        for (i = 1; i < NF; ++i) if ($i == "Used") registers = $(i + 1)
        count = name in threads ? threads[name] : 128
        bytes = name in shared ? shared[name] : 0
        # Registers are given to warps in portions of 256; every block takes 1 KB of shared memory more.
        per_warp = int((registers * 32 + 255) / 256) * 256
        blocks = int(int(65536 / per_warp) / (count / 32))
        blocks = smaller(blocks, int(kilobytes * 1024 / (bytes + 1024)))
        blocks = smaller(smaller(blocks, most_blocks), int(most_threads / count))
        printf "  %-44s %9d %6d %8d %7d %6d\n", name, registers, spills, bytes, blocks, blocks * count / 32
        convolutions += name ~ /^convolve/
        failed = failed || spills > 0
      }
      END {
        if (convolutions < 5) { print "the convolutions are missing"; exit 1 }
        if (failed) { print "a kernel spills"; exit 1 }
      }' "$build/$number.txt"
  done
done
