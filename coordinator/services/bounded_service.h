// A gRPC service whose requests are measured before they are parsed.
//
// A parsed message takes many times its bytes: an empty entry of a list is two bytes on the wire
// and fifty in memory. gRPC counts the bytes alone (grpc::ResourceQuota), and the services that
// protoc writes parse whatever arrives. So each method says here how large its requests may be, and
// those above kSmallBytes share kMostBytes among all calls of the service: a call waits for its
// part before its request is parsed, and gives it back when its method returns.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/method_handler.h"

namespace allometry::coordinator {

class BoundedService : public grpc::Service {
 public:
  // What calls hold of kMostBytes; for the handlers.
  class Memory {
   public:
    void Take(size_t bytes);
    // What the call that this thread serves took, once.
    void GiveBackOfThisCall();

   private:
    static thread_local size_t of_this_call_;

    Mutex mutex_;
    ConditionVariable changed_;
    size_t taken_ ALLO_GUARDED_BY(mutex_) = 0;
  };

 protected:
  static constexpr size_t kSmallBytes = 4 << 10;
  static constexpr size_t kMostBytes = 4 << 20;

  // `descriptor`: of the service that this one serves.
  explicit BoundedService(const google::protobuf::ServiceDescriptor& descriptor)
      : descriptor_(descriptor) {}

  // The method of this name: one request, one answer.
  template <class Service, class Request, class Response>
  void Unary(absl::string_view name, size_t most_bytes,
             grpc::Status (Service::*method)(grpc::ServerContext*, const Request*, Response*)) {
    using google::protobuf::MessageLite;
    using Handler =
        grpc::internal::RpcMethodHandler<Service, Request, Response, MessageLite, MessageLite>;
    const auto call = [this, method](Service* service, grpc::ServerContext* context,
                                     const Request* request, Response* response) {
      const grpc::Status status = (service->*method)(context, request, response);
      memory_.GiveBackOfThisCall();  // before the answer goes out: its reader may be slow
      return status;
    };
    Add(name, grpc::internal::RpcMethod::NORMAL_RPC, most_bytes,
        std::make_unique<Handler>(call, static_cast<Service*>(this)));
  }
  // One request, many answers. The request is small, because the call may last for hours.
  template <class Service, class Request, class Response>
  void ServerStream(absl::string_view name,
                    grpc::Status (Service::*method)(grpc::ServerContext*, const Request*,
                                                    grpc::ServerWriter<Response>*)) {
    using Handler = grpc::internal::ServerStreamingHandler<Service, Request, Response>;
    Add(name, grpc::internal::RpcMethod::SERVER_STREAMING, kSmallBytes,
        std::make_unique<Handler>(std::mem_fn(method), static_cast<Service*>(this)));
  }
  // Many requests, many answers; the method looks at the size of each itself.
  template <class Service, class Request, class Response>
  void BothStream(absl::string_view name,
                  grpc::Status (Service::*method)(grpc::ServerContext*,
                                                  grpc::ServerReaderWriter<Response, Request>*)) {
    using Handler = grpc::internal::BidiStreamingHandler<Service, Request, Response>;
    Add(name, grpc::internal::RpcMethod::BIDI_STREAMING, 0,
        std::make_unique<Handler>(std::mem_fn(method), static_cast<Service*>(this)));
  }
  // After the last: every method of the descriptor is there.
  void CheckComplete() const;

 private:
  void Add(absl::string_view name, grpc::internal::RpcMethod::RpcType type, size_t most_bytes,
           std::unique_ptr<grpc::internal::MethodHandler> handler);

  const google::protobuf::ServiceDescriptor& descriptor_;
  std::deque<std::string> names_;  // gRPC keeps pointers
  Memory memory_;
};

}  // namespace allometry::coordinator
