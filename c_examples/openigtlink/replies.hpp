/// What the server answers, as whole messages. README.md lists them.
#ifndef SPINECT_IGTL_REPLIES_HPP
#define SPINECT_IGTL_REPLIES_HPP

#include "message.hpp"
#include "spinect.hpp"

namespace replies {

/// STATUS: `code` is one of `igtl::StatusMessage::STATUS_*`, `name` what it is about.
bytes status(std::uint16_t code, const std::string& name, const std::string& text, std::int64_t subcode = 0);

/// IMAGE: the labels, where `image_header` (that of the IMAGE that was segmented) says.
bytes labels(const spinect::segmentation& anatomy, const bytes& image_header, std::uint64_t timestamp);

/// LBMETA: one element per label, background left out.
bytes label_table(const spinect::segmentation& anatomy, std::uint64_t timestamp);

/// POLYDATA: the surface of a label as triangles, in RAS. Throws `refused` if that is too large for a message.
bytes surface(const spinect::segmentation& anatomy, std::int32_t label, const std::string& name, std::uint64_t timestamp);

/// STRING: how far the tool is, as JSON.
bytes clearance(const spinect_clearance& found, const std::string& label, std::uint64_t timestamp);

} // namespace replies

#endif
