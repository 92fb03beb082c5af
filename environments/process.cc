#include "environments/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/files.h"

extern char** environ;

namespace allometry::environments {
namespace {

static_assert(std::endian::native == std::endian::little, "the protocol's byte order");

constexpr char kPrefix[] = "process:";
constexpr int kEndMs = 2'000;          // for the program to end by itself
constexpr size_t kMostErrors = 2'000;  // characters of its standard error in a message
constexpr size_t kMostErrorBytes = 1 << 16;
constexpr int64_t kMostImageBytes = int64_t{1} << 26;
constexpr int kMostActions = 256;  // an action is a byte

struct Name {
  std::string program;
  std::string game;
};

absl::StatusOr<Name> Parse(const std::string& name) {
  const std::string rest = name.substr(sizeof(kPrefix) - 1);
  const size_t colon = rest.find(':');
  Name parsed = {rest.substr(0, colon), colon == std::string::npos ? "" : rest.substr(colon + 1)};
  if (parsed.program.empty() || parsed.game.size() > 255) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environment '", name,
        "': allowed is process:PROGRAM or process:PROGRAM:GAME, a game of up to 255 characters"));
  }
  return parsed;
}

// Both ends of a pipe, closed when they go.
struct Pipe {
  int read_end = -1, write_end = -1;

  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("environment", "pipe");
    read_end = ends[0];
    write_end = ends[1];
    return absl::OkStatus();
  }
  void CloseRead() { Close(&read_end); }
  void CloseWrite() { Close(&write_end); }

 private:
  static void Close(int* end) {
    if (*end >= 0) close(*end);
    *end = -1;
  }
};

class Server {
 public:
  Server(std::string name, int answer_ms) : name_(std::move(name)), answer_ms_(answer_ms) {}
  ~Server() { End(); }

  absl::Status Start(const std::string& program) {
    for (Pipe* pipe : {&requests_, &answers_, &errors_}) ALLO_RETURN_IF_ERROR(pipe->Open());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, requests_.read_end, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers_.write_end, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors_.write_end, STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    std::string argument = program;
    char* arguments[] = {argument.data(), nullptr};
    const int error =
        posix_spawnp(&pid_, program.c_str(), &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      pid_ = -1;
      return absl::UnavailableError(absl::StrCat("environment ", name_, ": cannot start ", program,
                                                 ": ", std::strerror(error)));
    }
    requests_.CloseRead();
    answers_.CloseWrite();
    errors_.CloseWrite();
    for (const int end : {requests_.write_end, answers_.read_end, errors_.read_end}) {
      fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
    }
    return absl::OkStatus();
  }

  // Sends the request and reads an answer of `answer.size()` bytes; what the program writes to its
  // standard error meanwhile is kept. A program may answer before it has read all.
  absl::Status Call(std::span<const char> request, std::span<char> answer) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(answer_ms_);
    const size_t wanted = answer.size();
    // Bytes that nobody asked for would be taken for the beginning of this answer.
    char unasked;
    if (read(answers_.read_end, &unasked, 1) > 0) {
      return Failed(absl::StrFormat("answered %c too early", call_));
    }
    while (!request.empty() || !answer.empty()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                            deadline - std::chrono::steady_clock::now())
                            .count();
      if (left <= 0) {
        return Failed(absl::StrFormat("did not answer %c within %g s", call_, answer_ms_ / 1000.0));
      }
      pollfd ends[] = {{request.empty() ? -1 : requests_.write_end, POLLOUT, 0},
                       {answers_.read_end, POLLIN, 0},
                       {errors_.read_end, POLLIN, 0}};
      if (poll(ends, 3, static_cast<int>(left)) < 0 && errno != EINTR) {
        return Failed(absl::StrCat("cannot be waited for: ", std::strerror(errno)));
      }
      ReadErrors();
      if ((ends[0].revents & (POLLOUT | POLLERR)) != 0) {
        const ssize_t sent = write(requests_.write_end, request.data(), request.size());
        if (sent > 0) request = request.subspan(static_cast<size_t>(sent));
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
          return Failed("ended, or closed its standard input");
        }
      }
      if ((ends[1].revents & (POLLIN | POLLHUP)) == 0) continue;
      char beyond;
      const bool waits = !answer.empty();
      const ssize_t got =
          read(answers_.read_end, waits ? answer.data() : &beyond, waits ? answer.size() : 1);
      if (got > 0 && !waits) return Failed(absl::StrFormat("answered %c too early", call_));
      if (got > 0) answer = answer.subspan(static_cast<size_t>(got));
      if (got == 0) {
        return Failed(absl::StrFormat("ended, %d of the %d bytes of its answer to %c were there",
                                      wanted - answer.size(), wanted, call_));
      }
    }
    return absl::OkStatus();
  }
  void SetCall(char call) { call_ = call; }

  absl::Status Failed(absl::string_view what) {
    // What it says when it ends.
    pollfd end = {errors_.read_end, POLLIN, 0};
    while (errors_.read_end >= 0 && poll(&end, 1, 200) > 0 && ReadErrors()) {
    }
    std::string said =
        errors_text_.substr(errors_text_.size() - std::min(errors_text_.size(), kMostErrors));
    absl::StripAsciiWhitespace(&said);
    return absl::UnavailableError(absl::StrCat("environment ", name_, ": the program ", what,
                                               said.empty() ? "" : "; it said: ", said));
  }

 private:
  // False at the end of file or where there is nothing.
  bool ReadErrors() {
    char buffer[4096];
    const ssize_t got = read(errors_.read_end, buffer, sizeof(buffer));
    if (got == 0) errors_.CloseRead();  // an end that is closed would wake every wait
    if (got <= 0) return false;
    errors_text_.append(buffer, static_cast<size_t>(got));
    if (errors_text_.size() > kMostErrorBytes) {
      errors_text_.erase(0, errors_text_.size() - kMostErrorBytes / 2);
    }
    return true;
  }

  void End() {
    if (pid_ < 0) return;
    const char quit = 'Q';
    if (write(requests_.write_end, &quit, 1) < 0) errno = 0;
    requests_.CloseWrite();
    answers_.CloseRead();
    int status = 0;
    for (int waited = 0; waited < kEndMs; waited += 10) {
      if (waitpid(pid_, &status, WNOHANG) != 0) {
        pid_ = -1;
        return;
      }
      usleep(10'000);
    }
    kill(pid_, SIGKILL);
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

  const std::string name_;
  const int answer_ms_;
  pid_t pid_ = -1;
  Pipe requests_, answers_, errors_;
  std::string errors_text_;
  char call_ = '?';
};

class Process final : public Environment {
 public:
  Process(const std::string& name, int copies, int answer_ms)
      : server_(name, answer_ms), copies_(copies) {}

  absl::Status Open(const Name& name) {
    ALLO_RETURN_IF_ERROR(server_.Start(name.program));
    Begin('I');
    Put(static_cast<uint32_t>(copies_));
    Put(static_cast<uint8_t>(name.game.size()));
    request_.insert(request_.end(), name.game.begin(), name.game.end());
    answer_.resize(9);
    ALLO_RETURN_IF_ERROR(server_.Call(request_, answer_));
    size_t at = 0;
    const auto actions = Get<uint32_t>(&at);
    interface_.height = Get<uint16_t>(&at);
    interface_.width = Get<uint16_t>(&at);
    interface_.channels = Get<uint8_t>(&at);
    if (actions >= 1 && actions <= kMostActions && interface_.image_bytes() >= 1 &&
        interface_.image_bytes() <= kMostImageBytes) {
      interface_.actions = static_cast<int>(actions);
      return absl::OkStatus();
    }
    return server_.Failed(absl::StrFormat(
        "offers %d actions and images of %d x %d x %d: allowed are 1 to %d actions and images of "
        "up to %d bytes",
        actions, interface_.height, interface_.width, interface_.channels, kMostActions,
        kMostImageBytes));
  }

  const Interface& interface() const override { return interface_; }
  int copies() const override { return copies_; }

  absl::Status Reset(std::span<const int64_t> episodes, Observations* seen) override {
    ALLO_CHECK(static_cast<int>(episodes.size()) == copies_);
    Begin('R');
    for (const int64_t episode : episodes) Put(episode);
    answer_.resize(static_cast<size_t>(copies_ * interface_.image_bytes()));
    ALLO_RETURN_IF_ERROR(server_.Call(request_, answer_));
    TakeImages(0, seen);
    return absl::OkStatus();
  }

  absl::Status Step(std::span<const uint8_t> actions, std::span<float> rewards,
                    std::span<uint8_t> flags, Observations* seen) override {
    const auto copies = static_cast<size_t>(copies_);
    ALLO_CHECK(actions.size() == copies && rewards.size() == copies && flags.size() == copies);
    Begin('S');
    for (const uint8_t action : actions) Put(action);
    answer_.resize(copies * (5 + static_cast<size_t>(interface_.image_bytes())));
    ALLO_RETURN_IF_ERROR(server_.Call(request_, answer_));
    size_t at = 0;
    for (float& reward : rewards) reward = Get<float>(&at);
    for (uint8_t& flag : flags) flag = Get<uint8_t>(&at);
    TakeImages(at, seen);
    return absl::OkStatus();
  }

 private:
  void Begin(char call) {
    request_.assign(1, call);
    server_.SetCall(call);
  }
  template <class T>
  void Put(T value) {
    const char* bytes = reinterpret_cast<const char*>(&value);
    request_.insert(request_.end(), bytes, bytes + sizeof(value));
  }
  template <class T>
  T Get(size_t* at) const {
    T value;
    std::memcpy(&value, answer_.data() + *at, sizeof(value));
    *at += sizeof(value);
    return value;
  }
  void TakeImages(size_t at, Observations* seen) const {
    seen->tokens.clear();
    seen->images.assign(answer_.begin() + static_cast<ptrdiff_t>(at), answer_.end());
  }

  Server server_;
  const int copies_;
  Interface interface_;
  std::vector<char> request_, answer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> CreateProcess(const std::string& name, int copies) {
  return StartProcess(name, copies, kAnswerMs);
}

absl::StatusOr<std::unique_ptr<Environment>> StartProcess(const std::string& name, int copies,
                                                          int answer_ms) {
  ALLO_ASSIGN_OR_RETURN(const Name parsed, Parse(name));
  // A server that ended is an error of write(2), not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  auto process = std::make_unique<Process>(name, copies, answer_ms);
  ALLO_RETURN_IF_ERROR(process->Open(parsed));
  return process;
}

absl::Status CheckProcessName(const std::string& name) { return Parse(name).status(); }

}  // namespace allometry::environments
