/// One client: its messages, its CT, its anatomy.
#ifndef SPINECT_IGTL_CONNECTION_HPP
#define SPINECT_IGTL_CONNECTION_HPP

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <string>

#include <igtlClientSocket.h>

#include "image.hpp"
#include "message.hpp"
#include "spinect.hpp"

/// What the server was told when it was started.
struct server_options {
  std::string model;
  std::string label = "nerve";
  int port = 18944;
  double tool_length_mm = 100;
  double tool_radius_mm = 1.5;
  std::uint64_t most_bytes = std::uint64_t{1} << 30;
};

/// Reads the messages of a client and answers them until it goes. A CT is segmented aside, so that the tool is answered, and a
/// client that goes is noticed, meanwhile.
class connection {
public:
  connection(igtl::ClientSocket::Pointer socket, spinect::session& session, const server_options& options,
             const std::atomic<bool>& stopping);
  ~connection(); // cancels what is being segmented
  connection(const connection&) = delete;

  /// Until the client goes, sends what nobody can read on from, or the server stops.
  void serve();

private:
  void answer(const message& received);
  void on_image(const message& received);
  void on_transform(const message& received);
  void segment(const received_image& ct, std::uint64_t timestamp);
  void send(const bytes& whole);
  std::shared_ptr<const spinect::segmentation> anatomy();
  void set_anatomy(std::shared_ptr<const spinect::segmentation> next);

  igtl::ClientSocket::Pointer socket_;
  spinect::session& session_;
  const server_options& options_;
  const std::atomic<bool>& stopping_;
  const std::int32_t label_;
  std::mutex sending_;
  std::atomic<bool> gone_{false};
  std::mutex anatomy_lock_;
  std::shared_ptr<const spinect::segmentation> anatomy_; // of the newest CT; none while that is being segmented
  spinect::cancel cancel_;
  std::future<void> work_;
};

#endif
