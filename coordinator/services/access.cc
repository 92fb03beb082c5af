#include "coordinator/services/access.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/files.h"

namespace allometry::coordinator {
namespace {

constexpr char kScheme[] = "Bearer ";
constexpr size_t kShortestToken = 16;

}  // namespace

bool EqualInConstantTime(absl::string_view secret, absl::string_view offered) {
  volatile uint8_t difference = secret.size() == offered.size() ? 0 : 1;
  for (size_t i = 0; i < offered.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = difference | static_cast<uint8_t>(expected ^ offered[i]);
  }
  return difference == 0;
}

grpc::Status TokenCheck::Check(const grpc::ServerContext& context) const {
  if (token_.empty()) return grpc::Status::OK;
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) {
    return {grpc::StatusCode::UNAUTHENTICATED,
            "this coordinator asks for a token: pass --token-file with the file it was given"};
  }
  absl::string_view offered(found->second.data(), found->second.size());
  if (!absl::StartsWith(offered, kScheme) ||
      !EqualInConstantTime(token_, offered.substr(sizeof(kScheme) - 1))) {
    return {grpc::StatusCode::UNAUTHENTICATED,
            "the token is not the one that this coordinator was started with"};
  }
  return grpc::Status::OK;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  if (path.empty()) return std::string();
  ALLO_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  std::string token(absl::StripAsciiWhitespace(contents.substr(0, contents.find('\n'))));
  if (token.size() < kShortestToken) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--token-file %s: the token has %d characters; at least %d are needed "
                        "(make one with: openssl rand -hex 32)",
                        path, token.size(), kShortestToken));
  }
  return token;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const Options& options) {
  if (options.tls_cert_file.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions tls;
  ALLO_ASSIGN_OR_RETURN(std::string certificate, ReadFile(options.tls_cert_file));
  ALLO_ASSIGN_OR_RETURN(std::string key, ReadFile(options.tls_key_file));
  tls.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  return grpc::SslServerCredentials(tls);
}

}  // namespace allometry::coordinator
