#include "transport/identity.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "transport/agent_id.h"

namespace allometry::transport {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// Two versions that come to different bytes could not talk to each other.
TEST(IdentityTest, FollowsFromTheTokenAlone) {
  ASSERT_OK_AND_ASSIGN(const Identity first, IdentityOf("0123456789abcdef"));
  ASSERT_OK_AND_ASSIGN(const Identity again, IdentityOf("0123456789abcdef"));
  EXPECT_EQ(first.certificate, again.certificate);
  EXPECT_EQ(first.key, again.key);
  EXPECT_EQ(first.name, "28e4aa00e238fec2d1c1be7ac0fb593b.allometry");
  ASSERT_OK_AND_ASSIGN(const Identity other, IdentityOf("0123456789abcdeF"));
  EXPECT_NE(first.name, other.name);
  EXPECT_NE(first.key, other.key);
}

TEST(IdentityTest, NothingOfTheTokenIsInTheCertificate) {
  ASSERT_OK_AND_ASSIGN(const Identity identity, IdentityOf("0123456789abcdef"));
  EXPECT_THAT(identity.name, EndsWith(".allometry"));
  EXPECT_THAT(identity.name, Not(HasSubstr("0123456789abcdef")));
  EXPECT_THAT(identity.certificate, Not(HasSubstr("PRIVATE")));
}

TEST(AgentIdTest, IsAUuidThatFollowsFromTheSecret) {
  EXPECT_EQ(AgentIdOf("secret"), "2bb80d53-7b1d-43e3-8bd3-0361aa855686");
  EXPECT_THAT(AgentIdOf("other"),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(AgentIdOf("other"), AgentIdOf("secret"));
}

}  // namespace
}  // namespace allometry::transport
