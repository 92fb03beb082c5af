#include "cli/context.h"

#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "transport/connection.h"
#include "transport/user.h"

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
  transport::SendUser(*call);
  if (timeout_s > 0) {
    call->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(timeout_s));
  }
  return call;
}

std::string Explain(const Context& context, const grpc::Status& status) {
  const bool is_unreachable = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                              status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (!is_unreachable || !transport::IsFromTransport(status)) return status.error_message();
  const transport::ConnectionOptions connection = ConnectionOf(context);
  const std::string proxy = transport::ProxyNote(connection);
  const std::string reason = transport::PlainReason(connection, status);
  // One that refuses a certificate does answer.
  const bool nobody = !absl::StartsWith(reason, transport::kRefusesCertificate);
  return absl::StrCat("no coordinator answers at ", context.coordinator, proxy.empty() ? "" : " ",
                      proxy, ": ", reason,
                      nobody ? ". Start one with 'allo coordinator --db FILE', or say where it is "
                               "with --coordinator ADDRESS or ALLO_COORDINATOR"
                             : "");
}

int Fail(const Context& context, const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED: {
      const transport::ConnectionOptions connection = ConnectionOf(context);
      if (transport::IsFromTransport(status) &&
          transport::PlainReason(connection, status) == transport::kAsksForToken) {
        if (const absl::Status usable = transport::Validate(connection); !usable.ok()) {
          return Fail(usable);
        }
      }
      std::cerr << "allo: " << Explain(context, status) << "\n";
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
