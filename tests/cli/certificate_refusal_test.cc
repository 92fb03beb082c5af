// What `allo` and a worker say of a coordinator whose certificate does not hold: real programs.
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "transport/openssl.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using transport::Certificate;
using transport::Key;

constexpr long kDay = 86400;

// A key and its certificate, which `issuer` signs; nullptr: itself.
struct Pair {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate{X509_new()};

  Pair(const std::string& name, const std::string& alternative, const Pair* issuer,
       long from_days = -1, long to_days = 1) {
    X509* own = certificate.get();
    const Pair& signer = issuer == nullptr ? *this : *issuer;
    X509_set_version(own, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(own), 7);
    X509_gmtime_adj(X509_getm_notBefore(own), from_days * kDay);
    X509_gmtime_adj(X509_getm_notAfter(own), to_days * kDay);
    EXPECT_TRUE(transport::SetNames(own, signer.certificate.get(), key.get(), name));
    EXPECT_TRUE(transport::AddExtension(own, signer.certificate.get(), NID_basic_constraints,
                                        alternative.empty() ? "critical,CA:TRUE" : "CA:FALSE"));
    if (!alternative.empty()) {
      EXPECT_TRUE(transport::AddExtension(own, signer.certificate.get(), NID_subject_alt_name,
                                          alternative));
    }
    EXPECT_GT(X509_sign(own, signer.key.get(), EVP_sha256()), 0);
  }
};

class CertificateRefusalTest : public ::testing::Test {
 protected:
  CertificateRefusalTest() {
    EXPECT_OK(WriteFileAtomically(folder_.Path("token"), "0123456789abcdef0123456789abcdef\n"));
    EXPECT_EQ(chmod(folder_.Path("token").c_str(), 0600), 0);
    Write("ca.pem", transport::PemOf(authority_.certificate.get()));
  }
  void Write(const std::string& name, const std::string& text) {
    EXPECT_OK(WriteFileAtomically(folder_.Path(name), text));
    EXPECT_EQ(chmod(folder_.Path(name).c_str(), 0600), 0);
  }
  // Its address.
  std::string Serve(const Pair* shown) {
    std::vector<std::string> command = {ALLO_BIN_DIR "/allo-coordinator",
                                        "--db",
                                        folder_.Path("sweeps.db"),
                                        "--address-file",
                                        Path("address"),
                                        "--listen",
                                        "127.0.0.1:0",
                                        "--token-file",
                                        Path("token")};
    if (shown != nullptr) {
      Write("cert.pem", transport::PemOf(shown->certificate.get()));
      Write("cert.key", transport::PemOf(shown->key.get()));
      command.insert(command.end(),
                     {"--tls-cert", Path("cert.pem"), "--tls-key", Path("cert.key")});
    }
    coordinator_.Start(command, Path("log"));
    absl::StatusOr<std::string> address;
    EXPECT_TRUE(Eventually([&] { return (address = ReadFile(Path("address"))).ok(); }))
        << ReadFile(Path("log")).value_or("");
    return std::string(absl::StripAsciiWhitespace(address.value_or("")));
  }
  std::string Allo(const std::string& address, const std::string& ca) {
    const std::string out = Path("allo.out");
    ChildProcess allo;
    remove(out.c_str());
    allo.Start({ALLO_BIN_DIR "/allo", "sweeps", "--coordinator", address, "--token-file",
                Path("token"), "--tls-ca", ca},
               out);
    EXPECT_NE(allo.Wait(), 0);
    return ReadFile(out).value_or("");
  }
  // Both programs say `words` in one line.
  void ExpectRefusal(const Pair* shown, const std::string& words) {
    const std::string address = Serve(shown);
    const std::string said = Allo(address, Path("ca.pem"));
    EXPECT_THAT(said, AllOf(HasSubstr(absl::StrCat(
                                address, ": the certificate that is shown there is refused: ")),
                            HasSubstr(words), Not(HasSubstr("Start one with"))));
    ChildProcess worker;
    worker.Start(
        {ALLO_BIN_DIR "/allo-worker", "--coordinator", address, "--token-file", Path("token"),
         "--tls-ca", Path("ca.pem"), "--slots", "cpu:1", "--trainer", "/bin/true", "--state-dir",
         Path("w"), "--run-root", Path("r"), "--data-dir", Path("d")},
        Path("worker.log"));
    const auto log = [&] { return ReadFile(Path("worker.log")).value_or(""); };
    EXPECT_TRUE(Eventually([&] { return log().find(words) != std::string::npos; })) << log();
    EXPECT_THAT(log(), Not(HasSubstr("registered")));
  }
  std::string Path(const std::string& name) const { return folder_.Path(name); }

  const TemporaryFolder folder_;
  const Pair authority_{"our authority", "", nullptr};
  ChildProcess coordinator_;
};

TEST_F(CertificateRefusalTest, AnExpiredOneIsSaidWithItsTime) {
  const Pair host("n1", "IP:127.0.0.1", &authority_, -3, -2);
  ExpectRefusal(&host,
                absl::StrCat("it expired on ",
                             transport::TimeText(X509_get0_notAfter(host.certificate.get()))));
  EXPECT_THAT(ReadFile(Path("log")).value_or(""),
              AllOf(HasSubstr("cert.pem expired on "), HasSubstr("will refuse it")));
}

TEST_F(CertificateRefusalTest, AnEarlyOneIsSaidWithItsTime) {
  const Pair host("n1", "IP:127.0.0.1", &authority_, 2, 3);
  ExpectRefusal(&host,
                absl::StrCat("it is valid only from ",
                             transport::TimeText(X509_get0_notBefore(host.certificate.get()))));
}

TEST_F(CertificateRefusalTest, AnotherHostsIsSaidWithBothNames) {
  const Pair host("n1", "DNS:n1.cluster,IP:10.0.0.7", &authority_);
  ExpectRefusal(&host, "it is for n1.cluster, 10.0.0.7 and not for 127.0.0.1");
}

TEST_F(CertificateRefusalTest, ASelfSignedOneIsCalledSo) {
  const Pair host("n1", "IP:127.0.0.1", nullptr);
  ExpectRefusal(&host, "it is self-signed and not in " + Path("ca.pem"));
}

TEST_F(CertificateRefusalTest, AnUnknownAuthorityIsNamed) {
  const Pair other("their authority", "", nullptr);
  const Pair host("n1", "IP:127.0.0.1", &other);
  ExpectRefusal(&host, "its authority 'their authority' is not in " + Path("ca.pem"));
}

TEST_F(CertificateRefusalTest, AnotherAuthorityOfTheSameNameIsToldApart) {
  const Pair other("our authority", "", nullptr);
  const Pair host("n1", "IP:127.0.0.1", &other);
  ExpectRefusal(&host, "its authority 'our authority' is another one than that of the same name");
}

TEST_F(CertificateRefusalTest, AnExpiredAuthorityIsNamed) {
  const Pair old("our authority", "", nullptr, -3, -2);
  Write("ca.pem", transport::PemOf(old.certificate.get()));
  const Pair host("n1", "IP:127.0.0.1", &old);
  ExpectRefusal(&host, "its authority 'our authority' expired on ");
}

TEST_F(CertificateRefusalTest, ACoordinatorWithoutACertificateIsToldApart) {
  ExpectRefusal(nullptr, "the coordinator was started without --tls-cert");
}

TEST_F(CertificateRefusalTest, AnAuthorityFileThatIsNoneIsNamed) {
  Write("ca.pem", "nonsense\n");
  EXPECT_THAT(Allo("127.0.0.1:1", Path("ca.pem")),
              HasSubstr("--tls-ca " + Path("ca.pem") + " holds no certificate in PEM"));
  EXPECT_THAT(Allo("127.0.0.1:1", Path("none.pem")), HasSubstr("--tls-ca"));
}

}  // namespace
}  // namespace allometry::testing
