// allo-coordinator: one SQLite file served over gRPC, until SIGTERM or SIGINT.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/output_file.h"
#include "base/private_files.h"
#include "base/standard_output.h"
#include "coordinator/options.h"
#include "coordinator/server.h"
#include "transport/address.h"
#include "transport/connection.h"
#include "transport/listener.h"

namespace allometry::coordinator {
namespace {

constexpr size_t kLongestAddress = 4096;

// The exit code: 2 for what was asked for and cannot be, 1 for what failed.
int Fail(const absl::Status& status) {
  std::cerr << "allo-coordinator: " << status.message() << std::endl;
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

// What another coordinator wrote there may be replaced; a sweep file that was named by mistake may
// not.
absl::Status CheckAddressFile(const std::string& path, const Options& options) {
  ALLO_RETURN_IF_ERROR(CheckOutput(path, {.inputs = {options.db_path, options.token_file}}));
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadFile(path, kLongestAddress);
  if (text.ok()) {
    const absl::string_view line = absl::StripAsciiWhitespace(*text);
    if (line.empty() || transport::ParseAddress(line, "", true).ok()) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      path + " is there and holds no address: it was not written; name another file, or remove " +
      "this one first");
}

// Blocked in every thread, so that the one sigwait below receives them.
sigset_t BlockStopSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  return stop;
}

int Main(int argc, char** argv) {
  MakeFilesPrivate();
  transport::QuietGrpc();
  transport::RaiseFileLimit();
  Options options;
  options.listen = transport::DefaultListenAddress();
  std::string address_file;
  CLI::App app("The coordinator: plans and schedules sweeps, stores every loss, fits the laws.",
               "allo-coordinator");
  app.add_option("--db", options.db_path, "SQLite file; made when it is not there")->required();
  app.add_option("--listen", options.listen,
                 "unix:PATH for programs of this user on this machine; HOST:PORT for others, with "
                 "--token-file; port 0 takes a free one")
      ->capture_default_str();
  AddDurationInMs(app, "--lease", options.lease_ms,
                  "a worker that is silent for this long loses its runs");
  AddDurationInMs(app, "--heartbeat", options.heartbeat_ms, "how often workers report");
  AddDurationInMs(
      app, "--preempt-after", options.preempt_after_ms,
      "a run goes on for this long before it may be stopped for one of a higher priority");
  AddDurationInMs(app, "--preempt-within", options.preempt_within_ms,
                  "how long such a run may take to write its checkpoint; then it is killed");
  app.add_option(
      "--token-file", options.token_file,
      "file with the tokens that are taken on TCP, one a line; made where it is missing");
  app.add_option("--tls-cert", options.tls_cert_file,
                 "PEM file of a certificate chain, for clients with --tls-ca; not needed by those "
                 "with the token");
  app.add_option("--tls-key", options.tls_key_file, "PEM file of its key");
  app.add_option("--address-file", address_file, "where to write the address as soon as it serves");
  app.add_option("--metrics", options.metrics,
                 "HOST:PORT where Prometheus may scrape /metrics, on this machine alone; port 0 "
                 "takes a free one");
  app.add_flag("--metrics-anywhere", options.metrics_anywhere,
               "an address of --metrics that others reach is allowed: metrics need no token");
  if (const std::optional<int> over = ParseCommandLine(app, argc, argv)) return *over;

  if (const absl::Status valid = Validate(options); !valid.ok()) {
    return Fail(absl::InvalidArgumentError(valid.message()));
  }
  // Before the database is open: to look at an open one would drop SQLite's locks on it.
  if (!address_file.empty()) {
    const absl::Status may = CheckAddressFile(address_file, options);
    if (!may.ok()) return Fail(Annotate(may, "--address-file"));
  }
  const sigset_t stop = BlockStopSignals();
  // The store's thread says it, and this one stops.
  std::atomic<bool> lost = false;
  options.lost = [&lost](const absl::Status& status) {
    Fail(status);
    lost = true;
    kill(getpid(), SIGTERM);
  };
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
  if (!server.ok()) return Fail(server.status());
  std::cout << absl::StrFormat("allo-coordinator: serving %s on %s", options.db_path,
                               (*server)->address())
            << std::endl;
  if (const std::string metrics = (*server)->metrics_url(); !metrics.empty()) {
    std::cout << "allo-coordinator: metrics at " << metrics << std::endl;
  }
  if (!address_file.empty()) {
    const absl::Status written = WriteFileAtomically(address_file, (*server)->address() + "\n");
    if (!written.ok()) return Fail(written);
  }
  int signal = 0;
  sigwait(&stop, &signal);
  if (!lost) {
    std::cout << absl::StrFormat("allo-coordinator: %s, finishing what was begun",
                                 signal == SIGINT ? "SIGINT" : "SIGTERM")
              << std::endl;
  }
  (*server)->Stop();
  return lost ? 1 : 0;
}

}  // namespace
}  // namespace allometry::coordinator

int main(int argc, char** argv) {
  try {
    return allometry::EndOutput("allo-coordinator", allometry::coordinator::Main(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "allo-coordinator: " << error.what() << std::endl;
    return 1;
  }
}
