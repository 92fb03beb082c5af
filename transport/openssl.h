// Owners of OpenSSL's objects, and the pieces of a certificate that more than one file makes.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace allometry::transport {

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

// `issuer` is the certificate itself where it signs itself.
bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value);
// Sets public key, the subject's common name and the issuer's name.
bool SetNames(X509* certificate, X509* issuer, EVP_PKEY* key, const std::string& name);

// "2026-11-29 10:00 UTC".
std::string TimeText(const ASN1_TIME* time);

// As PEM text; "" where OpenSSL fails.
std::string PemOf(X509* certificate);
std::string PemOf(EVP_PKEY* private_key);

}  // namespace allometry::transport
