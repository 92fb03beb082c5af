#include "transport/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::transport {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

class CertificatesTest : public ::testing::Test {
 protected:
  static X509* Read(const std::string& path) {
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) return nullptr;
    X509* certificate = PEM_read_X509(file, nullptr, nullptr, nullptr);
    fclose(file);
    return certificate;
  }
  // What a TLS client asks: signed by that authority, for that host, valid now.
  static bool Holds(const std::string& authority, const std::string& certificate,
                    const std::string& host) {
    X509* ca = Read(authority);
    X509* own = Read(certificate);
    X509_STORE* store = X509_STORE_new();
    X509_STORE_CTX* context = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, own, nullptr);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    const bool is_address = host.find_first_not_of("0123456789.") == std::string::npos;
    const bool holds = X509_verify_cert(context) == 1 &&
                       (is_address ? X509_check_ip_asc(own, host.c_str(), 0)
                                   : X509_check_host(own, host.c_str(), 0, 0, nullptr)) == 1;
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(own);
    X509_free(ca);
    return holds;
  }
  std::string Text(const std::string& name) { return ReadFile(dir_ + "/" + name).value_or(""); }

  const testing::TemporaryFolder folder_;
  const std::string dir_ = folder_.Path("certs");
};

TEST_F(CertificatesTest, AHostIsProvedByItsAuthorityUnderItsNameAlone) {
  ASSERT_THAT(MakeAuthority(dir_), IsOk());
  ASSERT_THAT(SignHost(dir_, "n1.cluster"), IsOk());
  ASSERT_THAT(SignHost(dir_, "10.0.0.7"), IsOk());
  EXPECT_TRUE(Holds(dir_ + "/ca.pem", dir_ + "/n1.cluster.pem", "n1.cluster"));
  EXPECT_FALSE(Holds(dir_ + "/ca.pem", dir_ + "/n1.cluster.pem", "n2.cluster"));
  EXPECT_TRUE(Holds(dir_ + "/ca.pem", dir_ + "/10.0.0.7.pem", "10.0.0.7"));
  const std::string other = folder_.Path("other");
  ASSERT_THAT(MakeAuthority(other), IsOk());
  EXPECT_FALSE(Holds(other + "/ca.pem", dir_ + "/n1.cluster.pem", "n1.cluster"));
}

TEST_F(CertificatesTest, TheAuthorityStaysAndAHostGetsANewKeyEachTime) {
  ASSERT_THAT(MakeAuthority(dir_), IsOk());
  const std::string authority = Text("ca.pem");
  ASSERT_THAT(SignHost(dir_, "n1"), IsOk());
  const std::string key = Text("n1.key");
  ASSERT_THAT(MakeAuthority(dir_), IsOk());
  ASSERT_THAT(SignHost(dir_, "n1"), IsOk());
  EXPECT_EQ(Text("ca.pem"), authority);
  EXPECT_NE(Text("n1.key"), key);
  EXPECT_TRUE(Holds(dir_ + "/ca.pem", dir_ + "/n1.pem", "n1"));
}

TEST_F(CertificatesTest, KeysAreTheUsersAlone) {
  ASSERT_THAT(MakeAuthority(dir_), IsOk());
  ASSERT_THAT(SignHost(dir_, "n1"), IsOk());
  for (const char* name : {"/ca.key", "/n1.key"}) {
    struct stat info {};
    ASSERT_EQ(stat((dir_ + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 077, 0u) << name;
  }
}

TEST_F(CertificatesTest, WhatIsNoHostOrNoAuthorityIsRefused) {
  EXPECT_THAT(SignHost(dir_, "n1"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("ca.pem")));
  ASSERT_THAT(MakeAuthority(dir_), IsOk());
  for (const char* host : {"", "ca", "../n1", "a b", "-x", ".x", "n1,DNS:n2"}) {
    EXPECT_THAT(SignHost(dir_, host),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host '")))
        << host;
  }
  ASSERT_THAT(WriteFileAtomically(dir_ + "/ca.key", "nonsense"), IsOk());
  EXPECT_THAT(SignHost(dir_, "n1"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("ca.key")));
  ASSERT_EQ(unlink((dir_ + "/ca.key").c_str()), 0);
  EXPECT_THAT(MakeAuthority(dir_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ca.key is not")));
}

}  // namespace
}  // namespace allometry::transport
