#include "transport/certificate_check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "transport/openssl.h"

namespace allometry::transport {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kPatience{2};

using Store = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;

std::vector<Certificate> ReadCertificates(const std::string& pem) {
  const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Certificate> found;
  while (X509* next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) {
    found.emplace_back(next);
  }
  return found;
}

// A connection that gives up at a time, and that no other end can hold up.
class Socket {
 public:
  explicit Socket(const Address& address) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list) !=
        0) {
      return;
    }
    for (const addrinfo* to = list; to != nullptr && !connected_; to = to->ai_next) Connect(*to);
    freeaddrinfo(list);
  }
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool connected() const { return connected_; }
  bool Send(const char* data, size_t size) {
    while (size > 0) {
      const ssize_t sent = send(fd_, data, size, MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN && WaitFor(POLLOUT)) continue;
      if (sent <= 0) return false;
      data += sent;
      size -= static_cast<size_t>(sent);
    }
    return true;
  }
  // Bytes, 0 at the end or when the time is over.
  size_t Receive(char* data, size_t size) {
    if (!WaitFor(POLLIN)) return 0;
    return static_cast<size_t>(std::max<ssize_t>(0, recv(fd_, data, size, 0)));
  }

 private:
  void Connect(const addrinfo& to) {
    if (fd_ >= 0) close(fd_);
    fd_ = socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return;
    if (connect(fd_, to.ai_addr, to.ai_addrlen) != 0 &&
        (errno != EINPROGRESS || !WaitFor(POLLOUT))) {
      return;
    }
    int error = 0;
    socklen_t size = sizeof(error);
    connected_ = getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
  }
  bool WaitFor(short events) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up_ - Clock::now());
    pollfd waits{fd_, events, 0};
    return left.count() > 0 && poll(&waits, 1, static_cast<int>(left.count())) == 1;
  }

  const Clock::time_point give_up_ = Clock::now() + kPatience;
  int fd_ = -1;
  bool connected_ = false;
};

bool IsIp(const std::string& host) {
  in6_addr bytes;
  return inet_pton(AF_INET, host.c_str(), &bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &bytes) == 1;
}

// A handshake that takes whatever certificate is shown; nullptr where there is none. OpenSSL works
// in memory: its own sockets raise SIGPIPE.
Session ShakeHands(SSL_CTX* context, const Address& address) {
  Socket socket(address);
  if (!socket.connected()) return nullptr;
  Session session(SSL_new(context));
  BIO* const from_peer = BIO_new(BIO_s_mem());
  BIO* const to_peer = BIO_new(BIO_s_mem());
  if (session == nullptr || from_peer == nullptr || to_peer == nullptr) return nullptr;
  SSL_set_bio(session.get(), from_peer, to_peer);  // owns both
  if (!IsIp(address.host)) SSL_set_tlsext_host_name(session.get(), address.host.c_str());
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(session.get(), kHttp2, sizeof(kHttp2));
  for (;;) {
    const int result = SSL_connect(session.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(to_peer, &data);
    if (size > 0 && !socket.Send(data, static_cast<size_t>(size))) return nullptr;
    (void)BIO_reset(to_peer);
    if (result == 1) return session;
    if (SSL_get_error(session.get(), result) != SSL_ERROR_WANT_READ) return nullptr;
    char buffer[4096];
    const size_t received = socket.Receive(buffer, sizeof(buffer));
    if (received == 0) return nullptr;
    BIO_write(from_peer, buffer, static_cast<int>(received));
  }
}

std::string CommonName(const X509_NAME* name) {
  char text[256] = {};
  X509_NAME_get_text_by_NID(const_cast<X509_NAME*>(name), NID_commonName, text, sizeof(text));
  return *text == '\0' ? "an authority without a name" : absl::StrCat("'", text, "'");
}

// "n1, 10.0.0.7": what stands in the certificate.
std::string NamesOf(X509* certificate) {
  std::vector<std::string> names;
  auto* list = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list); ++i) {
    int type = 0;
    const auto* text = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, i), &type));
    const unsigned char* bytes = ASN1_STRING_get0_data(text);
    const int size = ASN1_STRING_length(text);
    char address[INET6_ADDRSTRLEN] = {};
    if (type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    } else if (type == GEN_IPADD &&
               inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, address, sizeof(address))) {
      names.emplace_back(address);
    }
  }
  GENERAL_NAMES_free(list);
  if (names.empty()) return CommonName(X509_get_subject_name(certificate));
  return absl::StrJoin(names, ", ");
}

bool IsFor(X509* certificate, const std::string& host) {
  return (IsIp(host) ? X509_check_ip_asc(certificate, host.c_str(), 0)
                     : X509_check_host(certificate, host.c_str(), 0, 0, nullptr)) == 1;
}

// Of a certificate that no authority of the file signed.
std::string UnknownSigner(X509* shown, const std::vector<Certificate>& authorities,
                          const std::string& tls_ca) {
  const X509_NAME* issuer = X509_get_issuer_name(shown);
  if (X509_NAME_cmp(issuer, X509_get_subject_name(shown)) == 0) {
    if (absl::EndsWith(CommonName(issuer), ".allometry'")) {
      return absl::StrCat("it is the one that follows from the token, not one that ", tls_ca,
                          " signed: the coordinator was started without --tls-cert");
    }
    return absl::StrCat("it is self-signed and not in ", tls_ca);
  }
  const bool same_name =
      std::any_of(authorities.begin(), authorities.end(), [&](const Certificate& authority) {
        return X509_NAME_cmp(issuer, X509_get_subject_name(authority.get())) == 0;
      });
  return same_name ? absl::StrCat("its authority ", CommonName(issuer),
                                  " is another one than that of ", "the same name in ", tls_ca)
                   : absl::StrCat("its authority ", CommonName(issuer), " is not in ", tls_ca);
}

}  // namespace

absl::Status CheckAuthorities(const std::string& pem, const std::string& file) {
  if (!ReadCertificates(pem).empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--tls-ca ", file, " holds no certificate in PEM"));
}

std::string WhyRefused(const Address& address, const std::string& tls_ca) {
  const absl::StatusOr<std::string> pem = ReadFile(tls_ca);
  if (!pem.ok()) return "";
  const std::vector<Certificate> authorities = ReadCertificates(*pem);
  const Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return "";
  const Session session = ShakeHands(context.get(), address);
  if (session == nullptr) return "";
  const Certificate shown(SSL_get1_peer_certificate(session.get()));
  const Store store(X509_STORE_new());
  const StoreContext verification(X509_STORE_CTX_new());
  if (shown == nullptr || store == nullptr || verification == nullptr) return "";
  for (const Certificate& authority : authorities)
    X509_STORE_add_cert(store.get(), authority.get());
  // As gRPC does: an authority in the file need not be a root.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  if (X509_STORE_CTX_init(verification.get(), store.get(), shown.get(),
                          SSL_get_peer_cert_chain(session.get())) != 1) {
    return "";
  }
  X509_STORE_CTX_set_purpose(verification.get(), X509_PURPOSE_SSL_SERVER);
  if (X509_verify_cert(verification.get()) == 1) {
    if (IsFor(shown.get(), address.host)) return "";
    return absl::StrCat("it is for ", NamesOf(shown.get()), " and not for ", address.host);
  }
  const int error = X509_STORE_CTX_get_error(verification.get());
  X509* const culprit = X509_STORE_CTX_get_current_cert(verification.get());
  const std::string who =
      X509_STORE_CTX_get_error_depth(verification.get()) == 0 || culprit == nullptr
          ? "it"
          : absl::StrCat("its authority ", CommonName(X509_get_subject_name(culprit)));
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat(who, " expired on ", TimeText(X509_get0_notAfter(culprit)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrCat(who, " is valid only from ", TimeText(X509_get0_notBefore(culprit)),
                          ": the clock here, or where it was made, is wrong");
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return UnknownSigner(shown.get(), authorities, tls_ca);
    case X509_V_ERR_INVALID_PURPOSE:
      return absl::StrCat(who, " is not made for servers");
    default:
      return absl::StrCat(who, ": ", X509_verify_cert_error_string(error));
  }
}

}  // namespace allometry::transport
