// Says why the certificate of a TLS server was refused. gRPC itself says only that the verification
// failed.
#pragma once

#include <string>

#include "base/status.h"
#include "transport/address.h"

namespace allometry::transport {

// InvalidArgument where `pem`, the content of `file`, holds no certificate.
absl::Status CheckAuthorities(const std::string& pem, const std::string& file);

// Connects to `address`, a TCP one, and looks at the certificate that is shown there as a client
// does that takes the authorities of the file `tls_ca` alone: "it expired on 2026-11-29 10:00 UTC".
// Sends nothing but the handshake, and gives up after two seconds. Empty: nothing is wrong with it,
// or no certificate was shown.
std::string WhyRefused(const Address& address, const std::string& tls_ca);

}  // namespace allometry::transport
