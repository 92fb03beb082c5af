// What the answers under /api/ share: a call of the coordinator, and its answer or refusal as HTTP.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/client_context.h"
#include "httplib.h"
#include "proto/client.grpc.pb.h"
#include "transport/user.h"
#include "web/server.h"

namespace allometry::web {

class ApiCalls {
 public:
  using Request = httplib::Request;
  using Response = httplib::Response;
  using Stub = v1::ClientService::Stub;

  static constexpr int kShortS = 60;  // the deadline of a call that reads rows

  // Both outlive it.
  ApiCalls(const Options& options, Stub& coordinator) : options_(options), stub_(coordinator) {}

 protected:
  // The sweep that the request is about.
  static std::string Name(const Request& request) { return request.get_param_value("name"); }

  static void Send(std::string json, Response& response);
  // As it is: the library would compress any text for a browser, which takes seconds a megabyte.
  static void SendBytes(std::string bytes, const std::string& type, Response& response);
  // As a file of this name, should the browser save it.
  static void SendFile(const std::string& text, const std::string& type, const std::string& name,
                       Response& response);
  static void SaveAs(const std::string& name, Response& response);
  // {"error": a sentence}, with the HTTP status that fits.
  void Refuse(const grpc::Status& status, Response& response) const;
  // {"refused": why} for what the data do not allow yet, which is no mistake of the page; otherwise
  // as Refuse.
  void SendRefused(const grpc::Status& status, Response& response) const;
  static grpc::Status FromAbsl(const absl::Status& status);

  // False: refused, and the response says so.
  template <class Message, class Answer>
  bool Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Message&, Answer*),
            const Message& message, Answer* answer, Response& response) const {
    grpc::ClientContext context;
    Prepare(context, kShortS);
    const grpc::Status status = (stub_.*method)(&context, message, answer);
    if (!status.ok()) Refuse(status, response);
    return status.ok();
  }
  // The call's deadline, and whose page makes it.
  static void Prepare(grpc::ClientContext& context, int timeout_s) {
    transport::SendUser(context);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(timeout_s));
  }

  const Options& options_;
  Stub& stub_;
};

// The answers about fits, of fit_api.cc; AddApi calls it.
void AddFitApi(httplib::Server& server, const Options& options, ApiCalls::Stub& coordinator);

}  // namespace allometry::web
