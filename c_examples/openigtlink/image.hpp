/// An IMAGE message as a volume of spinect.
#ifndef SPINECT_IGTL_IMAGE_HPP
#define SPINECT_IGTL_IMAGE_HPP

#include "message.hpp"
#include "spinect.hpp"

/// Voxels in this machine's byte order, and their place. They must be Hounsfield units: OpenIGTLink has no rescale.
class received_image {
public:
  /// Reads the content of an IMAGE message: one component of any scalar type in either byte order, in RAS or LPS, whole.
  /// Throws `refused`.
  explicit received_image(const message& from);
  received_image(const received_image&) = delete; // the view points into the voxels, and these move with their bytes only
  received_image(received_image&&) = default;
  /// The voxels, valid while this lives.
  spinect::volume view() const noexcept { return spinect::volume(view_); }
  /// The first 72 bytes of the message, which say where the image lies: an answer repeats them bit by bit.
  const bytes& header() const noexcept { return header_; }

private:
  bytes header_;
  bytes voxels_;
  spinect_volume view_;
};

#endif
