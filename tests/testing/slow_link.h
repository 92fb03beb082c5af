// A TCP connection to a server with a delay each way: what a distant coordinator is to its workers.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/mutex.h"

namespace allometry::testing {

class SlowLink {
 public:
  // To 127.0.0.1:PORT.
  SlowLink(const std::string& server, std::chrono::milliseconds each_way) : each_way_(each_way) {
    ALLO_CHECK(absl::SimpleAtoi(server.substr(server.rfind(':') + 1), &server_port_));
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    ALLO_CHECK(bind(listener_, any, size) == 0 && listen(listener_, 16) == 0 &&
               getsockname(listener_, any, &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~SlowLink() {
    closing_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    for (const int fd : sockets_) shutdown(fd, SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : sockets_) close(fd);
  }
  SlowLink(const SlowLink&) = delete;
  SlowLink& operator=(const SlowLink&) = delete;

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  using Clock = std::chrono::steady_clock;
  // Bytes that are on the way; empty: the sender closed.
  struct Way {
    Mutex mutex;
    ConditionVariable changed;
    std::deque<std::pair<Clock::time_point, std::string>> pieces;
  };

  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }

  void Accept() {
    while (!closing_) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = Loopback(server_port_);
      sockets_.insert(sockets_.end(), {client, server});
      if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        shutdown(client, SHUT_RDWR);
        continue;
      }
      for (const auto& [from, to] : {std::pair(client, server), std::pair(server, client)}) {
        const int on = 1;
        setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        // Shared by the two threads of a way.
        auto way = std::make_shared<Way>();
        threads_.emplace_back([this, way, from = from] { Receive(*way, from); });
        threads_.emplace_back([way, to = to] { Deliver(*way, to); });
      }
    }
  }

  void Receive(Way& way, int from) const {
    char buffer[16 << 10];
    for (ssize_t got = 1; got > 0;) {
      got = recv(from, buffer, sizeof(buffer), 0);
      const MutexLock lock(way.mutex);
      way.pieces.emplace_back(Clock::now() + each_way_,
                              std::string(buffer, static_cast<size_t>(got > 0 ? got : 0)));
      way.changed.NotifyAll();
    }
  }

  static void Deliver(Way& way, int to) {
    for (;;) {
      std::pair<Clock::time_point, std::string> piece;
      {
        MutexLock lock(way.mutex);
        while (way.pieces.empty()) way.changed.Wait(lock);
        piece = std::move(way.pieces.front());
        way.pieces.pop_front();
      }
      std::this_thread::sleep_until(piece.first);
      if (piece.second.empty() ||
          send(to, piece.second.data(), piece.second.size(), MSG_NOSIGNAL) < 0) {
        shutdown(to, SHUT_RDWR);
        return;
      }
    }
  }

  const std::chrono::milliseconds each_way_;
  int server_port_ = 0;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<bool> closing_ = false;
  // The acceptor's, until it has ended.
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace allometry::testing
