#include "message.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <igtlStatusMessage.h>
#include <igtl_header.h>
#include <igtl_util.h>

namespace {

constexpr int poll_ms = 200;
constexpr auto patience = std::chrono::seconds(10); // with a sender that stops in the middle of a message
constexpr std::size_t piece = std::size_t{1} << 20;
constexpr std::size_t extended_header_size = 12;

std::string text_of(const char* field, std::size_t size) { return {field, std::find(field, field + size, '\0')}; }

std::uint64_t read_big_endian(const unsigned char* from, unsigned size) {
  std::uint64_t number = 0;
  for (unsigned n = 0; n < size; ++n) {
    number = number << 8 | from[n];
  }
  return number;
}

/// Receives exactly `size` bytes at the end of `to`. False if the other side has gone or we are stopping before the first of
/// them; in the middle of a message that is `out_of_step`.
bool receive_bytes(igtl::ClientSocket& socket, bytes& to, std::uint64_t size, bool started, const std::function<bool()>& stopping) {
  auto last = std::chrono::steady_clock::now();
  for (std::uint64_t left = size; left > 0;) {
    const auto chunk = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece));
    const std::size_t before = to.size();
    to.resize(before + chunk);
    errno = 0;
    const int got = socket.Receive(to.data() + before, static_cast<int>(chunk), 0);
    to.resize(before + static_cast<std::size_t>(std::max(got, 0)));
    if (got > 0) {
      left -= static_cast<std::uint64_t>(got);
      last = std::chrono::steady_clock::now();
      started = true;
      continue;
    }
    const bool waiting = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (waiting && !stopping() && !(started && std::chrono::steady_clock::now() - last > patience)) {
      continue;
    }
    if (!started) {
      return false;
    }
    throw out_of_step(igtl::StatusMessage::STATUS_TIME_OUT, "the message stops before its end");
  }
  return true;
}

/// The body without what version 2 of the header puts around it: an extended header before, metadata behind.
bytes content_of(bytes body, std::uint16_t version) {
  if (version == 1) {
    return body;
  }
  if (body.size() < extended_header_size) {
    throw refused(igtl::StatusMessage::STATUS_OVERFLOW, "the extended header does not fit into the body");
  }
  const std::uint64_t header = read_big_endian(body.data(), 2);
  const std::uint64_t metadata = read_big_endian(body.data() + 2, 2) + read_big_endian(body.data() + 4, 4);
  if (header < extended_header_size || header + metadata > body.size()) {
    throw refused(igtl::StatusMessage::STATUS_OVERFLOW, "extended header and metadata do not fit into the body");
  }
  return {body.begin() + static_cast<std::ptrdiff_t>(header), body.end() - static_cast<std::ptrdiff_t>(metadata)};
}

} // namespace

std::optional<message> receive(igtl::ClientSocket& socket, std::uint64_t most, const std::function<bool()>& stopping) {
  socket.SetReceiveTimeout(poll_ms);
  bytes raw;
  if (!receive_bytes(socket, raw, IGTL_HEADER_SIZE, false, stopping)) {
    return std::nullopt;
  }
  static_assert(sizeof(igtl_header) == IGTL_HEADER_SIZE, "the header is packed");
  igtl_header header;
  std::memcpy(&header, raw.data(), sizeof header);
  igtl_header_convert_byte_order(&header);
  if (header.version != 1 && header.version != 2) {
    throw out_of_step(igtl::StatusMessage::STATUS_UNKNOWN_VERSION, "the header has version " + std::to_string(header.version));
  }
  if (header.body_size > most) {
    throw out_of_step(igtl::StatusMessage::STATUS_RESOURCE_ERROR, "a body of " + std::to_string(header.body_size) +
                                                                      " bytes; --max-mib allows " + std::to_string(most));
  }
  bytes body;
  receive_bytes(socket, body, header.body_size, true, stopping);
  if (crc64(body.data(), body.size(), 0) != header.crc) {
    throw refused(igtl::StatusMessage::STATUS_CHECKSUM_ERROR, "the checksum is wrong");
  }
  message result;
  result.type = text_of(header.name, sizeof header.name);
  result.device = text_of(header.device_name, sizeof header.device_name);
  result.timestamp = header.timestamp;
  result.content = content_of(std::move(body), header.version);
  return result;
}

bytes frame(const std::string& type, const std::string& device, std::uint64_t timestamp, const bytes& content) {
  bytes result;
  result.reserve(IGTL_HEADER_SIZE + content.size());
  append_big_endian(result, 1, 2);
  append_text(result, type, IGTL_HEADER_TYPE_SIZE);
  append_text(result, device, IGTL_HEADER_NAME_SIZE);
  append_big_endian(result, timestamp, 8);
  append_big_endian(result, content.size(), 8);
  append_big_endian(result, crc64(const_cast<unsigned char*>(content.data()), content.size(), 0), 8); // it only reads
  result.insert(result.end(), content.begin(), content.end());
  return result;
}

std::uint64_t timestamp_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds);
  return static_cast<std::uint64_t>(seconds.count()) << 32 | igtl_nanosec_to_frac(static_cast<igtl_uint32>(rest.count()));
}

void append_big_endian(bytes& to, std::uint64_t number, unsigned size) {
  while (size-- > 0) {
    to.push_back(static_cast<unsigned char>(number >> (8 * size)));
  }
}

void append_text(bytes& to, const std::string& text, std::size_t size) {
  const std::size_t length = std::min(text.size(), size - 1);
  to.insert(to.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
  to.insert(to.end(), size - length, 0);
}
