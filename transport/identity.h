// The TLS identity that follows from a token: whoever shows it knows the token.
//
// A key pair (Ed25519) and a certificate that it signed itself, both a function of the token alone
// (scrypt), so that a coordinator and its clients come to the same bytes. A client takes that one
// certificate as its only authority: what answers at the coordinator's address without knowing the
// token fails the handshake, before the client has said anything. Nothing about hosts is in it.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::transport {

struct Identity {
  std::string name;  // in the certificate, "<32 hex digits>.allometry": says nothing of the token
  std::string certificate;  // PEM
  std::string key;          // PEM; as secret as the token
};

// Some 50 ms of one core and 16 MB: guessing tokens from a certificate is slow. Internal: no
// entropy or memory.
absl::StatusOr<Identity> IdentityOf(const std::string& token);

}  // namespace allometry::transport
