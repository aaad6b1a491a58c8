/// latency MODEL [--size I,J,K] [--runs N] [--threads N] [--all-windows]: how long `segment_into` takes, run by run.
///
/// A navigation system lives by its slowest answer, so this prints p50, p90, p99 and the maximum, and a histogram. The
/// volume is synthetic, 1 mm, seeded noise around soft tissue, so that no two windows are alike and none is skipped.
/// The first run is cold (caches, page tables, clock frequency) and stands apart.
///
/// After `cargo build --release`, in the repository's root:
///   ln -sf libspinect.so target/release/libspinect.so.1
///   c++ -std=c++17 -O2 -Iinclude c_examples/latency.cpp -Ltarget/release -lspinect -Wl,-rpath,"$PWD/target/release" -o latency
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "spinect.hpp"

namespace {

struct options {
  std::string model;
  std::array<std::uint64_t, 3> size{144, 144, 92};
  std::size_t runs = 20;
  std::uint32_t threads = 0;
  bool all_windows = false;
};

/// A whole number from 1 to 100000; anything else is an error that names the option.
std::uint32_t parse_number(const std::string& option, const std::string& text) {
  const bool digits = !text.empty() && text.size() <= 6 && text.find_first_not_of("0123456789") == std::string::npos;
  const unsigned long number = digits ? std::stoul(text) : 0;
  if (number < 1 || number > 100000) {
    throw std::invalid_argument(option + " takes whole numbers from 1 to 100000, not '" + text + "'");
  }
  return static_cast<std::uint32_t>(number);
}

options parse(const std::vector<std::string>& arguments) {
  options result;
  for (std::size_t n = 0; n < arguments.size(); ++n) {
    const std::string& argument = arguments[n];
    const bool takes_value = argument == "--size" || argument == "--runs" || argument == "--threads";
    if (takes_value && n + 1 == arguments.size()) {
      throw std::invalid_argument(argument + " needs a value");
    }
    if (argument == "--size") {
      std::string rest = arguments[++n] + ',';
      if (std::count(rest.begin(), rest.end(), ',') != 3) {
        throw std::invalid_argument("--size takes three numbers I,J,K, not '" + arguments[n] + "'");
      }
      for (std::uint64_t& axis : result.size) {
        axis = parse_number(argument, rest.substr(0, rest.find(',')));
        rest.erase(0, rest.find(',') + 1);
      }
    } else if (argument == "--runs") {
      result.runs = parse_number(argument, arguments[++n]);
    } else if (argument == "--threads") {
      result.threads = parse_number(argument, arguments[++n]);
    } else if (argument == "--all-windows") {
      result.all_windows = true;
    } else if (result.model.empty() && argument.compare(0, 2, "--") != 0) {
      result.model = argument;
    } else {
      throw std::invalid_argument("unknown argument '" + argument + "'");
    }
  }
  if (result.model.empty()) {
    throw std::invalid_argument("no model given");
  }
  return result;
}

/// Seconds that `work` takes.
template <typename Work> double seconds(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The smallest measured value that at least `share` of all values do not exceed (nearest rank).
double percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

void print_histogram(const std::vector<double>& sorted) {
  constexpr std::size_t bins = 12;
  constexpr std::size_t widest_bar = 50;
  const double low = sorted.front();
  const double width = std::max((sorted.back() - low) / static_cast<double>(bins), 1e-9);
  std::array<std::size_t, bins> counts{};
  for (const double value : sorted) {
    ++counts[std::min(static_cast<std::size_t>((value - low) / width), bins - 1)];
  }
  const std::size_t highest = *std::max_element(counts.begin(), counts.end());
  for (std::size_t bin = 0; bin < bins; ++bin) {
    const std::size_t length = (counts[bin] * widest_bar + highest - 1) / highest; // rounded up: a single run is seen
    std::printf("%10.4f s |%-50s %zu\n", low + width * static_cast<double>(bin), std::string(length, '#').c_str(), counts[bin]);
  }
}

void measure(const options& chosen) {
  spinect::session_config config;
  config.threads = chosen.threads;
  auto session = spinect::session::create(config);
  const double load = seconds([&] { session.load_weights(chosen.model); });

  const auto [i, j, k] = chosen.size;
  std::vector<std::int16_t> voxels(static_cast<std::size_t>(i * j * k));
  std::mt19937 random(20240601);
  for (std::int16_t& voxel : voxels) {
    voxel = static_cast<std::int16_t>(static_cast<int>(random() % 121) - 20); // -20 to 100 HU
  }
  const std::array<double, 16> one_millimeter{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  const auto volume = spinect::view(voxels.data(), chosen.size, one_millimeter, spinect::world::lps);
  spinect::run run;
  run.all_windows = chosen.all_windows;

  std::vector<std::uint8_t> labels(voxels.size());
  std::uint64_t warnings = 0;
  const auto segment_once = [&] { warnings = session.segment_into(volume, labels.data(), labels.size(), run); };
  const double prepare = seconds([&] { session.prepare(volume); });
  const double cold = seconds(segment_once);
  std::vector<double> times(chosen.runs);
  for (double& time : times) {
    time = seconds(segment_once);
  }
  std::sort(times.begin(), times.end());
  const spinect_timings timings = session.segment(volume, run).timings(); // for the number of windows

  const spinect_model_info model = session.model_info();
  std::printf("model %s %s, %s\n", model.name, model.version, spinect::build_info().c_str());
  std::printf("volume %llu x %llu x %llu voxels of 1 mm: %llu windows per run, %llu of them computed\n",
              static_cast<unsigned long long>(i), static_cast<unsigned long long>(j), static_cast<unsigned long long>(k),
              static_cast<unsigned long long>(timings.windows), static_cast<unsigned long long>(timings.windows_computed));
  std::printf("load %.4f s, prepare %.4f s, first (cold) run %.4f s\n", load, prepare, cold);
  std::printf("%zu warm runs: p50 %.4f s, p90 %.4f s, p99 %.4f s, max %.4f s\n", times.size(), percentile(times, 0.50),
              percentile(times, 0.90), percentile(times, 0.99), times.back());
  print_histogram(times);
  if ((warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0) {
    std::printf("WARNING: the model is a demonstration or untrained: it takes its time like a trained one, but finds NOTHING\n");
  }
}

} // namespace

int main(int argc, char** argv) {
  try {
    measure(parse({argv + 1, argv + argc}));
    return 0;
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "error: %s\nusage: %s MODEL [--size I,J,K] [--runs N] [--threads N] [--all-windows]\n", wrong.what(), argv[0]);
    return 2;
  } catch (const spinect::error& failure) {
    std::fprintf(stderr, "error: %s (%s)\n", failure.what(), failure.name());
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
  }
  return 1;
}
