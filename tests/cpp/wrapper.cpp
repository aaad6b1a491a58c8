// A client of spinect.hpp, run by tests/cpp_header.rs: `wrapper SCENARIO MODEL SCRATCH_FOLDER`. Prints every check that fails.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "spinect.hpp"

namespace {

int failures = 0;

void check(bool holds, const char* what, int line) {
  if (!holds) {
    ++failures;
    std::printf("line %d: not so: %s\n", line, what);
  }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

/// The status of the spinect::error that `action` throws; SPINECT_OK if it throws none.
template <typename Action> spinect_status status_of(Action action) {
  try {
    action();
  } catch (const spinect::error& error) {
    CHECK(std::strlen(error.what()) >= 8);
    CHECK(std::strcmp(error.name(), spinect_status_name(error.status())) == 0);
    return error.status();
  }
  return SPINECT_OK;
}

template <typename Handle> constexpr bool moves_and_does_not_copy() {
  return std::is_nothrow_move_constructible_v<Handle> && std::is_nothrow_move_assignable_v<Handle> &&
         !std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle>;
}
static_assert(moves_and_does_not_copy<spinect::session>());
static_assert(moves_and_does_not_copy<spinect::image>());
static_assert(moves_and_does_not_copy<spinect::cancel>());
static_assert(moves_and_does_not_copy<spinect::segmentation>());
static_assert(moves_and_does_not_copy<spinect::surface>());
static_assert(std::is_base_of_v<std::runtime_error, spinect::error>);

const std::array<std::uint64_t, 3> dims{40, 36, 20};
const std::array<double, 16> affine{-1, 0, 0, 20, 0, -1, 0, 18, 0, 0, 1.5, -30, 0, 0, 0, 1}; // i left, j posterior, k up

/// Voxels of which no two windows are alike, in Hounsfield units.
std::vector<std::int16_t> voxels() {
  std::vector<std::int16_t> result(40 * 36 * 20);
  std::uint32_t state = 1;
  for (std::int16_t& voxel : result) {
    state = state * 1664525 + 1013904223;
    voxel = static_cast<std::int16_t>(static_cast<int>(state >> 24) - 100);
  }
  return result;
}

void the_library_says_what_it_is() {
  CHECK(spinect::abi_version() == SPINECT_ABI_VERSION);
  CHECK(spinect::version() == spinect_version());
  CHECK(!spinect::build_info().empty());
  CHECK(spinect::status_name(SPINECT_ERROR_BUSY).find("BUSY") != std::string::npos);
  spinect::thread_prepare();
}

void an_error_carries_status_and_message(const std::string& scratch) {
  auto session = spinect::session::create();
  const std::string missing = scratch + "/no-such-model.safetensors";
  try {
    session.load_weights(missing);
    CHECK(false); // a missing model must not load
  } catch (const spinect::error& error) {
    CHECK(error.status() == SPINECT_ERROR_IO);
    CHECK(std::string(error.what()).find("no-such-model.safetensors") != std::string::npos);
    CHECK(spinect::last_error() == error.what());
  }
  CHECK(status_of([&] { (void)session.model_info(); }) == SPINECT_ERROR_NO_MODEL);
  CHECK(status_of([&] { session.load_weights("x", 1); }) == SPINECT_ERROR_INVALID_MODEL);
  CHECK(status_of([&] { (void)spinect::image::read(scratch + "/no-such-image.nii.gz"); }) == SPINECT_ERROR_IO);
}

void a_moved_from_handle_is_empty() {
  auto first = spinect::session::create();
  auto second = std::move(first);
  CHECK(second && second.get() != nullptr);
  CHECK(!first && first.get() == nullptr); // NOLINT: the moved-from state is what is tested
  CHECK(status_of([&] { (void)first.model_info(); }) == SPINECT_ERROR_NULL_ARGUMENT);
  CHECK(status_of([&] { (void)second.model_info(); }) == SPINECT_ERROR_NO_MODEL);
  first = std::move(second);
  CHECK(status_of([&] { (void)first.model_info(); }) == SPINECT_ERROR_NO_MODEL);

  auto cancel = spinect::cancel::create();
  const auto taken = std::move(cancel);
  cancel.set(); // on an empty handle: nothing
  spinect::run run;
  run.cancel = &cancel;
  const auto input = voxels();
  const auto volume = spinect::view(input.data(), dims, affine, spinect::world::ras);
  CHECK(status_of([&] { (void)first.segment(volume, run); }) == SPINECT_ERROR_NULL_ARGUMENT);

  spinect_session* given_away = first.release();
  CHECK(given_away != nullptr && !first);
  first = spinect::session(given_away);
  CHECK(first.get() == given_away);
}

void a_view_describes_its_volume() {
  const auto input = voxels();
  const auto volume = spinect::view(input.data(), dims, affine, spinect::world::ras);
  CHECK(volume.get()->voxel_type == SPINECT_VOXEL_INT16 && volume.size() == input.size());
  const auto info = volume.check();
  CHECK(std::string(info.orientation) == "LPS");
  CHECK(info.spacing_mm[0] == 1 && info.spacing_mm[1] == 1 && info.spacing_mm[2] == 1.5);
  CHECK(status_of([&] { (void)volume.with_rescale(0, -1024).check(); }) == SPINECT_ERROR_INVALID_ARGUMENT);
  const auto shape = spinect::view<float>(nullptr, dims, affine, spinect::world::lps);
  CHECK(shape.get()->voxel_type == SPINECT_VOXEL_FLOAT32 && std::string(shape.check().orientation) == "RAS");
  const std::array<double, 16> flat{};
  CHECK(status_of([&] { (void)spinect::view(input.data(), dims, flat, spinect::world::ras).check(); }) == SPINECT_ERROR_INVALID_GEOMETRY);
}

void an_exception_in_the_progress_callback_comes_back(spinect::session& session, const spinect::volume& volume) {
  const std::vector<std::uint8_t> untouched(volume.size(), 77);
  for (const double until : {0.0, 0.5, 1.0}) {
    std::vector<std::uint8_t> labels = untouched;
    int calls_after = 0;
    bool thrown = false;
    spinect::run run;
    run.progress = [&](double fraction, const char* stage) -> spinect::flow {
      calls_after += thrown ? 1 : 0;
      CHECK(stage != nullptr && fraction >= 0 && fraction <= 1);
      if (fraction >= until && !thrown) {
        thrown = true;
        throw std::out_of_range("from the callback");
      }
      return spinect::flow::proceed;
    };
    bool came_back = false;
    try {
      session.segment_into(volume, labels.data(), labels.size(), run);
    } catch (const std::out_of_range& exception) {
      came_back = std::string(exception.what()) == "from the callback";
    }
    CHECK(thrown && came_back && calls_after == 0);
    CHECK(labels == untouched);
  }
  CHECK(status_of([&] { (void)session.segment(volume); }) == SPINECT_OK);
}

void a_run_stops_when_asked(spinect::session& session, const spinect::volume& volume) {
  spinect::run run;
  run.progress = [](double, const char*) { return spinect::flow::stop; };
  CHECK(status_of([&] { (void)session.segment(volume, run); }) == SPINECT_ERROR_CANCELLED);

  auto cancel = spinect::cancel::create();
  cancel.set();
  run = {};
  run.cancel = &cancel;
  CHECK(status_of([&] { (void)session.segment(volume, run); }) == SPINECT_ERROR_CANCELLED);
  cancel.reset();
  CHECK(status_of([&] { (void)session.segment(volume, run); }) == SPINECT_OK);

  run = {};
  run.deadline_seconds = 1e-9;
  CHECK(status_of([&] { (void)session.segment(volume, run); }) == SPINECT_ERROR_DEADLINE);
}

void every_way_to_segment_gives_the_same_labels(spinect::session& session, const std::vector<std::int16_t>& input) {
  const auto volume = spinect::view(input.data(), dims, affine, spinect::world::ras);
  const auto estimate = session.estimate_memory(volume);
  CHECK(estimate.host_bytes > volume.size());
  session.prepare(volume);
  const auto segmentation = session.segment(volume);
  const std::vector<std::uint8_t> expected(segmentation.labels().begin(), segmentation.labels().end());
  CHECK(expected.size() == volume.size());
  CHECK(session.progress() == 1);

  std::vector<std::uint8_t> labels(volume.size());
  const std::uint64_t warnings = session.segment_into(volume, labels.data(), labels.size());
  CHECK(labels == expected);
  CHECK(warnings == segmentation.provenance().warnings && (warnings & SPINECT_WARNING_MODEL_NOT_CLINICAL) != 0);
  CHECK(status_of([&] { session.segment_into(volume, labels.data(), labels.size() - 1); }) == SPINECT_ERROR_BUFFER_TOO_SMALL);

  auto again = session.reserve(volume);
  session.segment_again(volume, again);
  CHECK(std::equal(expected.begin(), expected.end(), again.labels().begin(), again.labels().end()));

  // The same volume seen through strides and a rescale: every second element, 1000 above.
  std::vector<std::int16_t> spread(2 * input.size());
  for (std::size_t n = 0; n < input.size(); ++n) {
    spread[2 * n] = static_cast<std::int16_t>(input[n] + 1000);
  }
  const auto strided = spinect::view(spread.data(), dims, affine, spinect::world::ras).with_strides({4, 160, 5760}).with_rescale(1, -1000);
  const auto from_strided = session.segment(strided);
  CHECK(std::equal(expected.begin(), expected.end(), from_strided.labels().begin(), from_strided.labels().end()));

  // All of the volume as the region of interest.
  spinect::run run;
  run.roi = spinect::region{{-100, -100, -100}, {100, 100, 100}};
  run.all_windows = true;
  const auto whole_region = session.segment(volume, run);
  CHECK(std::equal(expected.begin(), expected.end(), whole_region.labels().begin(), whole_region.labels().end()));
  CHECK(whole_region.timings().windows == segmentation.timings().windows);
  CHECK(whole_region.timings().windows_computed == whole_region.timings().windows);
}

void a_result_describes_itself(spinect::session& session, const spinect::volume& volume) {
  const auto segmentation = session.segment(volume);
  const auto model = session.model_info();
  CHECK(model.classes == 3 && model.parameters > 0 && std::strlen(model.sha256) == 64);
  CHECK(std::string(segmentation.provenance().model_sha256) == model.sha256);

  const auto table = segmentation.label_table();
  CHECK(table.size() == 3 && segmentation.label_count() == 3);
  std::uint64_t voxels_in_table = 0;
  for (const spinect_label& label : table) {
    voxels_in_table += label.voxels;
    CHECK(session.find_label(label.name) == label.value);
    const auto labels = segmentation.labels();
    CHECK(static_cast<std::uint64_t>(std::count(labels.begin(), labels.end(), label.value)) == label.voxels);
  }
  CHECK(voxels_in_table == volume.size());
  CHECK(session.find_label("nerve") == 2);
  CHECK(status_of([&] { (void)session.find_label("antler"); }) == SPINECT_ERROR_UNKNOWN_LABEL);
  CHECK(status_of([&] { (void)segmentation.label(3); }) == SPINECT_ERROR_INVALID_ARGUMENT);

  const auto place = segmentation.geometry();
  CHECK(place.dims == dims && place.ijk_to_world == affine && place.space == spinect::world::ras);
  const auto confidence = segmentation.confidence();
  CHECK(confidence.size() == volume.size());
  CHECK(std::all_of(confidence.begin(), confidence.end(), [](float c) { return c > 0 && c <= 1; }));
  const auto timings = segmentation.timings();
  CHECK(timings.windows >= 1 && timings.total > 0);

  // The center of voxel (7, 9, 3), in both worlds; and a point far outside.
  const std::size_t voxel = 7 + 40 * (9 + 36 * 3);
  const auto sample = segmentation.at(spinect::world::ras, {13, 9, -25.5});
  CHECK(sample.label == segmentation.labels()[voxel] && sample.confidence == static_cast<double>(confidence[voxel]));
  CHECK(segmentation.at(spinect::world::lps, {-13, -9, -25.5}).label == sample.label);
  auto outside = spinect::sized<spinect_sample>();
  CHECK(segmentation.at(spinect::world::lps, {1000, 0, 0}, outside) == SPINECT_ERROR_NOT_EXAMINED);
  CHECK(outside.label == 0 && outside.confidence == 0);
  CHECK(status_of([&] { (void)segmentation.at(spinect::world::lps, {1000, 0, 0}); }) == SPINECT_ERROR_NOT_EXAMINED);
}

/// A label map with a box of nerve in the middle: voxels 10 to 19 along each axis.
spinect::segmentation box_of_nerve() {
  std::vector<std::uint8_t> labels(40 * 36 * 20);
  for (std::size_t k = 10; k < 20; ++k) {
    for (std::size_t j = 10; j < 20; ++j) {
      for (std::size_t i = 10; i < 20; ++i) {
        labels[i + 40 * (j + 36 * k)] = 2;
      }
    }
  }
  std::vector<spinect_label> table(3, spinect::sized<spinect_label>());
  const char* names[] = {"background", "bone", "nerve"};
  for (std::size_t n = 0; n < 3; ++n) {
    table[n].value = static_cast<std::int32_t>(n);
    std::snprintf(table[n].name, sizeof table[n].name, "%s", names[n]);
  }
  const std::array<double, 16> unit{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  return spinect::segmentation::from_labels(spinect::view(labels.data(), dims, unit, spinect::world::lps), table);
}

void a_label_map_is_read_back(const std::string& scratch) {
  const auto segmentation = box_of_nerve();
  const std::string path = scratch + "/box-of-nerve.nii.gz";
  segmentation.write(path);
  segmentation.write(scratch + "/box-of-nerve.seg.nrrd");
  CHECK(std::string(spinect::segmentation::read(scratch + "/box-of-nerve.seg.nrrd").label(1).name) != "");
  const auto reread = spinect::segmentation::read(path);
  CHECK(std::equal(segmentation.labels().begin(), segmentation.labels().end(), reread.labels().begin(), reread.labels().end()));
  CHECK(status_of([&] { (void)spinect::segmentation::read(scratch + "/no-such-image.nii.gz"); }) == SPINECT_ERROR_IO);
}

void a_reviewed_label_map_answers_queries() {
  auto segmentation = box_of_nerve();
  const spinect::point inside{14, 14, 14};
  const spinect::point beside{24.5, 14, 14}; // the box ends at 19.5
  CHECK(segmentation.at(spinect::world::lps, inside).label == 2);
  CHECK(segmentation.at(spinect::world::ras, {-14, -14, 14}).label == 2);
  auto distance = spinect::sized<spinect_distance>();
  CHECK(segmentation.distance(2, spinect::world::lps, beside, distance) == SPINECT_ERROR_NOT_PREPARED);
  segmentation.prepare_queries(2);
  CHECK(segmentation.distance(2, spinect::world::lps, beside, distance) == SPINECT_OK);
  CHECK(std::abs(distance.distance_mm - 5) < 1e-9 && std::abs(distance.nearest[0] - 19.5) < 1e-9);
  CHECK(segmentation.distance(2, spinect::world::lps, inside).distance_mm < 0);
  const auto clearance = segmentation.clearance(2, spinect::world::lps, beside, {34.5, 14, 14}, 2);
  CHECK(clearance.crosses == 0 && std::abs(clearance.distance_mm - 3) < 1e-9);

  // Needles that come down beside the box and through it, and how far the second may go.
  const spinect::tool needles[] = {{{24.5, 14, 60}, {24.5, 14, 0}, 1}, {{14, 14, 60}, {14, 14, 0}, 1}};
  const auto clearances = segmentation.clearances(2, spinect::world::lps, {needles, 2});
  CHECK(clearances.size() == 2 && std::abs(clearances[0].distance_mm - 4) < 1e-9 && clearances[0].crosses == 0);
  CHECK(clearances[1].crosses == 1 && std::abs(clearances[1].length_inside_mm - 10) < 1e-9);
  CHECK(segmentation.corridor(2, spinect::world::lps, needles[0], 3).violated == 0);
  const auto corridor = segmentation.corridor(2, spinect::world::lps, needles[1], 3);
  CHECK(corridor.violated == 1 && std::abs(corridor.along_mm - (60 - 19.5 - 4)) < 1e-6);
  // The needle starts above the volume, where nothing was examined.
  CHECK(corridor.unexamined_mm < 0);
  // One piece stays as it is; less than its volume does not.
  CHECK(segmentation.clean(2, 1) == 0 && segmentation.distance(2, spinect::world::lps, beside).distance_mm > 0);
  CHECK(status_of([&] { (void)segmentation.clean(0, 1); }) == SPINECT_ERROR_INVALID_ARGUMENT);
  CHECK(segmentation.clean(2, 1, 1000.5) == 1000 && segmentation.label(2).voxels == 0);
  CHECK(segmentation.distance(2, spinect::world::lps, beside, distance) == SPINECT_ERROR_NOT_PREPARED);
  segmentation = box_of_nerve();
  segmentation.prepare_queries(2);
  CHECK(status_of([&] { (void)segmentation.corridor(2, spinect::world::lps, needles[1], -1); }) == SPINECT_ERROR_INVALID_ARGUMENT);
}

void a_surface_encloses_its_label(const std::string& scratch) {
  const auto segmentation = box_of_nerve();
  spinect::surface_config config;
  config.space = spinect::world::lps;
  const auto surface = segmentation.surface(2, config);
  CHECK(surface.points().size() >= 3 * 8 && surface.triangles().size() >= 3 * 12);
  for (const double coordinate : surface.points()) {
    CHECK(coordinate > 8.4 && coordinate < 20.6);
  }
  // Six times the volume is the sum over the triangles of the products of their corners; positive if they face outwards.
  const auto points = surface.points();
  const auto triangles = surface.triangles();
  double volume = 0;
  for (std::size_t n = 0; n < triangles.size(); n += 3) {
    const double* a = points.data() + 3 * triangles[n];
    const double* b = points.data() + 3 * triangles[n + 1];
    const double* c = points.data() + 3 * triangles[n + 2];
    volume += (a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])) / 6;
  }
  CHECK(std::abs(volume - 1000) < 1e-6);
  for (const char* name : {"/box.stl", "/box.obj", "/box.ply", "/box.vtp"}) {
    surface.write(scratch + name);
  }
  CHECK(status_of([&] { surface.write(scratch + "/box.docx"); }) == SPINECT_ERROR_UNSUPPORTED_FORMAT);
  CHECK(status_of([&] { (void)segmentation.surface(1, config); }) == SPINECT_ERROR_LABEL_ABSENT);
  config.reduction = 1;
  CHECK(status_of([&] { (void)segmentation.surface(2, config); }) == SPINECT_ERROR_INVALID_ARGUMENT);
}

/// Runs a scenario that needs a session with the model.
template <typename Scenario> void with_session(const std::string& model, Scenario scenario) {
  const auto input = voxels();
  auto session = spinect::session::create();
  session.load_weights(model);
  scenario(session, input);
}

/// Runs the scenario of that name; whether there is one.
bool run_scenario(const std::string& name, const std::string& model, const std::string& scratch) {
  const auto with_volume = [&](void (*scenario)(spinect::session&, const spinect::volume&)) {
    with_session(model, [&](spinect::session& session, const std::vector<std::int16_t>& input) {
      scenario(session, spinect::view(input.data(), dims, affine, spinect::world::ras));
    });
    return true;
  };
  if (name == "library") return the_library_says_what_it_is(), true;
  if (name == "errors") return an_error_carries_status_and_message(scratch), true;
  if (name == "handles") return a_moved_from_handle_is_empty(), true;
  if (name == "views") return a_view_describes_its_volume(), true;
  if (name == "segment") return with_session(model, every_way_to_segment_gives_the_same_labels), true;
  if (name == "exceptions") return with_volume(an_exception_in_the_progress_callback_comes_back);
  if (name == "stopping") return with_volume(a_run_stops_when_asked);
  if (name == "results") return with_volume(a_result_describes_itself);
  if (name == "queries") return a_reviewed_label_map_answers_queries(), true;
  if (name == "reading") return a_label_map_is_read_back(scratch), true;
  if (name == "surfaces") return a_surface_encloses_its_label(scratch), true;
  return false;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::printf("usage: wrapper SCENARIO MODEL SCRATCH_FOLDER\n");
    return 2;
  }
  try {
    CHECK(run_scenario(argv[1], argv[2], argv[3]));
  } catch (const spinect::error& error) {
    std::printf("not expected: %s (%s)\n", error.what(), error.name());
    return 1;
  } catch (const std::exception& exception) {
    std::printf("not expected: %s\n", exception.what());
    return 1;
  }
  std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
