// Who may ask what of the page's server.
//
// A page of another site can make a browser send requests to 127.0.0.1. It cannot choose the Host
// header, unless its own name leads here (DNS rebinding), nor hide its Origin. So a request is
// served only where its Host is a name that this server goes by, and where it comes from the page
// itself. On loopback data go to the user that started the server, and to root, alone: the kernel
// says whose connection it is. Beyond loopback requests carry a token, which the browser has from
// the fragment of the address and no other site can read.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace allometry::web {

struct GuardOptions {
  std::vector<std::string> names = {};  // besides localhost and numeric addresses; lower case
  std::string token = {};               // empty: none is asked for
  bool allow_changes = false;
};

// What a request says of itself; a header that is missing is empty.
struct RequestFacts {
  std::string method = {};         // GET, HEAD, POST, ...
  std::string path = {};           // "/api/sweeps"
  std::string host = {};           // "127.0.0.1:7448"
  std::string origin = {};         // "http://127.0.0.1:7448"
  std::string fetch_site = {};     // Sec-Fetch-Site: "same-origin", "cross-site", "none"
  std::string authorization = {};  // "Bearer TOKEN"
  bool of_own_user = true;         // or of root; false: of another user of this machine
};

struct Verdict {
  int status = 200;    // or that of the refusal
  std::string reason;  // a sentence
};

Verdict Judge(const GuardOptions& options, const RequestFacts& request);

}  // namespace allometry::web
