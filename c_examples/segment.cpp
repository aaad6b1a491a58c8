/// segment MODEL INPUT.nii.gz OUTPUT.nii.gz: segment.c in C++. Handles free themselves, failures are exceptions.
///
/// After `cargo build --release`, in the repository's root:
///   shared:  ln -sf libspinect.so target/release/libspinect.so.1   (the name that programs ask for; installing makes it)
///            c++ -std=c++17 -Iinclude c_examples/segment.cpp -Ltarget/release -lspinect -Wl,-rpath,"$PWD/target/release" -o segment
///   static:  c++ -std=c++17 -Iinclude c_examples/segment.cpp target/release/libspinect.a -lpthread -ldl -lm -o segment
/// Once it is installed:
///            c++ -std=c++17 segment.cpp $(pkg-config --cflags --libs spinect) -o segment
#include <cstdio>
#include <exception>

#include "spinect.hpp"

namespace {

struct warning_text {
  std::uint64_t bit;
  const char* text;
};

constexpr warning_text warning_texts[] = {
    {SPINECT_WARNING_MODEL_NOT_CLINICAL, "the model is a demonstration or untrained: this result means NOTHING for a patient"},
    {SPINECT_WARNING_STRUCTURE_CUT, "a structure touches the border of the field of view"},
    {SPINECT_WARNING_STRUCTURE_ABSENT, "a structure that the model knows was not found"},
    {SPINECT_WARNING_SPACING, "the spacing is outside what the model was trained for"},
    {SPINECT_WARNING_INTENSITY, "metal, truncation, or not Hounsfield units"},
    {SPINECT_WARNING_LOW_CONFIDENCE, "the confidence is low"},
    {SPINECT_WARNING_FRAGMENTED, "a structure is in more pieces than it has"},
    {SPINECT_WARNING_SHEARED, "the volume is sheared (gantry tilt)"},
};

void print_result(const spinect::segmentation& segmentation) {
  std::printf("label  name                    voxels  volume/ml  confidence\n");
  for (const spinect_label& label : segmentation.label_table()) {
    std::printf("%5d  %-16s  %12llu  %9.2f  %10.3f\n", static_cast<int>(label.value), label.name,
                static_cast<unsigned long long>(label.voxels), label.volume_mm3 / 1000, label.mean_confidence);
  }
  const spinect_timings timings = segmentation.timings();
  std::printf("%.3f s: prepare %.3f, network %.3f (%llu of %llu windows), combine %.3f, restore %.3f\n", timings.total, timings.prepare,
              timings.network, static_cast<unsigned long long>(timings.windows_computed),
              static_cast<unsigned long long>(timings.windows), timings.combine, timings.restore);
  const std::uint64_t warnings = segmentation.provenance().warnings;
  for (const warning_text& warning : warning_texts) {
    if ((warnings & warning.bit) != 0) {
      std::printf("WARNING: %s\n", warning.text);
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s MODEL INPUT.nii.gz OUTPUT.nii.gz\n", argv[0]);
    return 2;
  }
  try {
    auto session = spinect::session::create();
    session.load_weights(argv[1]);
    const auto image = spinect::image::read(argv[2]);
    spinect::run run;
    run.progress = [](double fraction, const char* stage) {
      std::fprintf(stderr, "%-8s %3.0f %%%c", stage, 100 * fraction, fraction < 1 ? '\r' : '\n');
      return spinect::flow::proceed;
    };
    const auto segmentation = session.segment(image.view(), run);
    print_result(segmentation);
    segmentation.write(argv[3]);
    return 0;
  } catch (const spinect::error& error) {
    std::fprintf(stderr, "error: %s (%s)\n", error.what(), error.name());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}
