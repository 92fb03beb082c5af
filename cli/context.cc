#include "cli/context.h"

#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "transport/connection.h"

namespace allometry::cli {
namespace {

transport::ConnectionOptions ConnectionOf(const Context& context) {
  return {.address = context.coordinator,
          .option = context.coordinator_option,
          .tls_ca = context.tls_ca,
          .token_file = context.token_file};
}

}  // namespace

absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> Connect(const Context& context) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(256 << 20);
  ALLO_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                        transport::Connect(ConnectionOf(context), std::move(arguments)));
  return v1::ClientService::NewStub(channel);
}

std::unique_ptr<grpc::ClientContext> MakeCall(const Context&, int timeout_s) {
  auto call = std::make_unique<grpc::ClientContext>();
  if (timeout_s > 0) {
    call->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(timeout_s));
  }
  return call;
}

int Fail(const Context& context, const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED: {
      if (!transport::IsFromTransport(status)) {
        std::cerr << "allo: " << status.error_message() << "\n";
        return kExitUnreachable;
      }
      const transport::ConnectionOptions connection = ConnectionOf(context);
      const absl::Status usable = transport::Validate(connection);
      const std::string reason = transport::PlainReason(connection, status);
      if (!usable.ok() && reason == transport::kAsksForToken) return Fail(usable);
      const std::string proxy = transport::ProxyNote(connection);
      std::cerr << "allo: no coordinator answers at " << context.coordinator
                << (proxy.empty() ? "" : " ") << proxy << ": " << reason;
      // Somebody does answer there.
      if (!absl::StartsWith(reason, transport::kRefusesCertificate)) {
        std::cerr << ". Start one with 'allo coordinator --db FILE', or say where it is with"
                  << " --coordinator ADDRESS or ALLO_COORDINATOR";
      }
      std::cerr << "\n";
      return kExitUnreachable;
    }
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (absl::StrContains(status.error_message(), "larger than max")) {
        std::cerr
            << "allo: the request is larger than the 4 MB that a coordinator takes: the sweep "
               "file and its dataset's dataset.json go with it\n";
        return kExitBadInput;
      }
      std::cerr << "allo: " << status.error_message() << "\n";
      return kExitFailed;
    case grpc::StatusCode::INVALID_ARGUMENT:
      std::cerr << status.error_message() << "\n";
      return kExitBadInput;
    case grpc::StatusCode::UNAUTHENTICATED:
      std::cerr << "allo: " << status.error_message() << "\n";
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
