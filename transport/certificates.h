// A small authority of one's own: a folder with a key that signs a certificate for each host on
// which a coordinator listens (--tls-cert, --tls-key), and the certificate that clients are given
// to recognise them (--tls-ca).
//
//   DIR/ca.pem   the authority, for clients     DIR/HOST.pem   a host's certificate
//   DIR/ca.key   its key: who has it may        DIR/HOST.key   its key
//                stand in for any host
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::transport {

// Makes the authority where it is not there, valid for ten years. The folder and keys are private
// to the user. FailedPrecondition: one of its two files is missing; other codes as of the files.
absl::Status MakeAuthority(const std::string& dir);

// A new key and certificate for `host`, a name or an IP address, valid for a year from an hour ago
// (clocks differ). Replaces what is there. InvalidArgument: no host's name; NotFound: no authority;
// DataLoss: its files are no key and certificate.
absl::Status SignHost(const std::string& dir, const std::string& host);

}  // namespace allometry::transport
