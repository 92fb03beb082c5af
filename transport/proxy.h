// Which HTTP proxy a connection goes through.
//
// The variables are those that people set for all their programs, in capitals or not: grpc_proxy,
// https_proxy, http_proxy name a proxy, the first that is set; no_grpc_proxy and no_proxy list what
// goes without: hosts, domains (".example.org", "*.example.org"), addresses, networks
// ("10.0.0.0/8"), each perhaps with a port, or "*". This machine never goes through a proxy.
#pragma once

#include <functional>
#include <string>

#include "transport/address.h"

namespace allometry::transport {

struct Proxy {
  std::string url;       // empty: none
  std::string variable;  // that named it
  // "the proxy HOST:PORT that https_proxy names", without a user and password that the URL may
  // hold.
  std::string ToString() const;
};

// `get` looks a variable up, as getenv: nullptr where it is not set.
Proxy ProxyFor(const Address& address, const std::function<const char*(const char*)>& get);

}  // namespace allometry::transport
