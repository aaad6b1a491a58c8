#include "connection.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <utility>

#include <igtlStatusMessage.h>
#include <igtl_transform.h>

#include "replies.hpp"

using igtl::StatusMessage;

namespace {

constexpr int send_timeout_ms = 10000; // a client that reads nothing for so long is given up

/// What of spinect's failures a STATUS message can say.
std::uint16_t code_of(spinect_status status) {
  switch (status) {
  case SPINECT_ERROR_BUSY: return StatusMessage::STATUS_BUSY;
  case SPINECT_ERROR_LABEL_ABSENT: return StatusMessage::STATUS_NOT_FOUND;
  case SPINECT_ERROR_OUT_OF_MEMORY:
  case SPINECT_ERROR_VOLUME_TOO_LARGE: return StatusMessage::STATUS_RESOURCE_ERROR;
  case SPINECT_ERROR_INVALID_GEOMETRY:
  case SPINECT_ERROR_INVALID_ARGUMENT: return StatusMessage::STATUS_CONFIG_ERROR;
  default: return StatusMessage::STATUS_UNKNOWN_ERROR;
  }
}

/// A rigid placement: columns of a rotation, then a position in mm.
struct placement {
  spinect::point along_z{};
  spinect::point position{};
};

placement read_transform(const message& received) {
  if (received.content.size() != IGTL_TRANSFORM_SIZE) {
    throw refused(StatusMessage::STATUS_OVERFLOW, "TRANSFORM: " + std::to_string(received.content.size()) + " bytes instead of 48");
  }
  float numbers[12];
  std::memcpy(numbers, received.content.data(), sizeof numbers);
  igtl_transform_convert_byte_order(numbers);
  for (std::size_t column = 0; column < 3; ++column) {
    const double length = std::hypot(numbers[3 * column], numbers[3 * column + 1], numbers[3 * column + 2]);
    if (!(std::abs(length - 1) < 0.01)) { // nor if it is no number
      throw refused(StatusMessage::STATUS_CONFIG_ERROR, "TRANSFORM: not rigid: a column of the rotation is not of length 1");
    }
  }
  placement result;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    result.along_z[axis] = numbers[6 + axis];
    result.position[axis] = numbers[9 + axis];
  }
  return result;
}

} // namespace

connection::connection(igtl::ClientSocket::Pointer socket, spinect::session& session, const server_options& options,
                       const std::atomic<bool>& stopping)
    : socket_(std::move(socket)), session_(session), options_(options), stopping_(stopping), label_(session.find_label(options.label)),
      cancel_(spinect::cancel::create()) {
  socket_->SetSendTimeout(send_timeout_ms);
}

connection::~connection() {
  cancel_.set();
  if (work_.valid()) {
    work_.wait();
  }
}

void connection::serve() {
  spinect::thread_prepare();
  while (!gone_) {
    try {
      const auto received = receive(*socket_, options_.most_bytes, [this] { return stopping_ || gone_; });
      if (!received) {
        return;
      }
      answer(*received);
    } catch (const out_of_step& wrong) {
      send(replies::status(wrong.code, "REFUSED", wrong.what()));
      return;
    } catch (const refused& wrong) {
      send(replies::status(wrong.code, "REFUSED", wrong.what()));
    } catch (const spinect::error& failure) {
      send(replies::status(code_of(failure.status()), failure.name(), failure.what(), failure.status()));
    } catch (const std::bad_alloc&) {
      send(replies::status(StatusMessage::STATUS_RESOURCE_ERROR, "OUT_OF_MEMORY", "no memory for this message"));
      return;
    }
  }
}

void connection::answer(const message& received) {
  if (received.type == "IMAGE") {
    on_image(received);
  } else if (received.type == "TRANSFORM") {
    on_transform(received);
  } else if (received.type == "GET_STATUS") {
    send(anatomy() ? replies::status(StatusMessage::STATUS_OK, "READY", "questions are answered")
                   : replies::status(StatusMessage::STATUS_NOT_READY, "NO_ANATOMY", "send an IMAGE first"));
  } else {
    throw refused(StatusMessage::STATUS_UNKNOWN_INSTRUCTION, received.type + " is not understood: IMAGE, TRANSFORM, GET_STATUS are");
  }
}

void connection::on_image(const message& received) {
  if (work_.valid() && work_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    throw refused(StatusMessage::STATUS_BUSY, "IMAGE: the one before is still being segmented");
  }
  received_image ct(received);
  set_anatomy(nullptr); // what was found in another CT says nothing about this one
  work_ = std::async(std::launch::async, [this, ct = std::move(ct), timestamp = received.timestamp] { segment(ct, timestamp); });
}

/// In a thread of its own: nothing may leave it but messages.
void connection::segment(const received_image& ct, std::uint64_t timestamp) try {
  auto told = std::chrono::steady_clock::now();
  spinect::run run;
  run.cancel = &cancel_;
  run.progress = [&](double fraction, const char* stage) {
    const auto now = std::chrono::steady_clock::now();
    if (now - told > std::chrono::milliseconds(500)) {
      told = now;
      const int percent = static_cast<int>(100 * fraction);
      send(replies::status(StatusMessage::STATUS_BUSY, "PROGRESS", stage + (' ' + std::to_string(percent)) + " %", percent));
    }
    return stopping_ || gone_ ? spinect::flow::stop : spinect::flow::proceed;
  };
  auto found = std::make_shared<spinect::segmentation>(session_.segment(ct.view(), run));
  found->prepare_queries(label_);
  send(replies::labels(*found, ct.header(), timestamp));
  send(replies::label_table(*found, timestamp));
  set_anatomy(found);
  try {
    send(replies::surface(*found, label_, options_.label, timestamp));
  } catch (const refused& wrong) {
    send(replies::status(wrong.code, "REFUSED", wrong.what()));
  } catch (const spinect::error& failure) { // no voxel of it, no surface
    send(replies::status(code_of(failure.status()), failure.name(), failure.what(), failure.status()));
  }
  // The warnings of the run, so that nobody takes a demonstration for an answer.
  send(replies::status(StatusMessage::STATUS_OK, "SEGMENTED", "warnings: SPINECT_WARNING_* in the subcode",
                       static_cast<std::int64_t>(found->provenance().warnings)));
} catch (const spinect::error& failure) {
  send(replies::status(code_of(failure.status()), failure.name(), failure.what(), failure.status()));
} catch (const std::exception& failure) {
  send(replies::status(StatusMessage::STATUS_UNKNOWN_ERROR, "FAILED", failure.what()));
}

void connection::on_transform(const message& received) {
  const placement tool = read_transform(received);
  const auto found = anatomy();
  if (!found) {
    throw refused(StatusMessage::STATUS_NOT_READY, "TRANSFORM: no anatomy yet: send an IMAGE and wait for its labels");
  }
  spinect::point shaft = tool.position;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    shaft[axis] += options_.tool_length_mm * tool.along_z[axis];
  }
  const auto clearance = found->clearance(label_, spinect::world::ras, shaft, tool.position, options_.tool_radius_mm);
  send(replies::clearance(clearance, options_.label, received.timestamp));
}

void connection::send(const bytes& whole) {
  const std::lock_guard<std::mutex> lock(sending_);
  if (gone_) {
    return;
  }
  if (whole.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      socket_->Send(whole.data(), static_cast<int>(whole.size())) != 1) {
    gone_ = true; // a message that was sent in part cannot be followed by another
  }
}

std::shared_ptr<const spinect::segmentation> connection::anatomy() {
  const std::lock_guard<std::mutex> lock(anatomy_lock_);
  return anatomy_;
}

void connection::set_anatomy(std::shared_ptr<const spinect::segmentation> next) {
  const std::lock_guard<std::mutex> lock(anatomy_lock_);
  anatomy_ = std::move(next);
}
