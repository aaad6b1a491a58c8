/// Messages as they come over the wire, with every size checked before it is believed.
///
/// The classes of the OpenIGTLink library trust the sizes in a message (a body of more than 2 GiB becomes a negative number,
/// an image may be larger than its body). So only its sockets, structures, byte orders and checksum are used here.
#ifndef SPINECT_IGTL_MESSAGE_HPP
#define SPINECT_IGTL_MESSAGE_HPP

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <igtlClientSocket.h>

using bytes = std::vector<unsigned char>;

/// A message whose checksum is right.
struct message {
  std::string type;
  std::string device;
  std::uint64_t timestamp = 0; ///< As the sender wrote it: seconds in the upper half, fractions of one in the lower.
  bytes content;               ///< The body without extended header and metadata.
};

/// A message that is refused; `code` is what a STATUS message calls it.
class refused : public std::runtime_error {
public:
  refused(std::uint16_t code, const std::string& why) : std::runtime_error(why), code(code) {}
  std::uint16_t code;
};

/// A message after which nobody knows where the next one begins: the connection must end.
class out_of_step : public refused {
public:
  using refused::refused;
};

/// Receives the next message. Nothing if the other side has gone, or `stopping` says so. Throws `refused` or `out_of_step`.
/// A body is at most `most` bytes, and takes memory only as it arrives.
std::optional<message> receive(igtl::ClientSocket& socket, std::uint64_t most, const std::function<bool()>& stopping);

/// A whole message, ready to be sent. Its device is cut to 19 bytes.
bytes frame(const std::string& type, const std::string& device, std::uint64_t timestamp, const bytes& content);

/// The time now as OpenIGTLink writes it.
std::uint64_t timestamp_now();

/// Appends numbers in the byte order of the network.
void append_big_endian(bytes& to, std::uint64_t number, unsigned size);
/// Appends a text of a fixed size, filled with zeros, always with at least one at its end.
void append_text(bytes& to, const std::string& text, std::size_t size);

#endif
