#include "coordinator/options.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/duration.h"

namespace allometry::coordinator {
namespace {

constexpr auto kLongestMs = static_cast<int64_t>(kSecondsPerYear * 1000);

std::string Text(int64_t ms) { return FormatDuration(static_cast<double>(ms) / 1000); }

}  // namespace

absl::StatusOr<transport::Address> ListenAddressOf(const Options& options) {
  return transport::ParseAddress(
      options.listen.empty() ? transport::DefaultListenAddress() : options.listen, "--listen",
      /*any_port=*/true);
}

absl::StatusOr<transport::Address> MetricsAddressOf(const Options& options) {
  ALLO_ASSIGN_OR_RETURN(const transport::Address address,
                        transport::ParseAddress(options.metrics, "--metrics", /*any_port=*/true));
  if (address.is_unix()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--metrics %s: whoever scrapes needs HOST:PORT", options.metrics));
  }
  if (!options.metrics_anywhere && !transport::IsLoopbackOnly(address.host)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "--metrics %s: anybody who reaches it could read names of sweeps and how much is done, "
        "without a token: name 127.0.0.1:PORT, or add --metrics-anywhere",
        options.metrics));
  }
  return address;
}

absl::Status Validate(const Options& options) {
  if (options.db_path.empty()) return absl::InvalidArgumentError("--db: a file name is needed");
  if (options.heartbeat_ms < 10) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--heartbeat %s: at least 10ms are needed", Text(options.heartbeat_ms)));
  }
  // One lost heartbeat must not cost a lease.
  if (options.lease_ms < 3 * options.heartbeat_ms) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--lease %s: a lease must last at least three heartbeats of %s",
                        Text(options.lease_ms), Text(options.heartbeat_ms)));
  }
  for (const auto& [option, ms] : {std::pair("--lease", options.lease_ms),
                                   std::pair("--preempt-after", options.preempt_after_ms),
                                   std::pair("--preempt-within", options.preempt_within_ms)}) {
    if (ms <= kLongestMs) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("%s %s: allowed is up to %s", option, Text(ms), Text(kLongestMs)));
  }
  if (options.preempt_after_ms < 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--preempt-after %s: 0 or more; 0 stops a run as soon as one of a higher "
                        "priority waits",
                        Text(options.preempt_after_ms)));
  }
  if (options.preempt_within_ms < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--preempt-within %s: a run needs at least 1ms to write its checkpoint",
                        Text(options.preempt_within_ms)));
  }
  const bool tls = !options.tls_cert_file.empty() && !options.tls_key_file.empty();
  if (!tls && (!options.tls_cert_file.empty() || !options.tls_key_file.empty())) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key go together: one of them is missing");
  }
  ALLO_ASSIGN_OR_RETURN(const transport::Address address, ListenAddressOf(options));
  if (address.is_unix() && (tls || !options.token_file.empty())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--token-file, --tls-cert and --tls-key are for TCP, and --listen %s is a "
                        "Unix socket, which "
                        "only this user's programs can use: name HOST:PORT",
                        address.ToString()));
  }
  if (!address.is_unix() && options.token_file.empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("--listen %s is a TCP port, which others can reach: give --token-file FILE "
                        "(made where it is "
                        "missing), or listen on a Unix socket with --listen unix:PATH",
                        options.listen));
  }
  if (options.metrics.empty()) return absl::OkStatus();
  return MetricsAddressOf(options).status();
}

}  // namespace allometry::coordinator
