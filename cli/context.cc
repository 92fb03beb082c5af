#include "cli/context.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <iostream>

#include "absl/strings/strip.h"
#include "base/files.h"

namespace allometry::cli {

absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> Connect(const Context& context) {
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!context.tls_ca.empty()) {
    grpc::SslCredentialsOptions options;
    ALLO_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(context.tls_ca));
    credentials = grpc::SslCredentials(options);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(256 << 20);
  // A restarted coordinator is found within a second, not after gRPC's two minutes.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  return v1::ClientService::NewStub(
      grpc::CreateCustomChannel(context.coordinator, credentials, arguments));
}

std::unique_ptr<grpc::ClientContext> MakeCall(const Context& context, int timeout_s) {
  auto call = std::make_unique<grpc::ClientContext>();
  if (timeout_s > 0) {
    call->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(timeout_s));
  }
  if (!context.token_file.empty()) {
    if (absl::StatusOr<std::string> token = ReadFile(context.token_file); token.ok()) {
      call->AddMetadata("authorization",
                        absl::StrCat("Bearer ", absl::StripAsciiWhitespace(*token)));
    }
  }
  return call;
}

int Fail(const Context& context, const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      std::cerr << "allo: no coordinator answers at " << context.coordinator
                << ": start one with 'allo coordinator --db FILE', or say where it is with"
                << " --coordinator HOST:PORT or ALLO_COORDINATOR (" << status.error_message()
                << ")\n";
      return kExitUnreachable;
    case grpc::StatusCode::INVALID_ARGUMENT:
      std::cerr << status.error_message() << "\n";
      return kExitBadInput;
    case grpc::StatusCode::UNAUTHENTICATED:
      std::cerr << "allo: " << status.error_message() << " (name the token with --token-file)\n";
      return kExitBadInput;
    default:
      std::cerr << "allo: " << status.error_message() << "\n";
      return kExitFailed;
  }
}

int Fail(const absl::Status& status) {
  std::cerr << status.message() << "\n";
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? kExitBadInput : kExitFailed;
}

}  // namespace allometry::cli
