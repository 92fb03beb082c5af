#include "web/api_calls.h"

#include <cctype>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "web/json_text.h"

namespace allometry::web {
namespace {

int HttpStatus(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return 400;
    case grpc::StatusCode::NOT_FOUND:
      return 404;
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::ALREADY_EXISTS:
      return 409;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return 429;
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

void ApiCalls::Send(std::string json, Response& response) {
  SendBytes(std::move(json), "application/json", response);
}

void ApiCalls::SendBytes(std::string bytes, const std::string& type, Response& response) {
  if (bytes.empty()) return response.set_content("", type);
  const auto kept = std::make_shared<const std::string>(std::move(bytes));
  response.set_content_provider(kept->size(), type,
                                [kept](size_t from, size_t length, httplib::DataSink& sink) {
                                  return sink.write(kept->data() + from, length);
                                });
}

void ApiCalls::SendFile(const std::string& text, const std::string& type, const std::string& name,
                        Response& response) {
  SaveAs(name, response);
  SendBytes(text, type == "image/svg+xml" ? type : type + "; charset=utf-8", response);
}

void ApiCalls::SaveAs(const std::string& name, Response& response) {
  std::string safe;
  for (const char c : name) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-';
    safe += is_plain ? c : '_';
  }
  response.set_header("Content-Disposition", absl::StrCat("inline; filename=\"", safe, "\""));
}

void ApiCalls::Refuse(const grpc::Status& status, Response& response) const {
  response.status = HttpStatus(status.error_code());
  std::string json = "{\"error\":";
  AppendText(json, options_.explain ? options_.explain(status) : status.error_message());
  json += '}';
  Send(std::move(json), response);
}

void ApiCalls::SendRefused(const grpc::Status& status, Response& response) const {
  if (status.error_code() != grpc::StatusCode::INVALID_ARGUMENT &&
      status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) {
    return Refuse(status, response);
  }
  std::string json = "{\"refused\":";
  AppendText(json, status.error_message());
  json += '}';
  Send(std::move(json), response);
}

grpc::Status ApiCalls::FromAbsl(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace allometry::web
