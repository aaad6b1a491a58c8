#include "replies.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <igtlStatusMessage.h>
#include <igtl_header.h>
#include <igtl_image.h>
#include <igtl_lbmeta.h>
#include <igtl_polydata.h>

namespace replies {
namespace {

constexpr const char* labels_device = "spinect-labels";
constexpr std::uint64_t largest_surface = std::uint64_t{1} << 30;
constexpr std::uint64_t ascii = 3; // IANA's number of the character set

/// A number of JSON, which has none that is not finite.
std::string number(double value) {
  if (!std::isfinite(value)) {
    return "null";
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string array(const double (&values)[3]) { return '[' + number(values[0]) + ',' + number(values[1]) + ',' + number(values[2]) + ']'; }

} // namespace

bytes status(std::uint16_t code, const std::string& name, const std::string& text, std::int64_t subcode) {
  bytes content;
  append_big_endian(content, code, 2);
  append_big_endian(content, static_cast<std::uint64_t>(subcode), 8);
  append_text(content, name, 20);
  append_text(content, text, text.size() + 1);
  return frame("STATUS", "spinect", timestamp_now(), content);
}

bytes labels(const spinect::segmentation& anatomy, const bytes& image_header, std::uint64_t timestamp) {
  const auto voxels = anatomy.labels();
  bytes content;
  content.reserve(image_header.size() + voxels.size());
  content = image_header;
  content[offsetof(igtl_image_header, scalar_type)] = IGTL_IMAGE_STYPE_TYPE_UINT8;
  content.insert(content.end(), voxels.begin(), voxels.end());
  return frame("IMAGE", labels_device, timestamp, content);
}

bytes label_table(const spinect::segmentation& anatomy, std::uint64_t timestamp) {
  bytes content;
  for (const spinect_label& label : anatomy.label_table()) {
    if (label.value == 0) {
      continue;
    }
    append_text(content, label.name, IGTL_LBMETA_LEN_NAME);
    append_text(content, labels_device, IGTL_LBMETA_LEN_DEVICE_NAME);
    append_big_endian(content, static_cast<std::uint64_t>(label.value), 1);
    content.push_back(0);
    content.insert(content.end(), label.rgb, label.rgb + 3);
    content.push_back(255);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const bool present = label.voxels > 0;
      append_big_endian(content, present ? label.box_max[axis] - label.box_min[axis] + 1 : 0, 2);
    }
    append_text(content, labels_device, IGTL_LBMETA_LEN_OWNER);
  }
  return frame("LBMETA", "spinect-table", timestamp, content);
}

bytes surface(const spinect::segmentation& anatomy, std::int32_t label, const std::string& name, std::uint64_t timestamp) {
  spinect::surface_config config;
  config.space = spinect::world::ras;
  config.smoothing_mm = 1;
  config.reduction = 0.5;
  const spinect::surface mesh = anatomy.surface(label, config);
  const auto points = mesh.points();
  const auto corners = mesh.triangles();
  const std::uint64_t point_count = points.size() / 3;
  const std::uint64_t triangles = corners.size() / 3;
  if (12 * point_count + 16 * triangles > largest_surface) {
    throw refused(igtl::StatusMessage::STATUS_OVERFLOW, "POLYDATA: the surface is too large for a message");
  }
  bytes content;
  content.reserve(sizeof(igtl_polydata_header) + 12 * point_count + 16 * triangles);
  // Points, vertices, lines, polygons (each with its bytes), triangle strips, attributes.
  for (const std::uint64_t count : {point_count, std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0}, triangles,
                                    16 * triangles, std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0}}) {
    append_big_endian(content, count, 4);
  }
  for (const double coordinate : points) {
    const auto single = static_cast<float>(coordinate);
    std::uint32_t bits;
    static_assert(sizeof bits == sizeof single, "IEEE 754");
    std::copy_n(reinterpret_cast<const unsigned char*>(&single), sizeof bits, reinterpret_cast<unsigned char*>(&bits));
    append_big_endian(content, bits, 4);
  }
  for (std::size_t n = 0; n < corners.size(); ++n) {
    if (n % 3 == 0) {
      append_big_endian(content, 3, 4);
    }
    append_big_endian(content, corners[n], 4);
  }
  return frame("POLYDATA", "spinect-" + name, timestamp, content);
}

bytes clearance(const spinect_clearance& found, const std::string& label, std::uint64_t timestamp) {
  const std::string text = "{\"label\":\"" + label + "\",\"distance_mm\":" + number(found.distance_mm) +
                           ",\"unexamined_mm\":" + number(found.unexamined_mm) + ",\"crosses\":" + (found.crosses != 0 ? "true" : "false") +
                           ",\"length_inside_mm\":" + number(found.length_inside_mm) + ",\"at\":" + array(found.at) +
                           ",\"nearest\":" + array(found.nearest) + ",\"world\":\"RAS\"}";
  bytes content;
  append_big_endian(content, ascii, 2);
  append_big_endian(content, text.size(), 2);
  content.insert(content.end(), text.begin(), text.end());
  return frame("STRING", "spinect-clearance", timestamp, content);
}

} // namespace replies
