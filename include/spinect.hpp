/// @file spinect.hpp
/// @brief The C++17 face of the C ABI in spinect.h: handles that free themselves, failures as exceptions.
///
/// Header only; it calls nothing but spinect.h, whose documentation holds for everything here: units (mm, s), shapes,
/// which threads may call, and which statuses a call can end with. What this header adds:
///
/// - A handle owns one object of the C ABI and frees it. Handles move and do not copy. `get()` lends the C handle,
///   `release()` gives it away, and the explicit constructor takes one over. A moved-from handle is empty: using it
///   throws `error` with SPINECT_ERROR_NULL_ARGUMENT.
/// - Every status other than SPINECT_OK is thrown as `error`. Throwing allocates, so `at`, `distance` and `clearance`
///   also come as overloads that return the status and are noexcept: those are for real-time threads.
/// - The plain structs are those of spinect.h. `sized<T>()` makes one that is zero with its `struct_size` set.
///
/// Paths are UTF-8.
#ifndef SPINECT_HPP
#define SPINECT_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "spinect.h"

namespace spinect {

// ------------------------------------------------------------------------------------------------ library and errors

/// The library's version, for example "0.1.0".
inline std::string version() { return spinect_version(); }
/// The version of the C ABI that the library implements; this header needs SPINECT_ABI_VERSION.
inline std::uint32_t abi_version() noexcept { return spinect_abi_version(); }
/// Features, commit, target and the instruction set in use.
inline std::string build_info() { return spinect_build_info(); }
/// The name of a status, for example "BUSY".
inline std::string status_name(spinect_status status) { return spinect_status_name(status); }
/// This thread's last failure in words.
inline std::string last_error() {
  std::string message(spinect_last_error(nullptr, 0) + 1, '\0'); // and the closing NUL
  spinect_last_error(message.data(), message.size());
  return message.c_str();
}

/// A failed call: `what()` says what is wrong and what to do.
class error : public std::runtime_error {
public:
  /// A failure with the given status and message.
  error(spinect_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  /// The status that the C function returned, one of SPINECT_ERROR_*.
  spinect_status status() const noexcept { return status_; }
  /// The status's name; the text is the library's and lives as long as it does.
  const char* name() const noexcept { return spinect_status_name(status_); }

private:
  spinect_status status_;
};

/// Throws this thread's last failure unless the status is SPINECT_OK. For calls of the C ABI beside this header.
inline void check(spinect_status status) {
  if (status != SPINECT_OK) {
    throw error(status, last_error());
  }
}

/// Touches this thread's storage in the library, so that no later call allocates for it.
inline void thread_prepare() { check(spinect_thread_prepare()); }

/// A struct of the C ABI, all zero, with its `struct_size` set.
template <typename Struct> Struct sized() noexcept {
  Struct value{};
  value.struct_size = static_cast<std::uint32_t>(sizeof(Struct));
  return value;
}

/// A position in mm; in which world, the call says.
using point = std::array<double, 3>;

/// The world that coordinates are written in. Left and right are never guessed.
enum class world : std::int32_t {
  ras = SPINECT_WORLD_RAS, ///< Right, Anterior, Superior: 3D Slicer, NIfTI.
  lps = SPINECT_WORLD_LPS, ///< Left, Posterior, Superior: ITK, DICOM.
};

/// What owns an object of the C ABI and frees it. The base of the handles below.
template <typename Object, void (*Free)(Object*)> class handle {
public:
  /// An empty handle.
  handle() noexcept = default;
  /// Takes over an object of the C ABI.
  explicit handle(Object* object) noexcept : object_(object) {}
  /// The C handle, still owned by this; NULL if this is empty.
  Object* get() noexcept { return object_.get(); }
  /// The C handle, still owned by this; NULL if this is empty.
  const Object* get() const noexcept { return object_.get(); }
  /// Gives the C handle away: the caller frees it.
  Object* release() noexcept { return object_.release(); }
  /// Whether this owns an object.
  explicit operator bool() const noexcept { return object_ != nullptr; }

private:
  struct deleter {
    void operator()(Object* object) const noexcept { Free(object); }
  };
  std::unique_ptr<Object, deleter> object_;
};

// ----------------------------------------------------------------------------------------------------------- volumes

/// The SPINECT_VOXEL_* constant of a C++ type; other types do not compile.
template <typename Voxel> struct voxel_type;
/// 8 bits, signed.
template <> struct voxel_type<std::int8_t> : std::integral_constant<std::int32_t, SPINECT_VOXEL_INT8> {};
/// 8 bits, unsigned.
template <> struct voxel_type<std::uint8_t> : std::integral_constant<std::int32_t, SPINECT_VOXEL_UINT8> {};
/// 16 bits, signed: what CT usually is.
template <> struct voxel_type<std::int16_t> : std::integral_constant<std::int32_t, SPINECT_VOXEL_INT16> {};
/// 16 bits, unsigned.
template <> struct voxel_type<std::uint16_t> : std::integral_constant<std::int32_t, SPINECT_VOXEL_UINT16> {};
/// 32 bits, signed.
template <> struct voxel_type<std::int32_t> : std::integral_constant<std::int32_t, SPINECT_VOXEL_INT32> {};
/// 32 bits, IEEE 754.
template <> struct voxel_type<float> : std::integral_constant<std::int32_t, SPINECT_VOXEL_FLOAT32> {};
/// 64 bits, IEEE 754.
template <> struct voxel_type<double> : std::integral_constant<std::int32_t, SPINECT_VOXEL_FLOAT64> {};

/// A borrowed view of voxels and where they lie: whoever makes it keeps the voxels alive and unchanged.
class volume {
public:
  /// A view as the C ABI writes it.
  explicit volume(const spinect_volume& view) noexcept : view_(view) {}
  /// The same voxels, where stored number · slope + intercept = Hounsfield units. Without this they are Hounsfield units.
  [[nodiscard]] volume with_rescale(double slope, double intercept) const noexcept {
    volume result = *this;
    result.view_.rescale_slope = slope;
    result.view_.rescale_intercept = intercept;
    return result;
  }
  /// The same with these bytes from a voxel to its neighbor along i, j, k; may be negative. Without this the voxels are
  /// packed, i fastest.
  [[nodiscard]] volume with_strides(const std::array<std::int64_t, 3>& bytes) const noexcept {
    volume result = *this;
    std::copy(bytes.begin(), bytes.end(), result.view_.strides);
    return result;
  }
  /// The same with voxels in this memory: SPINECT_MEMORY_HOST (also without this) or SPINECT_MEMORY_CUDA.
  [[nodiscard]] volume with_memory(std::int32_t memory) const noexcept {
    volume result = *this;
    result.view_.memory = memory;
    return result;
  }
  /// The C struct, as long as this lives.
  const spinect_volume* get() const noexcept { return &view_; }
  /// The number of voxels.
  std::size_t size() const noexcept {
    return static_cast<std::size_t>(view_.dims[0] * view_.dims[1] * view_.dims[2]);
  }
  /// Orientation, spacing and warnings, without segmenting anything.
  spinect_volume_info check() const {
    auto info = sized<spinect_volume_info>();
    spinect::check(spinect_volume_check(&view_, &info));
    return info;
  }

private:
  spinect_volume view_;
};

/// A view of packed voxels (i fastest) that are Hounsfield units; `with_rescale` and `with_strides` change that.
///
/// `voxels` may be null where only the shape matters: `view<std::int16_t>(nullptr, …)`. `ijk_to_world` is row major and
/// maps the index of a voxel's center to mm in `space`.
template <typename Voxel>
volume view(const Voxel* voxels, const std::array<std::uint64_t, 3>& dims, const std::array<double, 16>& ijk_to_world,
            world space) noexcept {
  auto c = sized<spinect_volume>();
  c.voxel_type = voxel_type<Voxel>::value;
  c.voxels = voxels;
  std::copy(dims.begin(), dims.end(), c.dims);
  std::copy(ijk_to_world.begin(), ijk_to_world.end(), c.ijk_to_world);
  c.world = static_cast<std::int32_t>(space);
  return volume(c);
}

/// Which transform of a file places its voxels.
enum class geometry_choice : std::int32_t {
  strict = SPINECT_GEOMETRY_STRICT, ///< By the method's rule; two that disagree are an error.
  sform = SPINECT_GEOMETRY_SFORM,   ///< The sform.
  qform = SPINECT_GEOMETRY_QFORM,   ///< The qform.
};

/// How an image file is read.
struct image_config {
  geometry_choice geometry = geometry_choice::strict; ///< Which transform places the voxels.
  std::uint64_t memory_limit = 0;                     ///< Bytes that reading may take; 0: no limit.
};

/// An image that was read from a file; it owns its voxels.
class image : public handle<spinect_image, spinect_image_free> {
public:
  using handle::handle;
  /// Reads a file, or a folder with one DICOM series.
  static image read(const std::string& path, const image_config& config = {}) {
    const auto c = raw(config);
    spinect_image* object = nullptr;
    check(spinect_image_read(path.c_str(), &c, &object));
    return image(object);
  }
  /// Reads the DICOM series in these files, in any order, or in the one folder; of several series, the one of this UID.
  static image read_series(const std::vector<std::string>& files, const std::string& series_uid = {}, const image_config& config = {}) {
    const auto c = raw(config);
    std::vector<const char*> names(files.size());
    std::transform(files.begin(), files.end(), names.begin(), [](const std::string& file) { return file.c_str(); });
    spinect_image* object = nullptr;
    const char* const none = nullptr; // an empty vector's data() may be null, which is another mistake
    check(spinect_image_read_series(names.empty() ? &none : names.data(), names.size(), series_uid.empty() ? nullptr : series_uid.c_str(), &c,
                                    &object));
    return image(object);
  }
  /// A view of the voxels, valid while this image lives.
  volume view() const& {
    auto c = sized<spinect_volume>();
    check(spinect_image_view(get(), &c));
    return volume(c);
  }
  volume view() const&& = delete; // the view would outlive its image

private:
  static spinect_image_config raw(const image_config& config) noexcept {
    auto c = sized<spinect_image_config>();
    c.geometry = static_cast<std::int32_t>(config.geometry);
    c.memory_limit = config.memory_limit;
    return c;
  }
};

// ---------------------------------------------------------------------------------------------------- segmentations

/// Where a segmentation lies: the geometry of the volume it came from, bit by bit.
struct geometry {
  std::array<std::uint64_t, 3> dims{};     ///< Voxels along i, j, k.
  std::array<double, 16> ijk_to_world{};   ///< Index of a voxel's center to mm, row major.
  spinect::world space = world::ras;       ///< The world that the affine leads to.
};

/// A borrowed run of elements: `for (auto label : segmentation.labels())`.
template <typename Element> class span {
public:
  /// The elements from `data` on.
  span(const Element* data, std::size_t size) noexcept : data_(data), size_(size) {}
  const Element* data() const noexcept { return data_; }          ///< The first element.
  std::size_t size() const noexcept { return size_; }             ///< The number of elements.
  const Element* begin() const noexcept { return data_; }         ///< The first element.
  const Element* end() const noexcept { return data_ + size_; }   ///< One past the last element.
  /// The element at `index`, which must be below `size()`.
  const Element& operator[](std::size_t index) const noexcept { return data_[index]; }

private:
  const Element* data_;
  std::size_t size_;
};

/// A tool: a capsule, that is a cylinder with spherical ends, in mm.
struct tool {
  point from;
  point to;
  double radius_mm = 0;

  [[nodiscard]] spinect_tool raw() const noexcept {
    auto t = sized<spinect_tool>();
    std::copy(from.begin(), from.end(), t.from);
    std::copy(to.begin(), to.end(), t.to);
    t.radius_mm = radius_mm;
    return t;
  }
};

/// A triangle mesh of one label's surface.
class surface : public handle<spinect_surface, spinect_surface_free> {
public:
  using handle::handle;
  /// The corners' coordinates x, y, z in mm, valid while this surface lives.
  span<double> points() const& { return data().first; }
  /// Three indices of points per triangle, valid while this surface lives.
  span<std::uint32_t> triangles() const& { return data().second; }
  span<double> points() const&& = delete;           // the span would outlive its surface
  span<std::uint32_t> triangles() const&& = delete; // the span would outlive its surface
  /// Writes the mesh; the name's ending says the format.
  void write(const std::string& path) const { check(spinect_surface_write(get(), path.c_str())); }

private:
  std::pair<span<double>, span<std::uint32_t>> data() const {
    const double* points = nullptr;
    const std::uint32_t* triangles = nullptr;
    std::size_t point_count = 0;
    std::size_t triangle_count = 0;
    check(spinect_surface_data(get(), &points, &point_count, &triangles, &triangle_count));
    return {{points, 3 * point_count}, {triangles, 3 * triangle_count}};
  }
};

/// How a surface is made.
struct surface_config {
  spinect::world space = world::ras; ///< The world of the points.
  double smoothing_mm = 0;           ///< How far smoothing reaches; 0: none.
  double reduction = 0;              ///< Share of the triangles to take away; 0: none.
};

/// A label map with its statistics, confidence, provenance and warnings. It outlives its session and its input.
class segmentation : public handle<spinect_segmentation, spinect_segmentation_free> {
public:
  using handle::handle;
  /// A segmentation from a reviewed, edited label map.
  static segmentation from_labels(const volume& labels, const std::vector<spinect_label>& table) {
    spinect_segmentation* object = nullptr;
    check(spinect_segmentation_from_labels(labels.get(), table.data(), table.size(), &object));
    return segmentation(object);
  }
  /// Reads a label map from a file.
  static segmentation read(const std::string& path) {
    spinect_segmentation* object = nullptr;
    check(spinect_segmentation_read(path.c_str(), &object));
    return segmentation(object);
  }
  /// Writes the label map; an existing file is replaced, and it appears whole or not at all.
  void write(const std::string& path) const { check(spinect_segmentation_write(get(), path.c_str())); }

  /// Where the label map lies.
  spinect::geometry geometry() const {
    spinect::geometry result;
    std::int32_t space = 0;
    check(spinect_segmentation_geometry(get(), result.dims.data(), result.ijk_to_world.data(), &space));
    result.space = static_cast<world>(space);
    return result;
  }
  /// The label of every voxel (packed, i fastest), valid while this segmentation lives.
  span<std::uint8_t> labels() const& {
    const std::uint8_t* data = nullptr;
    std::size_t count = 0;
    check(spinect_segmentation_labels(get(), &data, &count));
    return {data, count};
  }
  span<std::uint8_t> labels() const&& = delete; // the span would outlive its segmentation
  /// The confidence of every voxel (packed, i fastest), 0 to 1; 0 where nothing was examined.
  std::vector<float> confidence() const {
    std::vector<float> result(labels().size());
    copy_confidence(result.data(), result.size());
    return result;
  }
  /// Copies the confidence of every voxel; `capacity` counts elements.
  void copy_confidence(float* confidence, std::size_t capacity) const {
    check(spinect_segmentation_copy_confidence(get(), confidence, capacity));
  }
  /// The number of labels, background among them.
  std::size_t label_count() const noexcept { return spinect_segmentation_label_count(get()); }
  /// A label with its statistics; `index` counts from 0 to `label_count()` - 1 and is not the label's value.
  spinect_label label(std::size_t index) const {
    auto result = sized<spinect_label>();
    check(spinect_segmentation_label(get(), index, &result));
    return result;
  }
  /// Every label with its statistics.
  std::vector<spinect_label> label_table() const {
    std::vector<spinect_label> result;
    const std::size_t count = label_count();
    result.reserve(count);
    for (std::size_t index = 0; index < count; ++index) {
      result.push_back(label(index));
    }
    return result;
  }
  /// What made this result, and SPINECT_WARNING_*: what to know before relying on it.
  spinect_provenance provenance() const {
    auto result = sized<spinect_provenance>();
    check(spinect_segmentation_provenance(get(), &result));
    return result;
  }
  /// Seconds per stage of the run that made this result.
  spinect_timings timings() const {
    auto result = sized<spinect_timings>();
    check(spinect_segmentation_timings(get(), &result));
    return result;
  }

  /// Makes background of all voxels of a label that are not in its largest pieces (of at least `least_mm3`), and counts anew.
  /// Returns how many that were. No other thread may use this segmentation meanwhile; prepare queries again.
  std::uint64_t clean(std::int32_t label, std::uint64_t keep, double least_mm3 = 0) {
    std::uint64_t removed = 0;
    check(spinect_segmentation_clean(get(), label, keep, least_mm3, &removed));
    return removed;
  }

  /// Prepares distance queries for a label, once; no other thread may use this segmentation meanwhile.
  void prepare_queries(std::int32_t label) { check(spinect_segmentation_prepare_queries(get(), label)); }

  /// The label and the confidence at a point.
  spinect_sample at(world space, const point& position) const {
    auto result = sized<spinect_sample>();
    check(at(space, position, result));
    return result;
  }
  /// The same for real-time threads: no exception, no allocation. `result` must be `sized`; a failure leaves it as it is.
  [[nodiscard]] spinect_status at(world space, const point& position, spinect_sample& result) const noexcept {
    return spinect_segmentation_at(get(), static_cast<std::int32_t>(space), position.data(), &result);
  }
  /// The distance from a point to a label's surface, negative inside it.
  spinect_distance distance(std::int32_t label, world space, const point& position) const {
    auto result = sized<spinect_distance>();
    check(distance(label, space, position, result));
    return result;
  }
  /// The same for real-time threads: no exception, no allocation. `result` must be `sized`; a failure leaves it as it is.
  [[nodiscard]] spinect_status distance(std::int32_t label, world space, const point& position, spinect_distance& result) const noexcept {
    return spinect_segmentation_distance(get(), label, static_cast<std::int32_t>(space), position.data(), &result);
  }
  /// How close a tool comes to a label: a capsule around the axis `from`-`to` with spherical ends, radius in mm.
  spinect_clearance clearance(std::int32_t label, world space, const point& from, const point& to, double tool_radius_mm) const {
    auto result = sized<spinect_clearance>();
    check(clearance(label, space, from, to, tool_radius_mm, result));
    return result;
  }
  /// The same for real-time threads: no exception, no allocation. `result` must be `sized`; a failure leaves it as it is.
  [[nodiscard]] spinect_status clearance(std::int32_t label, world space, const point& from, const point& to, double tool_radius_mm,
                                         spinect_clearance& result) const noexcept {
    return spinect_segmentation_clearance(get(), label, static_cast<std::int32_t>(space), from.data(), to.data(), tool_radius_mm, &result);
  }
  /// The clearance of each of many tools, one after the other.
  std::vector<spinect_clearance> clearances(std::int32_t label, world space, span<tool> tools) const {
    std::vector<spinect_tool> raw;
    raw.reserve(tools.size());
    for (const tool& t : tools) raw.push_back(t.raw());
    std::vector<spinect_clearance> results(tools.size(), sized<spinect_clearance>());
    if (!raw.empty()) {
      const auto number = static_cast<std::int32_t>(space);
      check(spinect_segmentation_clearances(get(), label, number, raw.data(), raw.size(), results.data()));
    }
    return results;
  }

  /// Whether a tool that moves along its axis keeps a margin between its surface and a label, and where it first does not.
  spinect_corridor corridor(std::int32_t label, world space, const tool& moving, double margin_mm) const {
    auto result = sized<spinect_corridor>();
    check(corridor(label, space, moving, margin_mm, result));
    return result;
  }

  /// As above, for a loop that must not allocate: returns the status instead of throwing it.
  [[nodiscard]] spinect_status corridor(std::int32_t label, world space, const tool& moving, double margin_mm,
                                        spinect_corridor& result) const noexcept {
    const spinect_tool raw = moving.raw();
    return spinect_segmentation_corridor(get(), label, static_cast<std::int32_t>(space), &raw, margin_mm, &result);
  }

  /// A triangle mesh of a label's surface.
  spinect::surface surface(std::int32_t label, const surface_config& config = {}) const {
    auto c = sized<spinect_surface_config>();
    c.world = static_cast<std::int32_t>(config.space);
    c.smoothing_mm = config.smoothing_mm;
    c.reduction = config.reduction;
    spinect_surface* object = nullptr;
    check(spinect_segmentation_surface(get(), label, &c, &object));
    return spinect::surface(object);
  }
};

// ---------------------------------------------------------------------------------------------------------- sessions

/// A request to stop, set from any thread, any number of times; it must outlive the runs that watch it.
class cancel : public handle<spinect_cancel, spinect_cancel_free> {
public:
  using handle::handle;
  /// A request that is not set.
  static cancel create() {
    spinect_cancel* object = nullptr;
    check(spinect_cancel_create(&object));
    return cancel(object);
  }
  /// Asks every run that watches this to stop.
  void set() noexcept { spinect_cancel_set(get()); }
  /// Takes the request back.
  void reset() noexcept { spinect_cancel_reset(get()); }
};

/// What a progress callback answers; the numbers are those of the C ABI.
enum class flow : std::int32_t {
  proceed = 0, ///< Go on.
  stop = 1,    ///< Cancel the run.
};

/// Told how far a run is (0 to 1, never falling) and what it is doing, on the calling thread.
using progress_function = std::function<flow(double fraction, const char* stage)>;

/// A box in the volume's world, mm.
struct region {
  point min{}; ///< The smallest coordinates.
  point max{}; ///< The largest coordinates.
};

/// How one segmentation runs.
struct run {
  /// Only the windows that touch this box; identical there to the whole run.
  std::optional<region> roi;
  /// Compute identical windows again too: worst-case timing.
  bool all_windows = false;
  /// Stops the run from another thread; null: nothing does.
  const spinect::cancel* cancel = nullptr;
  /// Told how far the run is. An exception thrown here cancels the run and comes out of the call that runs.
  progress_function progress;
  /// The run fails with SPINECT_ERROR_DEADLINE once this has passed; 0: none.
  double deadline_seconds = 0;
};

namespace detail {
/// A progress function on its way through the C ABI, and what it threw.
struct watcher {
  const progress_function* function;
  std::exception_ptr thrown;
};

/// What the C ABI calls: no exception leaves it.
extern "C" inline std::int32_t spinect_hpp_on_progress(double fraction, const char* stage, void* user_data) noexcept {
  auto& watcher = *static_cast<detail::watcher*>(user_data);
  try {
    return static_cast<std::int32_t>((*watcher.function)(fraction, stage));
  } catch (...) {
    watcher.thrown = std::current_exception();
    return static_cast<std::int32_t>(flow::stop);
  }
}
} // namespace detail

/// Where the network runs.
enum class device : std::int32_t {
  automatic = SPINECT_DEVICE_AUTO, ///< CUDA where it works, else the CPU.
  cpu = SPINECT_DEVICE_CPU,        ///< The CPU.
  cuda = SPINECT_DEVICE_CUDA,      ///< An NVIDIA GPU.
};

/// The precision of the network's arithmetic.
enum class precision : std::int32_t {
  f32 = SPINECT_PRECISION_F32,   ///< 32-bit floating point throughout.
  f16 = SPINECT_PRECISION_F16,   ///< 16-bit inputs, 32-bit sums.
  bf16 = SPINECT_PRECISION_BF16, ///< bfloat16 inputs, 32-bit sums.
};

/// How a session works.
struct session_config {
  spinect::device device = spinect::device::automatic;    ///< Where the network runs.
  std::int32_t device_index = 0;                          ///< Which of several devices.
  spinect::precision precision = spinect::precision::f32; ///< The precision of the arithmetic.
  std::uint32_t threads = 0;                              ///< 0: one per core the caller may use; 1: the calling thread alone.
  std::uint64_t memory_limit = 0;                         ///< Host bytes that the session may take; 0: no limit.
  std::vector<std::int32_t> cpus;                         ///< Cores for the workers; empty: the caller's.
};

/// Memory that a segmentation takes, at most.
struct memory_estimate {
  std::uint64_t host_bytes = 0;   ///< Bytes on the host.
  std::uint64_t device_bytes = 0; ///< Bytes on the device; 0 on the CPU.
};

/// One model, one device, all its buffers and threads. One run at a time; a second caller gets SPINECT_ERROR_BUSY.
class session : public handle<spinect_session, spinect_session_free> {
public:
  using handle::handle;
  /// A session without a model.
  static session create(const session_config& config = {}) {
    auto c = sized<spinect_session_config>();
    c.device = static_cast<std::int32_t>(config.device);
    c.device_index = config.device_index;
    c.precision = static_cast<std::int32_t>(config.precision);
    c.threads = config.threads;
    c.memory_limit = config.memory_limit;
    c.cpus = config.cpus.empty() ? nullptr : config.cpus.data();
    c.cpu_count = config.cpus.size();
    spinect_session* object = nullptr;
    check(spinect_session_create(&c, &object));
    return session(object);
  }
  /// Loads a model file. A failed load keeps the previous model.
  void load_weights(const std::string& path) { check(spinect_session_load_weights(get(), path.c_str())); }
  /// Loads a model file that is already in memory, `size` bytes. A failed load keeps the previous model.
  void load_weights(const void* data, std::size_t size) { check(spinect_session_load_weights_from_memory(get(), data, size)); }
  /// What the session knows about its model.
  spinect_model_info model_info() const {
    auto result = sized<spinect_model_info>();
    check(spinect_session_model_info(get(), &result));
    return result;
  }
  /// The value of a label by its name.
  std::int32_t find_label(const std::string& name) const {
    std::int32_t result = 0;
    check(spinect_session_find_label(get(), name.c_str(), &result));
    return result;
  }
  /// Memory that segmenting a volume of this shape takes, at most.
  memory_estimate estimate_memory(const volume& like) const {
    memory_estimate result;
    check(spinect_session_estimate_memory(get(), like.get(), &result.host_bytes, &result.device_bytes));
    return result;
  }
  /// Takes all memory for volumes of this shape, or smaller, now.
  void prepare(const volume& like) { check(spinect_session_prepare(get(), like.get())); }
  /// A result of this shape in which nothing has been examined yet, for `segment_again`.
  segmentation reserve(const volume& like) const {
    spinect_segmentation* object = nullptr;
    check(spinect_segmentation_reserve(get(), like.get(), &object));
    return segmentation(object);
  }
  /// Segments a volume.
  segmentation segment(const volume& input, const run& how = {}) {
    segmentation result;
    carry_out(how, nullptr, [&](const spinect_run* c) {
      spinect_segmentation* object = nullptr;
      const spinect_status status = spinect_session_segment(get(), input.get(), c, &object);
      result = segmentation(object);
      return status;
    });
    return result;
  }
  /// Segments a volume into the caller's label map (packed, i fastest; `capacity` counts elements), which stays
  /// untouched on failure, and returns the SPINECT_WARNING_* of the run.
  std::uint64_t segment_into(const volume& input, std::uint8_t* labels, std::size_t capacity, const run& how = {}) {
    std::uint64_t warnings = 0;
    carry_out(how, &warnings,
              [&](const spinect_run* c) { return spinect_session_segment_into(get(), input.get(), c, labels, capacity); });
    return warnings;
  }
  /// Segments a volume into an existing result, which stays as it was on failure and has no other reader meanwhile.
  void segment_again(const volume& input, segmentation& target, const run& how = {}) {
    carry_out(how, nullptr, [&](const spinect_run* c) { return spinect_session_segment_again(get(), input.get(), c, target.get()); });
  }
  /// How far the current or last run is, 0 to 1.
  double progress() const {
    double result = 0;
    check(spinect_session_progress(get(), &result));
    return result;
  }

private:
  /// Calls with the C ABI's form of `how`; what the progress function threw is thrown again here, on the caller's side.
  template <typename Call> static void carry_out(const run& how, std::uint64_t* warnings, Call call) {
    detail::watcher watcher{&how.progress, nullptr};
    auto c = sized<spinect_run>();
    c.warnings = warnings;
    if (how.cancel != nullptr) {
      c.cancel = how.cancel->get();
      if (c.cancel == nullptr) {
        throw error(SPINECT_ERROR_NULL_ARGUMENT, "the run's cancel handle is empty: create it, or leave run::cancel null");
      }
    }
    c.deadline_seconds = how.deadline_seconds;
    if (how.all_windows) {
      c.flags |= SPINECT_RUN_ALL_WINDOWS;
    }
    if (how.roi) {
      c.flags |= SPINECT_RUN_ROI;
      std::copy(how.roi->min.begin(), how.roi->min.end(), c.roi_min);
      std::copy(how.roi->max.begin(), how.roi->max.end(), c.roi_max);
    }
    if (how.progress) {
      c.progress = detail::spinect_hpp_on_progress;
      c.user_data = &watcher;
    }
    const spinect_status status = call(&c);
    if (watcher.thrown) {
      std::rethrow_exception(watcher.thrown);
    }
    check(status);
  }
};

} // namespace spinect

#endif
