#include "transport/identity.h"

#include <array>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "transport/openssl.h"

namespace allometry::transport {
namespace {

// Both sides must come to the same bytes: changing any of these is a new protocol.
constexpr char kSalt[] = "allometry coordinator identity 1";
constexpr uint64_t kScryptN = 1 << 14;
constexpr uint64_t kScryptR = 8;
constexpr uint64_t kScryptP = 1;
constexpr uint64_t kScryptMemory = 64 << 20;
constexpr size_t kKeyBytes = 32;
constexpr size_t kNameBytes = 16;

bool Fill(X509* certificate, EVP_PKEY* key, const std::string& name) {
  return X509_set_version(certificate, 2) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
         ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20000101000000Z") == 1 &&
         ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1 &&
         SetNames(certificate, certificate, key, name) &&
         AddExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE") &&
         AddExtension(certificate, certificate, NID_subject_alt_name, "DNS:" + name) &&
         X509_sign(certificate, key, nullptr) > 0;
}

}  // namespace

absl::StatusOr<Identity> IdentityOf(const std::string& token) {
  std::array<unsigned char, kKeyBytes + kNameBytes> bytes{};
  const auto* salt = reinterpret_cast<const unsigned char*>(kSalt);
  const absl::Status failed = absl::InternalError("OpenSSL cannot make the token's identity");
  if (EVP_PBE_scrypt(token.data(), token.size(), salt, sizeof(kSalt) - 1, kScryptN, kScryptR,
                     kScryptP, kScryptMemory, bytes.data(), bytes.size()) != 1) {
    return failed;
  }
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes.data(), kKeyBytes));
  const Certificate certificate(X509_new());
  Identity identity;
  identity.name =
      absl::StrCat(absl::BytesToHexString(absl::string_view(
                       reinterpret_cast<const char*>(bytes.data()) + kKeyBytes, kNameBytes)),
                   ".allometry");
  if (key == nullptr || certificate == nullptr ||
      !Fill(certificate.get(), key.get(), identity.name)) {
    return failed;
  }
  identity.certificate = PemOf(certificate.get());
  identity.key = PemOf(key.get());
  if (identity.certificate.empty() || identity.key.empty()) return failed;
  return identity;
}

}  // namespace allometry::transport
