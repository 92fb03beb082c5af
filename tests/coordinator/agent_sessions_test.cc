#include "coordinator/services/agent_sessions.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "transport/agent_id.h"

namespace allometry::coordinator {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kLeaseMs = 3000;

v1::RegisterRequest Life(const std::string& boot_id, int64_t start, const std::string& life,
                         const std::string& secret = "secret") {
  v1::RegisterRequest request;
  request.set_agent_secret(secret);
  request.set_agent_id(transport::AgentIdOf(secret));
  request.set_host("host-" + boot_id);
  request.set_boot_id(boot_id);
  request.set_start(start);
  request.set_life(life);
  return request;
}

class AgentSessionsTest : public ::testing::Test {
 protected:
  // Registers as the service does.
  absl::StatusOr<std::string> Register(const v1::RegisterRequest& request) {
    ALLO_RETURN_IF_ERROR(sessions_.Check(request));
    return sessions_.Open(request);
  }

  testing::FakeClock clock_;
  AgentSessions sessions_{kLeaseMs, clock_};
  const std::string id_ = transport::AgentIdOf("secret");
};

TEST_F(AgentSessionsTest, AnIdAloneIsWorthNothing) {
  v1::RegisterRequest thief = Life("boot-b", 1, "thief", "another secret");
  thief.set_agent_id(id_);
  EXPECT_THAT(sessions_.Check(thief), StatusIs(absl::StatusCode::kPermissionDenied));
  thief.clear_agent_secret();
  EXPECT_THAT(sessions_.Check(thief), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(const std::string session, Register(Life("boot-a", 1, "one")));
  EXPECT_THAT(sessions_.Check(thief), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(sessions_.Hear(id_, ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(sessions_.Hear(id_, std::string(32, 'f')), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(sessions_.Hear(id_, session));
}

TEST_F(AgentSessionsTest, ASessionIsOneAgents) {
  ASSERT_OK_AND_ASSIGN(const std::string session, Register(Life("boot-a", 1, "one")));
  ASSERT_OK(Register(Life("boot-a", 1, "two", "another secret")));
  EXPECT_THAT(sessions_.Hear(transport::AgentIdOf("another secret"), session),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AgentSessionsTest, TheNextLifeTakesOverAtOnce) {
  ASSERT_OK_AND_ASSIGN(const std::string first, Register(Life("boot-a", 1, "one")));
  ASSERT_OK_AND_ASSIGN(const std::string same, Register(Life("boot-a", 1, "one")));
  EXPECT_THAT(sessions_.Hear(id_, first), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const std::string next, Register(Life("boot-a", 2, "two")));
  EXPECT_THAT(sessions_.Hear(id_, same), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(sessions_.Hear(id_, next));
}

TEST_F(AgentSessionsTest, ACopyIsRefusedByNameWhileTheOriginalIsHeard) {
  ASSERT_OK_AND_ASSIGN(const std::string session, Register(Life("boot-a", 5, "original")));
  for (const v1::RegisterRequest& copy : {Life("boot-b", 6, "copy"), Life("boot-b", 5, "copy"),
                                          Life("boot-a", 5, "copy"), Life("boot-a", 4, "copy")}) {
    EXPECT_THAT(sessions_.Check(copy),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         AllOf(HasSubstr(id_), HasSubstr("host-boot-a"), HasSubstr("copy of it"))));
  }
  // As long as it speaks, however long that is.
  for (int i = 0; i < 5; ++i) {
    clock_.AdvanceMs(kLeaseMs - 1);
    ASSERT_OK(sessions_.Hear(id_, session));
  }
  EXPECT_THAT(sessions_.Check(Life("boot-b", 6, "copy")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  clock_.AdvanceMs(kLeaseMs + 1);
  ASSERT_OK(Register(Life("boot-b", 6, "moved")));
  EXPECT_THAT(sessions_.Check(Life("boot-a", 6, "original")),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(AgentSessionsTest, AStreamNeedsASessionAndReplacesTheOneBefore) {
  grpc::ServerContext first, second;
  EXPECT_THAT(sessions_.BeginStream("", first), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(sessions_.BeginStream("made up", first),
              StatusIs(absl::StatusCode::kUnauthenticated));
  ASSERT_OK_AND_ASSIGN(const std::string session, Register(Life("boot-a", 1, "one")));
  ASSERT_OK(sessions_.BeginStream(session, first));
  sessions_.EndStream(session, first);
  ASSERT_OK(sessions_.BeginStream(session, second));
  sessions_.EndStream(session, second);
  ASSERT_OK(Register(Life("boot-a", 2, "two")));
  EXPECT_THAT(sessions_.BeginStream(session, first), StatusIs(absl::StatusCode::kUnauthenticated))
      << "of a life that is over";
}

}  // namespace
}  // namespace allometry::coordinator
