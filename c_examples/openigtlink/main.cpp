/// spinect_igtl MODEL [options]: spinect behind OpenIGTLink. README.md says what it understands and answers.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <igtlServerSocket.h>
#include <igtlStatusMessage.h>

#include "connection.hpp"
#include "replies.hpp"

namespace {

constexpr std::size_t most_clients = 8;

std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch it");

extern "C" void on_signal(int) { stopping = true; }

double parse_number(const std::string& option, const std::string& text, double least, double most) {
  std::size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (text.empty() || used != text.size() || !(number >= least && number <= most)) {
    throw std::invalid_argument(option + " takes a number from " + std::to_string(least) + " to " + std::to_string(most) + ", not '" + text + "'");
  }
  return number;
}

server_options parse(const std::vector<std::string>& arguments) {
  server_options result;
  for (std::size_t n = 0; n < arguments.size(); ++n) {
    const std::string& argument = arguments[n];
    if (argument.compare(0, 2, "--") != 0 && result.model.empty()) {
      result.model = argument;
      continue;
    }
    if (n + 1 == arguments.size()) {
      throw std::invalid_argument("unknown argument, or no value for '" + argument + "'");
    }
    const std::string& value = arguments[++n];
    if (argument == "--port") {
      result.port = static_cast<int>(parse_number(argument, value, 0, 65535));
    } else if (argument == "--label") {
      result.label = value;
    } else if (argument == "--tool-length") {
      result.tool_length_mm = parse_number(argument, value, 0, 1000);
    } else if (argument == "--tool-radius") {
      result.tool_radius_mm = parse_number(argument, value, 0, 50);
    } else if (argument == "--max-mib") {
      result.most_bytes = static_cast<std::uint64_t>(parse_number(argument, value, 1, 1024)) << 20;
    } else {
      throw std::invalid_argument("unknown argument '" + argument + "'");
    }
  }
  if (result.model.empty()) {
    throw std::invalid_argument("no model given");
  }
  return result;
}

struct client {
  std::thread thread;
  std::atomic<bool> done{false};
};

void serve(const server_options& options) {
  auto session = spinect::session::create();
  session.load_weights(options.model);
  (void)session.find_label(options.label); // now, not at the first CT
  auto server = igtl::ServerSocket::New();
  if (server->CreateServer(options.port) != 0) {
    throw std::runtime_error("port " + std::to_string(options.port) + " cannot be listened on: is it in use?");
  }
  std::printf("listening on port %d\n", server->GetServerPort());
  std::fflush(stdout);

  std::list<client> clients;
  while (!stopping) {
    igtl::ClientSocket::Pointer socket = server->WaitForConnection(200);
    clients.remove_if([](client& one) {
      if (one.done) {
        one.thread.join();
      }
      return one.done.load();
    });
    if (socket.IsNull()) {
      continue;
    }
    if (clients.size() >= most_clients) {
      const bytes full = replies::status(igtl::StatusMessage::STATUS_BUSY, "REFUSED", "too many clients: try again later");
      socket->SetSendTimeout(1000);
      socket->Send(full.data(), static_cast<int>(full.size()));
      continue; // and it is closed: its socket goes
    }
    client& added = clients.emplace_back();
    added.thread = std::thread([&session, &options, &added, socket] {
      try {
        connection(socket, session, options, stopping).serve();
      } catch (const std::exception& failure) { // of this client only
        std::fprintf(stderr, "a client was dropped: %s\n", failure.what());
      }
      socket->CloseSocket();
      added.done = true;
    });
  }
  for (client& one : clients) {
    one.thread.join();
  }
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGPIPE, SIG_IGN); // a client that goes while it is answered
  try {
    serve(parse({argv + 1, argv + argc}));
    return 0;
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr,
                 "error: %s\nusage: %s MODEL [--port N] [--label NAME] [--tool-length MM] [--tool-radius MM] [--max-mib N]\n", wrong.what(),
                 argv[0]);
    return 2;
  } catch (const spinect::error& failure) {
    std::fprintf(stderr, "error: %s (%s)\n", failure.what(), failure.name());
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
  }
  return 1;
}
