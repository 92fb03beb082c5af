#include "transport/identity.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/strings/escaping.h"

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

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

bool AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool Fill(X509* certificate, EVP_PKEY* key, const std::string& name) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  return X509_set_version(certificate, 2) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
         ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20000101000000Z") == 1 &&
         ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1 &&
         X509_set_pubkey(certificate, key) == 1 &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                    0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1 &&
         AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
         AddExtension(certificate, NID_subject_alt_name, "DNS:" + name) &&
         X509_sign(certificate, key, nullptr) > 0;
}

template <class Write>
std::string ToPem(Write write) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || write(memory.get()) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
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
  identity.certificate =
      ToPem([&](BIO* out) { return PEM_write_bio_X509(out, certificate.get()); });
  identity.key = ToPem([&](BIO* out) {
    return PEM_write_bio_PKCS8PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (identity.certificate.empty() || identity.key.empty()) return failed;
  return identity;
}

}  // namespace allometry::transport
