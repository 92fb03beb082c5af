#include "transport/certificates.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "base/files.h"
#include "base/private_files.h"
#include "transport/openssl.h"

namespace allometry::transport {
namespace {

constexpr long kHour = 3600, kDay = 24 * kHour;
constexpr long kAuthorityDays = 3650, kHostDays = 365;
constexpr size_t kLongestName = 64;  // of a common name, RFC 5280

absl::Status Failed() { return absl::InternalError("OpenSSL cannot make a key and certificate"); }

std::string AuthorityPath(const std::string& dir) { return dir + "/ca.pem"; }
std::string AuthorityKeyPath(const std::string& dir) { return dir + "/ca.key"; }

// What authority and host have alike; `issuer` is the certificate itself where it signs itself.
bool Fill(X509* certificate, X509* issuer, EVP_PKEY* key, const std::string& name, long days) {
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return false;
  serial[0] &= 0x7F;  // positive
  const std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(serial, sizeof(serial), nullptr));
  return number != nullptr && X509_set_version(certificate, 2) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -kHour) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDay) != nullptr &&
         SetNames(certificate, issuer, key, name);
}

// The key first: a certificate without one is of no use.
absl::Status WritePair(const std::string& path, EVP_PKEY* key, X509* certificate) {
  const std::string key_text = PemOf(key), text = PemOf(certificate);
  if (key_text.empty() || text.empty()) return Failed();
  const mode_t before = umask(077);
  absl::Status written = WriteFileAtomically(path + ".key", key_text);
  if (written.ok()) written = WriteFileAtomically(path + ".pem", text);
  umask(before);
  return written;
}

bool IsAddress(const std::string& host) {
  in6_addr bytes;
  return inet_pton(AF_INET, host.c_str(), &bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &bytes) == 1;
}

absl::Status CheckHost(const std::string& host) {
  const bool is_name = !host.empty() && host.size() <= 253 && host != "ca" && host.front() != '-' &&
                       host.front() != '.' &&
                       std::all_of(host.begin(), host.end(), [](unsigned char c) {
                         return absl::ascii_isalnum(c) || c == '-' || c == '.';
                       });
  if (is_name || IsAddress(host)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("host '", host, "': a host's name or IP address is allowed"));
}

}  // namespace

absl::Status MakeAuthority(const std::string& dir) {
  ALLO_RETURN_IF_ERROR(MakePrivateDirectories(dir));
  struct stat info {};
  const bool has_certificate = stat(AuthorityPath(dir).c_str(), &info) == 0;
  const bool has_key = stat(AuthorityKeyPath(dir).c_str(), &info) == 0;
  if (has_certificate && has_key) return absl::OkStatus();
  if (has_certificate) {
    return absl::FailedPreconditionError(
        absl::StrCat(AuthorityPath(dir), " is there and its key ca.key is not: bring it back, or ",
                     "remove ca.pem for a new authority, which clients must be given anew"));
  }
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  X509* own = certificate.get();
  if (key == nullptr || own == nullptr ||
      !Fill(own, own, key.get(), "Allometry authority", kAuthorityDays) ||
      !AddExtension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(own, own, NID_subject_key_identifier, "hash") ||
      X509_sign(own, key.get(), EVP_sha256()) <= 0) {
    return Failed();
  }
  return WritePair(dir + "/ca", key.get(), own);
}

absl::Status SignHost(const std::string& dir, const std::string& host) {
  ALLO_RETURN_IF_ERROR(CheckHost(host));
  ALLO_ASSIGN_OR_RETURN(const std::string authority_text, ReadFile(AuthorityPath(dir)));
  ALLO_ASSIGN_OR_RETURN(const std::string key_text, ReadFile(AuthorityKeyPath(dir)));
  const Memory authority_pem(
      BIO_new_mem_buf(authority_text.data(), static_cast<int>(authority_text.size())));
  const Memory key_pem(BIO_new_mem_buf(key_text.data(), static_cast<int>(key_text.size())));
  const Certificate authority(PEM_read_bio_X509(authority_pem.get(), nullptr, nullptr, nullptr));
  const Key authority_key(PEM_read_bio_PrivateKey(key_pem.get(), nullptr, nullptr, nullptr));
  if (authority == nullptr || authority_key == nullptr ||
      X509_check_private_key(authority.get(), authority_key.get()) != 1) {
    return absl::DataLossError(absl::StrCat(AuthorityPath(dir), " and ", AuthorityKeyPath(dir),
                                            " are no certificate and its key"));
  }
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  X509* own = certificate.get();
  const std::string name = (IsAddress(host) ? "IP:" : "DNS:") + host;
  if (key == nullptr || own == nullptr ||
      !Fill(own, authority.get(), key.get(), host.substr(0, kLongestName), kHostDays) ||
      !AddExtension(own, authority.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(own, authority.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(own, authority.get(), NID_ext_key_usage, "serverAuth") ||
      !AddExtension(own, authority.get(), NID_subject_alt_name, name) ||
      !AddExtension(own, authority.get(), NID_authority_key_identifier, "keyid:always") ||
      X509_sign(own, authority_key.get(), EVP_sha256()) <= 0) {
    return Failed();
  }
  return WritePair(dir + "/" + host, key.get(), own);
}

}  // namespace allometry::transport
