/// navigation MODEL INPUT [options]: what a navigation system does with spinect, from the CT to the tool in the hand.
///
/// 1. Load the model, read the CT, take all memory (`prepare`).
/// 2. Segment in a worker thread while this one stays free for the user: progress, and Ctrl-C cancels.
/// 3. Ask a thousand times a second how far the tracked tool is from the nerve, and say how long the answers took.
///
/// The tracking is simulated: a shaft of 100 mm comes from behind and the side, goes to the middle of the structure and
/// back, by a hand that trembles.
///
/// After `cargo build --release`, in the repository's root:
///   ln -sf libspinect.so target/release/libspinect.so.1
///   c++ -std=c++17 -O2 -pthread -Iinclude c_examples/navigation.cpp -Ltarget/release -lspinect -Wl,-rpath,"$PWD/target/release" -o navigation
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <future>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "spinect.hpp"

namespace {

using clock_type = std::chrono::steady_clock; // never goes back

struct options {
  std::string model;
  std::string input;
  std::string label = "nerve";
  std::size_t poses = 10000;
  double rate_hz = 1000;
  bool paced = true;
  double radius_mm = 1.5;
  double margin_mm = 3;
  double cancel_at = 2; // a fraction; more than 1: never
};

double parse_number(const std::string& option, const std::string& text, double least, double most) {
  std::size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (text.empty() || used != text.size() || !(number >= least && number <= most)) {
    throw std::invalid_argument(option + " takes a number from " + std::to_string(least) + " to " + std::to_string(most) + ", not '" + text + "'");
  }
  return number;
}

options parse(const std::vector<std::string>& arguments) {
  options result;
  for (std::size_t n = 0; n < arguments.size(); ++n) {
    const std::string& argument = arguments[n];
    const auto value = [&]() -> const std::string& {
      if (n + 1 == arguments.size()) {
        throw std::invalid_argument(argument + " needs a value");
      }
      return arguments[++n];
    };
    if (argument == "--label") {
      result.label = value();
    } else if (argument == "--poses") {
      result.poses = static_cast<std::size_t>(parse_number(argument, value(), 1, 1e7));
    } else if (argument == "--rate") {
      result.rate_hz = parse_number(argument, value(), 1, 1e5);
    } else if (argument == "--no-pace") {
      result.paced = false;
    } else if (argument == "--radius") {
      result.radius_mm = parse_number(argument, value(), 0, 50);
    } else if (argument == "--margin") {
      result.margin_mm = parse_number(argument, value(), 0, 50);
    } else if (argument == "--cancel-at") {
      result.cancel_at = parse_number(argument, value(), 0, 1);
    } else if (argument.compare(0, 2, "--") == 0 || !result.input.empty()) {
      throw std::invalid_argument("unknown argument '" + argument + "'");
    } else {
      (result.model.empty() ? result.model : result.input) = argument;
    }
  }
  if (result.input.empty()) {
    throw std::invalid_argument("no model or no CT given");
  }
  return result;
}

double seconds_since(clock_type::time_point start) { return std::chrono::duration<double>(clock_type::now() - start).count(); }

// ------------------------------------------------------------------------------------------------------ segmentation

volatile std::sig_atomic_t interrupted = 0; // all that a signal handler may touch

extern "C" void on_interrupt(int) { interrupted = 1; }

/// Segments in a thread of its own. This thread stands for that of the user interface: it shows how far the run is and
/// passes on the wish to stop. A failure over there comes out here.
spinect::segmentation segment(spinect::session& session, const spinect::volume& ct, double cancel_at) {
  auto stop = spinect::cancel::create();
  std::atomic<double> fraction{0};
  std::atomic<const char*> stage{"prepare"}; // the texts are the library's and live for ever
  spinect::run run;
  run.cancel = &stop;
  run.progress = [&](double now, const char* doing) {
    fraction = now;
    stage = doing;
    return spinect::flow::proceed;
  };
  auto result = std::async(std::launch::async, [&] { return session.segment(ct, run); });
  do {
    if (interrupted != 0 || fraction >= cancel_at) {
      stop.set(); // the run ends soon, with SPINECT_ERROR_CANCELLED; setting it again does nothing
    }
    std::fprintf(stderr, "%-8s %3.0f %%\r", stage.load(), 100 * fraction);
  } while (result.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready);
  std::fprintf(stderr, "%-8s %3.0f %%\n", stage.load(), 100 * fraction);
  return result.get();
}

// ---------------------------------------------------------------------------------------------------------- tracking

struct pose {
  spinect::point shaft;
  spinect::point tip;
};

/// Where the tracked tool is after `time` seconds of a movement that takes `duration`: RAS mm, around `target`.
pose tracked(double time, double duration, const spinect::point& target) {
  constexpr double pi = 3.14159265358979323846;
  constexpr double length = 100;
  const double depth = 0.5 - 0.5 * std::cos(2 * pi * time / duration); // 0 outside, 1 at the target, 0 again
  const double sway = 0.12 * std::sin(2 * pi * 0.7 * time);            // of the shaft, radians
  const double tremor = 0.4 * std::sin(2 * pi * 9 * time);             // of the tip, mm
  // From behind (A < 0) and from the right.
  const spinect::point outward{std::sin(0.6 + sway), -std::cos(0.6 + sway), 0.15};
  const double norm = std::hypot(outward[0], outward[1], outward[2]);
  const spinect::point wobble{tremor, 0.3 * tremor, -tremor};
  pose result{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double direction = outward[axis] / norm;
    result.tip[axis] = target[axis] + wobble[axis] + direction * 60 * (1 - depth);
    result.shaft[axis] = result.tip[axis] + direction * length;
  }
  return result;
}

// --------------------------------------------------------------------------------------------------------- the loop

struct measured {
  std::vector<double> answer_us; // how long each question took
  std::vector<double> late_us;   // how long after its time each pose was taken up; empty without pacing
  std::size_t stops = 0;         // poses without an answer, or within the margin: the user must be stopped
  std::size_t unseen = 0;        // poses at which a part of the tool lies where nobody looked
  double closest_mm = std::numeric_limits<double>::infinity();
  double seconds = 0;
};

measured navigate(const spinect::segmentation& anatomy, std::int32_t label, const spinect::point& target, const options& chosen) {
  measured result;
  // Everything that allocates, before the loop.
  result.answer_us.reserve(chosen.poses);
  result.late_us.reserve(chosen.poses);
  auto clearance = spinect::sized<spinect_clearance>();
  spinect::thread_prepare();

  const auto period = std::chrono::duration<double>(1 / chosen.rate_hz);
  const double duration = static_cast<double>(chosen.poses) / chosen.rate_hz;
  const auto start = clock_type::now();
  for (std::size_t n = 0; n < chosen.poses; ++n) {
    if (chosen.paced) {
      // Each deadline counts from the start: a late pose does not delay those after it.
      const auto due = start + std::chrono::duration_cast<clock_type::duration>(static_cast<double>(n) * period);
      std::this_thread::sleep_until(due);
      result.late_us.push_back(std::chrono::duration<double, std::micro>(clock_type::now() - due).count());
    }
    const pose tool = tracked(static_cast<double>(n) / chosen.rate_hz, duration, target);
    const auto asked = clock_type::now();
    const spinect_status status = anatomy.clearance(label, spinect::world::ras, tool.shaft, tool.tip, chosen.radius_mm, clearance);
    result.answer_us.push_back(std::chrono::duration<double, std::micro>(clock_type::now() - asked).count());
    // No answer is no permission to go on. Nor does the answer speak for the part of a tool that is outside the CT: whether
    // that lies in the air or in the patient, it cannot know.
    if (status != SPINECT_OK) {
      ++result.stops;
      continue;
    }
    result.stops += clearance.distance_mm < chosen.margin_mm ? 1 : 0;
    result.unseen += clearance.unexamined_mm <= 0 ? 1 : 0;
    result.closest_mm = std::min(result.closest_mm, clearance.distance_mm);
  }
  result.seconds = seconds_since(start);
  return result;
}

// ----------------------------------------------------------------------------------------------------------- report

/// The smallest measured value that at least `share` of all values do not exceed (nearest rank).
double percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

void print_row(const char* name, const std::vector<double>& sorted) {
  std::printf("%-24s %9.1f %9.1f %9.1f %9.1f\n", name, percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(sorted, 0.999),
              sorted.back());
}

/// One bin per doubling, from the fastest answer to the slowest.
void print_histogram(const std::vector<double>& sorted) {
  constexpr std::size_t bins = 32;
  constexpr std::size_t widest_bar = 50;
  const auto bin_of = [](double us) { return static_cast<std::size_t>(std::clamp(std::floor(std::log2(std::max(us, 1e-9))) + 6, 0.0, 31.0)); };
  std::array<std::size_t, bins> counts{};
  for (const double value : sorted) {
    ++counts[bin_of(value)];
  }
  const std::size_t highest = *std::max_element(counts.begin(), counts.end());
  for (std::size_t bin = bin_of(sorted.front()); bin <= bin_of(sorted.back()); ++bin) {
    const std::size_t length = (counts[bin] * widest_bar + highest - 1) / highest; // rounded up: a single answer is seen
    std::printf("  from %9.2f µs |%-50s %zu\n", std::exp2(static_cast<double>(bin) - 6), std::string(length, '#').c_str(), counts[bin]);
  }
}

void report(measured& loop, const options& chosen) {
  std::sort(loop.answer_us.begin(), loop.answer_us.end());
  std::sort(loop.late_us.begin(), loop.late_us.end());
  std::printf("%zu poses in %.3f s, %s\n", loop.answer_us.size(), loop.seconds, chosen.paced ? "one per period" : "as fast as it goes");
  std::printf("%-24s %9s %9s %9s %9s\n", "microseconds", "p50", "p99", "p99.9", "max");
  print_row("the answer", loop.answer_us);
  if (chosen.paced) {
    print_row("taken up after its time", loop.late_us);
  }
  print_histogram(loop.answer_us);
  std::printf("closest to the %s: %.2f mm; to be stopped at %zu of %zu poses (margin %.1f mm); partly outside the CT at %zu\n",
              chosen.label.c_str(), loop.closest_mm, loop.stops, loop.answer_us.size(), chosen.margin_mm, loop.unseen);
}

void run(const options& chosen) {
  if (spinect::abi_version() != SPINECT_ABI_VERSION) {
    throw std::runtime_error("the library has another ABI than this program was built for");
  }
  auto start = clock_type::now();
  auto session = spinect::session::create();
  session.load_weights(chosen.model);
  const auto image = spinect::image::read(chosen.input);
  const auto ct = image.view();
  session.prepare(ct);
  std::printf("loaded and prepared in %.3f s\n", seconds_since(start));

  start = clock_type::now();
  auto anatomy = segment(session, ct, chosen.cancel_at);
  std::printf("segmented in %.3f s\n", seconds_since(start));
  if ((anatomy.provenance().warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0) {
    std::printf("WARNING: the model is a demonstration or untrained: this result means NOTHING for a patient\n");
  }

  start = clock_type::now();
  const std::int32_t label = session.find_label(chosen.label);
  anatomy.prepare_queries(label); // from here on `anatomy` never changes: any thread may ask
  const auto table = anatomy.label_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const spinect_label& row) { return row.value == label; });
  if (found == table.end() || found->voxels == 0) {
    throw std::runtime_error("no " + chosen.label + " was found: nothing to keep away from, and no reason to go on");
  }
  std::printf("prepared for questions in %.3f s: %s, %.2f ml\n", seconds_since(start), found->name, found->volume_mm3 / 1000);

  // The centroid is given in the CT's world; the tracking of this example is in RAS.
  spinect::point target{found->centroid[0], found->centroid[1], found->centroid[2]};
  if (anatomy.geometry().space == spinect::world::lps) {
    target = {-target[0], -target[1], target[2]};
  }
  measured loop = navigate(anatomy, label, target, chosen);
  report(loop, chosen);
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_interrupt);
  try {
    run(parse({argv + 1, argv + argc}));
    return 0;
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr,
                 "error: %s\nusage: %s MODEL INPUT [--label NAME] [--poses N] [--rate HZ] [--no-pace] [--radius MM] [--margin MM] "
                 "[--cancel-at FRACTION]\n",
                 wrong.what(), argv[0]);
    return 2;
  } catch (const spinect::error& failure) {
    if (failure.status() == SPINECT_ERROR_CANCELLED) {
      std::printf("cancelled: nothing was changed, the session is ready for the next run\n");
      return 3;
    }
    std::fprintf(stderr, "error: %s (%s)\n", failure.what(), failure.name());
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
  }
  return 1;
}
