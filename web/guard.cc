#include "web/guard.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "transport/token.h"

namespace allometry::web {
namespace {

// "[::1]:80" -> "::1", "Localhost:80" -> "localhost".
std::string NameOf(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) return std::string(host.substr(0, host.find(']')));
  return absl::AsciiStrToLower(host.substr(0, host.find(':')));
}

bool IsNumeric(const std::string& name) {
  in_addr v4;
  in6_addr v6;
  return inet_pton(AF_INET, name.c_str(), &v4) == 1 || inet_pton(AF_INET6, name.c_str(), &v6) == 1;
}

bool IsOwnName(const GuardOptions& options, const std::string& name) {
  return name == "localhost" || IsNumeric(name) ||
         std::find(options.names.begin(), options.names.end(), name) != options.names.end();
}

// The page itself, or an address that a person opened.
bool IsOwnPage(const RequestFacts& request) {
  if (!request.origin.empty()) {
    return request.origin == absl::StrCat("http://", request.host) ||
           request.origin == absl::StrCat("https://", request.host);
  }
  // Where a browser is too old to say, a GET shows nothing to another site.
  return request.fetch_site.empty() || request.fetch_site == "same-origin" ||
         request.fetch_site == "none";
}

bool HasToken(const GuardOptions& options, const RequestFacts& request) {
  absl::string_view offered = request.authorization;
  return absl::ConsumePrefix(&offered, "Bearer ") &&
         transport::EqualInConstantTime(options.token, offered);
}

}  // namespace

Verdict Judge(const GuardOptions& options, const RequestFacts& request) {
  if (const std::string name = NameOf(request.host); !IsOwnName(options, name)) {
    return {403, absl::StrCat("this server does not go by the name '", name,
                              "': open it by its address, or start it with --name ", name)};
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && request.method != "POST") return {405, "GET and POST are the methods there are"};
  const bool is_data = absl::StartsWith(request.path, "/api/");
  if (!reads && !is_data) return {405, "only data are changed by POST"};
  if (is_data && !IsOwnPage(request)) {
    return {403, "a page of another site asked for this; only this server's own page may"};
  }
  if (!reads && request.origin.empty()) {
    return {403, "a request that changes something says where it comes from (Origin)"};
  }
  if (is_data && !request.of_own_user) {
    return {403, "this page is of another user of this machine"};
  }
  if (is_data && !options.token.empty() && !HasToken(options, request)) {
    return {401,
            "the token is missing: open the whole address that 'allo web' printed, with "
            "#token=..."};
  }
  if (!reads && !options.allow_changes) {
    return {403,
            "this page is read-only: 'allo web --allow-changes' lets it cancel, retry and "
            "drain"};
  }
  return {};
}

}  // namespace allometry::web
