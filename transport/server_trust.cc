#include "transport/server_trust.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <iostream>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/mutex.h"
#include "transport/identity.h"
#include "transport/openssl.h"
#include "transport/token.h"

namespace allometry::transport {
namespace {

constexpr char kScheme[] = "Bearer ";

// Changes whenever a file is replaced or written.
using Stamp = std::tuple<uint64_t, int64_t, int64_t, int64_t>;

Stamp StampOf(const std::string& path) {
  struct stat status {};
  if (path.empty() || stat(path.c_str(), &status) != 0) return {};
  return {status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

// InvalidArgument where the key is not the certificate's. Of a certificate that is not valid now a
// line is said: clients with the token alone do not look at it.
absl::Status CheckPair(const Identity& pair, const ServerTrustOptions& options) {
  const auto memory = [](const std::string& text) {
    return std::unique_ptr<BIO, decltype(&BIO_free)>(
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
  };
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(memory(pair.certificate).get(), nullptr, nullptr, nullptr), &X509_free);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert ", options.tls_cert_file, " holds no certificate in PEM"));
  }
  // A key with a passphrase is not asked for: nobody sits at a coordinator.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(memory(pair.key).get(), nullptr, no_passphrase, nullptr),
      &EVP_PKEY_free);
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-key ", options.tls_key_file, " holds no key in PEM that is without a passphrase"));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-key ", options.tls_key_file,
                                                   " is not the key of --tls-cert ",
                                                   options.tls_cert_file));
  }
  const ASN1_TIME* from = X509_get0_notBefore(certificate.get());
  const ASN1_TIME* to = X509_get0_notAfter(certificate.get());
  const bool is_early = X509_cmp_current_time(from) > 0;
  if (is_early || X509_cmp_current_time(to) < 0) {
    std::cerr << absl::StrCat("allo-coordinator: --tls-cert ", options.tls_cert_file,
                              is_early ? " is valid only from " : " expired on ",
                              TimeText(is_early ? from : to),
                              ": clients with --tls-ca will refuse it\n")
              << std::flush;
  }
  return absl::OkStatus();
}

// What the files say, and when they said it.
class Secrets {
 public:
  explicit Secrets(ServerTrustOptions options) : options_(std::move(options)) {}

  absl::Status Load() {
    MutexLock lock(mutex_);
    return LoadLocked();
  }

  bool Admits(absl::string_view authorization) {
    MutexLock lock(mutex_);
    Refresh();
    if (!absl::ConsumePrefix(&authorization, kScheme)) return false;
    bool admitted = false;
    for (const std::string& token : tokens_) {
      admitted = EqualInConstantTime(token, authorization) || admitted;
    }
    return admitted;
  }

  // The new configuration where it differs from that of version `*seen`; otherwise nullptr.
  grpc_ssl_server_certificate_config* ConfigSince(int64_t* seen) {
    MutexLock lock(mutex_);
    Refresh();
    if (*seen == version_) return nullptr;
    *seen = version_;
    std::vector<grpc_ssl_pem_key_cert_pair> pairs;
    for (const Identity& pair : pairs_) {
      pairs.push_back({pair.key.c_str(), pair.certificate.c_str()});
    }
    // Clients show no certificate; gRPC wants authorities to be named nevertheless.
    return grpc_ssl_server_certificate_config_create(pairs_.front().certificate.c_str(),
                                                     pairs.data(), pairs.size());
  }

 private:
  std::vector<Stamp> Stamps() const {
    return {StampOf(options_.token_file), StampOf(options_.tls_cert_file),
            StampOf(options_.tls_key_file)};
  }

  void Refresh() ALLO_REQUIRES(mutex_) {
    if (Stamps() == stamps_) return;
    const absl::Status loaded = LoadLocked();
    if (loaded.ok()) {
      std::cerr << "allo-coordinator: certificate and tokens were read again\n" << std::flush;
    } else if (loaded.message() != last_error_) {
      last_error_ = std::string(loaded.message());
      std::cerr << absl::StrCat("allo-coordinator: certificate and tokens stay as they were: ",
                                last_error_, "\n")
                << std::flush;
    }
  }

  absl::Status LoadLocked() ALLO_REQUIRES(mutex_) {
    std::vector<Stamp> stamps = Stamps();
    ALLO_ASSIGN_OR_RETURN(std::vector<std::string> tokens, ReadTokens(options_.token_file));
    std::vector<Identity> pairs;
    if (!options_.tls_cert_file.empty()) {
      Identity given;
      ALLO_ASSIGN_OR_RETURN(given.certificate, ReadFile(options_.tls_cert_file));
      ALLO_ASSIGN_OR_RETURN(given.key, ReadFile(options_.tls_key_file));
      ALLO_RETURN_IF_ERROR(CheckPair(given, options_));
      pairs.push_back(std::move(given));
    }
    for (const std::string& token : tokens) {
      auto [known, is_new] = identities_.try_emplace(token);
      if (is_new) {
        absl::StatusOr<Identity> made = IdentityOf(token);
        if (!made.ok()) {
          identities_.erase(known);
          return made.status();
        }
        known->second = *std::move(made);
      }
      pairs.push_back(known->second);
    }
    stamps_ = std::move(stamps);
    tokens_ = std::move(tokens);
    pairs_ = std::move(pairs);
    last_error_.clear();
    ++version_;
    return absl::OkStatus();
  }

  const ServerTrustOptions options_;
  Mutex mutex_;
  std::vector<Stamp> stamps_ ALLO_GUARDED_BY(mutex_);
  std::vector<std::string> tokens_ ALLO_GUARDED_BY(mutex_);
  std::vector<Identity> pairs_
      ALLO_GUARDED_BY(mutex_);  // the first is shown unless asked otherwise
  std::map<std::string, Identity> identities_ ALLO_GUARDED_BY(mutex_);  // by token: they cost 50 ms
  std::string last_error_ ALLO_GUARDED_BY(mutex_);
  int64_t version_ ALLO_GUARDED_BY(mutex_) = 0;
};

absl::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// gRPC's C++ classes cannot read a certificate again for every connection and show several; its C
// interface can.
class ServerTrust final : public grpc::ServerCredentials {
 public:
  explicit ServerTrust(std::unique_ptr<Secrets> secrets)
      : secrets_(std::move(secrets)),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &Fetch, this))) {
    grpc_server_credentials_set_auth_metadata_processor(credentials_, {&Check, [](void*) {}, this});
  }
  ~ServerTrust() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // Before every handshake, one at a time.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto* trust = static_cast<ServerTrust*>(self);
    *config = trust->secrets_->ConfigSince(&trust->shown_version_);
    return *config == nullptr ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED
                              : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  // For every call, when its headers are there.
  static void Check(void* self, grpc_auth_context*, const grpc_metadata* metadata, size_t count,
                    grpc_process_auth_metadata_done_cb done, void* user_data) {
    bool brought = false;
    bool admitted = false;
    for (size_t i = 0; i < count; ++i) {
      if (View(metadata[i].key) != "authorization") continue;
      brought = true;
      admitted = static_cast<ServerTrust*>(self)->secrets_->Admits(View(metadata[i].value));
      break;
    }
    const char* why = admitted  ? ""
                      : brought ? "the token is not one of those that this coordinator takes"
                                : "this coordinator asks for a token: pass --token-file with the "
                                  "file it was given";
    done(user_data, nullptr, 0, nullptr, 0, admitted ? GRPC_STATUS_OK : GRPC_STATUS_UNAUTHENTICATED,
         why);
  }

  const std::unique_ptr<Secrets> secrets_;
  grpc_server_credentials* const credentials_;
  int64_t shown_version_ = 0;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerTrust(
    const ServerTrustOptions& options) {
  auto secrets = std::make_unique<Secrets>(options);
  ALLO_RETURN_IF_ERROR(secrets->Load());
  return std::make_shared<ServerTrust>(std::move(secrets));
}

}  // namespace allometry::transport
