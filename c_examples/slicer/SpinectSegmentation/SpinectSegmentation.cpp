/// SpinectSegmentation --model MODEL [options] INPUT OUTPUT.seg.nrrd: a command line module of 3D Slicer.
///
/// 3D Slicer runs it as a process of its own: it asks for `--xml` and makes a panel from the answer, writes the CT to a file,
/// reads the progress from the tags on the standard output and the segmentation from the file, and ends the process to cancel.
/// Nothing here is compiled or linked against 3D Slicer, so one program serves every version of it.
///
/// After `cargo build --release`, in the repository's root:
///   ln -sf libspinect.so target/release/libspinect.so.1   (the name that programs ask for; installing makes it), then in one line
///   c++ -std=c++17 -Iinclude c_examples/slicer/SpinectSegmentation/SpinectSegmentation.cpp -Ltarget/release -lspinect
///       -Wl,-rpath,"$PWD/target/release" -o SpinectSegmentation
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "description.hpp"
#include "../spinect_warnings.hpp"
#include "spinect.hpp"

namespace {

constexpr const char* module_name = "Spinect Segmentation";

/// What a signal sets: ends the run, so that no half-written file stays.
spinect_cancel* stop_request = nullptr;

extern "C" void stop(int) { spinect_cancel_set(stop_request); }

/// Tells 3D Slicer how far the run is. It reads all of the output again at each step: a hundred steps are enough.
class progress {
public:
  spinect::flow operator()(double fraction, const char* stage) {
    if (stage_ != stage) {
      stage_ = stage;
      std::printf("<filter-comment>%s</filter-comment>\n", stage);
    }
    if (fraction >= told_ + 0.01 || fraction == 1) {
      told_ = fraction;
      std::printf("<filter-progress>%.3f</filter-progress>\n", fraction);
    }
    std::fflush(stdout);
    return spinect::flow::proceed;
  }

private:
  double told_ = -1;
  std::string stage_;
};

/// A box in RAS in the world of a volume: the same box, where its corners are called otherwise.
spinect::region in_world_of(const spinect_volume& volume, spinect::region box) {
  if (volume.world == SPINECT_WORLD_LPS) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
      std::swap(box.min[axis], box.max[axis]);
      box.min[axis] = -box.min[axis];
      box.max[axis] = -box.max[axis];
    }
  }
  return box;
}

/// Tells a result's warnings; returns their names. Not on the standard error: 3D Slicer takes what comes there for a failure.
std::string tell_warnings(std::uint64_t warnings) {
  for (const spinect_warning_text& warning : spinect_warnings(warnings)) {
    std::printf("WARNING: %s\n", warning.text);
  }
  return spinect_warning_names(warnings);
}

void tell_labels(const std::vector<spinect_label>& table) {
  std::printf("label  name                    voxels  volume/ml  confidence\n");
  for (const spinect_label& label : table) {
    std::printf("%5d  %-16s  %12llu  %9.2f  %10.3f\n", static_cast<int>(label.value), label.name,
                static_cast<unsigned long long>(label.voxels), label.volume_mm3 / 1000, label.mean_confidence);
  }
}

/// The smallest distance of the points to a label; tells each. NaN where there is no such distance.
double tell_distances(spinect::segmentation& segmentation, const spinect_label& label, const std::vector<spinect::point>& points) {
  double smallest = std::numeric_limits<double>::quiet_NaN();
  if (label.voxels == 0) {
    std::printf("%s was not found: there is no distance to it\n", label.name);
    return smallest;
  }
  segmentation.prepare_queries(label.value);
  for (const spinect::point& point : points) {
    const spinect_distance distance = segmentation.distance(label.value, spinect::world::ras, point);
    std::printf("point %.6g,%.6g,%.6g (RAS): %.3f mm to %s, nearest %.6g,%.6g,%.6g; %.3f mm to what was not segmented\n", point[0], point[1],
                point[2], distance.distance_mm, label.name, distance.nearest[0], distance.nearest[1], distance.nearest[2],
                distance.unexamined_mm);
    if (!(smallest <= distance.distance_mm)) {
      smallest = distance.distance_mm;
    }
  }
  return smallest;
}

/// Writes the output parameters where 3D Slicer reads them.
void write_return_file(const arguments& given, double distance, double volume_ml, const std::string& warnings) {
  if (given.return_file.empty()) {
    return;
  }
  std::ofstream file(given.return_file);
  file.precision(9);
  if (!std::isnan(distance)) {
    file << "distance = " << distance << '\n';
  }
  file << "volume = " << volume_ml << '\n' << "warnings = " << warnings << '\n';
  if (!file.flush()) {
    throw std::runtime_error("the output parameters cannot be written to " + given.return_file);
  }
}

void segment(const arguments& given) {
  spinect::cancel cancel = spinect::cancel::create();
  stop_request = cancel.get();
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);

  const auto begin = std::chrono::steady_clock::now();
  std::printf("<filter-start><filter-name>%s</filter-name><filter-comment>reading</filter-comment></filter-start>\n", module_name);
  std::fflush(stdout);
  spinect::session_config config;
  config.device = given.device;
  config.threads = given.threads;
  auto session = spinect::session::create(config);
  session.load_weights(given.model);
  if (!given.points.empty()) {
    session.find_label(given.structure); // a name that the model does not know ends this before the work
  }
  const auto image = spinect::image::read(given.input);
  const spinect::volume volume = image.view();

  spinect::run run;
  run.cancel = &cancel;
  run.progress = progress();
  if (given.region) {
    run.roi = in_world_of(*volume.get(), *given.region);
  }
  auto segmentation = session.segment(volume, run);
  segmentation.write(given.output);

  const std::vector<spinect_label> table = segmentation.label_table();
  tell_labels(table);
  const auto named = std::find_if(table.begin(), table.end(), [&](const spinect_label& label) { return given.structure == label.name; });
  double distance = std::numeric_limits<double>::quiet_NaN();
  if (!given.points.empty() && named != table.end()) {
    distance = tell_distances(segmentation, *named, given.points);
  }
  const std::string warnings = tell_warnings(segmentation.provenance().warnings);
  write_return_file(given, distance, named == table.end() ? 0 : named->volume_mm3 / 1000, warnings);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("<filter-end><filter-name>%s</filter-name><filter-time>%.3f</filter-time></filter-end>\n", module_name, seconds);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

constexpr const char* usage = "usage: SpinectSegmentation --model MODEL.safetensors [--region R,A,S,HALF_R,HALF_A,HALF_S] [--point R,A,S]... "
                              "[--structure NAME] [--device auto|cpu|cuda] [--threads N] INPUT OUTPUT.seg.nrrd\n";

} // namespace

int main(int argc, char** argv) {
  try {
    const arguments given = parse(std::vector<std::string>(argv + 1, argv + argc));
    if (given.xml) {
      std::fputs(description(spinect::version()).c_str(), stdout);
    } else if (given.help) {
      std::fputs(usage, stdout);
    } else {
      segment(given);
    }
    return 0;
  } catch (const usage_error& error) {
    std::fprintf(stderr, "error: %s\n%s", error.what(), usage);
    return 2;
  } catch (const spinect::error& error) {
    std::fprintf(stderr, "error: %s (%s)\n", error.what(), error.name());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}
