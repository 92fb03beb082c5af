#include "coordinator/options.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace allometry::coordinator {
namespace {

bool IsLoopback(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

}  // namespace

std::string ListenAddress::ToString() const {
  return absl::StrContains(host, ':') ? absl::StrFormat("[%s]:%d", host, port)
                                      : absl::StrFormat("%s:%d", host, port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--listen %s: %s; expected HOST:PORT or [IPV6]:PORT, for example %s", text,
                        what, kDefaultListen));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return error("no port");
  absl::string_view host = text.substr(0, colon);
  ListenAddress address;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 ||
      address.port > 65535) {
    return error("the port is not a number in 0..65535");
  }
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ':')) {
    return error("an IPv6 address needs brackets");
  }
  if (host.empty()) return error("no host");
  address.host = std::string(host);
  address.loopback = IsLoopback(address.host);
  return address;
}

absl::Status Validate(const Options& options) {
  if (options.db_path.empty()) return absl::InvalidArgumentError("--db: a file name is needed");
  if (options.heartbeat_ms < 10) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--heartbeat-ms %d: at least 10 milliseconds are needed", options.heartbeat_ms));
  }
  // One lost heartbeat must not cost a lease.
  if (options.lease_ms < 3 * options.heartbeat_ms) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--lease-ms %d: a lease must last at least three heartbeats of %d ms",
                        options.lease_ms, options.heartbeat_ms));
  }
  if (options.preempt_after_ms < 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--preempt-after-ms %d: 0 milliseconds or more; 0 stops a run as soon as "
                        "one of a higher priority waits",
                        options.preempt_after_ms));
  }
  if (options.preempt_within_ms < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--preempt-within-ms %d: a run needs at least 1 millisecond to write its checkpoint",
        options.preempt_within_ms));
  }
  const bool tls = !options.tls_cert_file.empty() && !options.tls_key_file.empty();
  if (!tls && (!options.tls_cert_file.empty() || !options.tls_key_file.empty())) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key go together: one of them is missing");
  }
  ALLO_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(options.listen));
  if (!address.loopback && !(tls && !options.token_file.empty())) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "--listen %s is not a loopback address, so anyone on the network could reach it: give "
        "--tls-cert, --tls-key and --token-file, or listen on %s",
        options.listen, kDefaultListen));
  }
  return absl::OkStatus();
}

}  // namespace allometry::coordinator
