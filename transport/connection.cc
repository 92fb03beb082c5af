#include "transport/connection.h"

#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/files.h"
#include "transport/address.h"
#include "transport/certificate_check.h"
#include "transport/identity.h"
#include "transport/proxy.h"
#include "transport/socket_folder.h"
#include "transport/token.h"

namespace allometry::transport {
namespace {

// A path below a file: connecting there fails at once, until the caller connects anew.
constexpr char kNoSocket[] = "unix:/dev/null/coordinator.sock";

Proxy ProxyOf(const Address& address) {
  return ProxyFor(address, [](const char* name) -> const char* { return std::getenv(name); });
}

absl::Status NeedsToken(const Address& address) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the coordinator at ", address.ToString(),
      " asks for a token: give --token-file (or ALLO_TOKEN_FILE) with the file that it was started "
      "with; only a Unix socket needs none"));
}

absl::StatusOr<std::string> ReadAuthorities(const std::string& tls_ca) {
  absl::StatusOr<std::string> pem = ReadFile(tls_ca);
  if (!pem.ok()) return Annotate(pem.status(), "--tls-ca");
  ALLO_RETURN_IF_ERROR(CheckAuthorities(*pem, tls_ca));
  return pem;
}

// What is wrong with the certificate of a coordinator that a client with --tls-ca does not take;
// empty: not known. What a proxy lets through is not tried again without it.
std::string CertificateFault(const ConnectionOptions& options) {
  const absl::StatusOr<Address> address = ParseAddress(options.address, options.option);
  if (options.tls_ca.empty() || !address.ok() || !ProxyOf(*address).url.empty()) return "";
  return WhyRefused(*address, options.tls_ca);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectUnix(
    const Address& address, const grpc::ChannelArguments& arguments) {
  absl::StatusOr<std::shared_ptr<SocketFolder>> folder = SocketFolder::Open(address.path);
  if (absl::IsNotFound(folder.status())) {
    return grpc::CreateCustomChannel(kNoSocket, grpc::InsecureChannelCredentials(), arguments);
  }
  ALLO_RETURN_IF_ERROR(folder.status());
  ALLO_RETURN_IF_ERROR((*folder)->CheckSocket());
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
      absl::StrCat("unix:", (*folder)->ShortPath()), grpc::InsecureChannelCredentials(), arguments);
  // The folder is open as long as the channel may connect.
  auto both =
      std::make_shared<std::pair<std::shared_ptr<SocketFolder>, std::shared_ptr<grpc::Channel>>>(
          *folder, channel);
  return std::shared_ptr<grpc::Channel>(both, channel.get());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectTls(const Address& address,
                                                          const ConnectionOptions& options,
                                                          grpc::ChannelArguments arguments) {
  // Without a token nobody can prove anything, and no call gets that far; but where nothing
  // listens, that is what a person should hear.
  std::string token;
  if (!options.token_file.empty()) {
    ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> tokens, ReadTokens(options.token_file));
    token = tokens.front();
  }
  grpc::SslCredentialsOptions tls;
  if (options.tls_ca.empty()) {
    ALLO_ASSIGN_OR_RETURN(const Identity identity,
                          IdentityOf(token.empty() ? RandomHex128() : token));
    tls.pem_root_certs = identity.certificate;
    arguments.SetSslTargetNameOverride(identity.name);
  } else {
    ALLO_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadAuthorities(options.tls_ca));
  }
  // gRPC's own reading of the environment knows neither capitals nor networks.
  if (const Proxy proxy = ProxyOf(address); proxy.url.empty()) {
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  } else {
    arguments.SetString(GRPC_ARG_HTTP_PROXY, proxy.url);
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(tls);
  if (!token.empty()) {
    credentials =
        grpc::CompositeChannelCredentials(credentials, grpc::AccessTokenCredentials(token));
  }
  return grpc::CreateCustomChannel(address.ToString(), credentials, arguments);
}

}  // namespace

absl::Status Validate(const ConnectionOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const Address address, ParseAddress(options.address, options.option));
  if (address.is_unix()) return absl::OkStatus();
  if (options.token_file.empty()) return NeedsToken(address);
  ALLO_RETURN_IF_ERROR(ReadTokens(options.token_file).status());
  if (options.tls_ca.empty()) return absl::OkStatus();
  return ReadAuthorities(options.tls_ca).status();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ConnectionOptions& options,
                                                       grpc::ChannelArguments arguments) {
  ALLO_ASSIGN_OR_RETURN(const Address address, ParseAddress(options.address, options.option));
  // A new channel means a new connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC's own backoff grows to two minutes; a coordinator is back within seconds.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return address.is_unix() ? ConnectUnix(address, arguments)
                           : ConnectTls(address, options, std::move(arguments));
}

bool IsFromTransport(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return true;
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  for (const char* words : {"failed to connect",
                            "Failed to connect",
                            "Connection refused",
                            "Connection reset",
                            "Socket closed",
                            "Broken pipe",
                            "DNS resolution failed",
                            "Endpoint read failed",
                            "GOAWAY",
                            "keepalive",
                            "Stream removed",
                            "andshake",
                            "channel is shutting down",
                            "recvmsg",
                            "sendmsg",
                            "transport",
                            "Transport",
                            "Timeout occurred",
                            "onnection timed out",
                            "empty address list"}) {
    if (absl::StrContains(status.error_message(), words)) return true;
  }
  return false;
}

std::string PlainReason(const ConnectionOptions& options, const grpc::Status& status) {
  if (!IsFromTransport(status)) return status.error_message();
  const std::string& message = status.error_message();
  const auto has = [&](absl::string_view words) { return absl::StrContains(message, words); };
  const bool is_unproved = has("certificate verify failed") || has("CERTIFICATE_VERIFY_FAILED") ||
                           has("Hostname Verification") || has("not in peer certificate");
  if (is_unproved && options.tls_ca.empty()) {
    if (options.token_file.empty()) return kAsksForToken;
    return absl::StrCat("what answers there does not know the token in ", options.token_file,
                        ": the coordinator has another one, or another program has its port");
  }
  // A signature of another authority fails the handshake in other words.
  if (is_unproved || has("andshake")) {
    const std::string fault = CertificateFault(options);
    if (!fault.empty()) return absl::StrCat(kRefusesCertificate, fault);
  }
  if (is_unproved) {
    return absl::StrCat(kRefusesCertificate,
                        "it is not for this host, has expired, or is not signed by ",
                        options.tls_ca);
  }
  if (has("andshake")) return "what answers there is not a coordinator: it does not speak TLS";
  if (has("Connection refused") || has("No such file") || has("Not a directory")) {
    return "nothing listens there";
  }
  if (has("DNS resolution failed") || has("empty address list")) return "there is no such host";
  if (has("Permission denied")) return "it is another user's";
  if (has("No route to host") || has("etwork is unreachable")) return "the host cannot be reached";
  if (has("HTTP proxy")) return "the proxy refuses the connection";
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED || has("imed out") ||
      has("Timeout") || has("keepalive")) {
    return "no answer came in time";
  }
  return "the connection broke";
}

std::string ProxyNote(const ConnectionOptions& options) {
  const absl::StatusOr<Address> address = ParseAddress(options.address, options.option);
  if (!address.ok()) return "";
  const Proxy proxy = ProxyOf(*address);
  return proxy.url.empty() ? "" : absl::StrCat("through ", proxy.ToString());
}

void QuietGrpc() {
  const char* verbosity = std::getenv("GRPC_VERBOSITY");
  if (verbosity == nullptr || *verbosity == '\0') gpr_set_log_function([](gpr_log_func_args*) {});
}

}  // namespace allometry::transport
