// Leases over the wire: who holds what, and what becomes of writers whose time is over.
#include <string>
#include <vector>

#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class LeaseTest : public CoordinatorTest {
 protected:
  void SetUp() override { ASSERT_OK(Submit({.sizes = "[5k]"})); }

  // Ends every lease that is not renewed, and every agent that is not heard, by now.
  void LetLeasesEnd() {
    clock_.AdvanceMs(kLeaseMs + 1);
    ASSERT_TRUE(Eventually([&] { return GetRun(1).state() == v1::PENDING; }));
  }
};

TEST_F(LeaseTest, WaitingRunStartsOnAnAgentThatHasASlotAndTheData) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_TRUE(hold.has_lease());
  EXPECT_EQ(hold.lease().attempt(), 1);
  EXPECT_THAT(hold.lease().token(), SizeIs(32));
  EXPECT_EQ(hold.slots(0).device(), "cpu:0");
  EXPECT_GT(hold.spec().steps(), 0);
  const v1::Run run = GetRun(1);
  EXPECT_EQ(run.state(), v1::LEASED);
  EXPECT_EQ(run.agent(), "host-a");
}

TEST_F(LeaseTest, StartIsRepeatedUntilTheAgentListsIt) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse first, agent->Heartbeat());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse second, agent->Heartbeat());  // reply was lost
  ASSERT_THAT(first.hold(), SizeIs(1));
  ASSERT_THAT(second.hold(), SizeIs(1));
  EXPECT_EQ(first.hold(0).lease().token(), second.hold(0).lease().token());
  EXPECT_TRUE(second.hold(0).has_spec());
  ASSERT_OK(agent->Reconcile());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse listed, agent->Heartbeat());
  ASSERT_THAT(listed.hold(), SizeIs(1));
  EXPECT_FALSE(listed.hold(0).has_spec());
  EXPECT_EQ(listed.hold(0).lease_ms(), kLeaseMs);
}

TEST_F(LeaseTest, HeartbeatTwiceIsAnsweredTheSameTwice) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse first, agent->Heartbeat());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse second, agent->Heartbeat());
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
}

TEST_F(LeaseTest, AgentThatIsNotKnownIsToldToRegister) {
  auto agent = NewAgent("host-a");
  EXPECT_THAT(agent->Heartbeat(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("register")));
}

// Its id stands in messages and lists. Whoever knows it gets nothing for it.
TEST_F(LeaseTest, AnAgentsIdGivesNobodyItsLeases) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  const auto heartbeat = [&](const std::string& session) {
    v1::HeartbeatRequest request;
    request.set_agent_id(agent->agent_id());
    request.set_session(session);
    grpc::ClientContext context;
    v1::HeartbeatResponse response;
    const absl::Status status = ToAbsl(agent->stub().Heartbeat(&context, request, &response));
    EXPECT_EQ(response.hold_size(), status.ok() ? 1 : 0);
    return status;
  };
  EXPECT_THAT(heartbeat(""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(heartbeat(std::string(32, '0')), StatusIs(absl::StatusCode::kNotFound));
  v1::RegisterRequest theft;
  theft.set_agent_id(agent->agent_id());
  theft.set_agent_secret("guessed");
  theft.set_host("host-a");
  theft.set_run_root_id("root-of-host-a");
  theft.add_slots()->set_host("host-a");
  theft.mutable_slots(0)->set_device("cpu:0");
  grpc::ClientContext context;
  v1::RegisterResponse response;
  EXPECT_THAT(ToAbsl(agent->stub().Register(&context, theft, &response)),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(response.session(), "");
  EXPECT_OK(heartbeat(agent->session()));
}

TEST_F(LeaseTest, AStreamWithoutASessionIsRefused) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  for (const std::string& session : {std::string(), std::string(32, '0')}) {
    grpc::ClientContext context;
    if (!session.empty()) context.AddMetadata("allo-session", session);
    const auto stream = agent->stub().StreamRecords(&context);
    v1::RecordAck ack;
    EXPECT_FALSE(stream->Read(&ack));
    EXPECT_THAT(ToAbsl(stream->Finish()), StatusIs(absl::StatusCode::kUnauthenticated));
  }
}

TEST_F(LeaseTest, DeviceOfALiveAgentIsRefusedByName) {
  auto first = NewAgent("host-a");
  ASSERT_OK(first->Register());
  v1::RegisterRequest request;
  request.set_agent_secret("another");
  request.set_agent_id(transport::AgentIdOf(request.agent_secret()));
  request.set_host("host-a");
  request.set_run_root_id("root");
  request.add_slots()->set_host("host-a");
  request.mutable_slots(0)->set_device("cpu:0");
  const auto try_again = [&] {
    grpc::ClientContext context;
    v1::RegisterResponse response;
    return ToAbsl(first->stub().Register(&context, request, &response));
  };
  const absl::Status refused = try_again();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("cpu:0")));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("host-a"));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr(first->agent_id())))
      << "an id is nobody's business";
  clock_.AdvanceMs(kLeaseMs + 1);
  EXPECT_TRUE(Eventually([&] { return try_again().ok(); })) << "the first is dead by now";
}

TEST_F(LeaseTest, AttemptThatIsNeverListedExpiresAlthoughItsAgentLives) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse first, agent->Heartbeat());
  ASSERT_THAT(first.hold(), SizeIs(1));
  clock_.AdvanceMs(kLeaseMs / 2);
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse half, agent->Heartbeat());
  ASSERT_THAT(half.hold(), SizeIs(1));
  EXPECT_EQ(half.hold(0).lease_ms(), kLeaseMs / 2) << "what is left of it, not a whole lease";
  clock_.AdvanceMs(kLeaseMs / 2 + 1);
  EXPECT_TRUE(Eventually([&] {
    const auto reply = agent->Heartbeat();
    return reply.ok() && reply->hold_size() == 1 && reply->hold(0).lease().attempt() == 2;
  }));
}

TEST_F(LeaseTest, HeartbeatsKeepALeaseForAsLongAsTheyCome) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  for (int i = 0; i < 10; ++i) {
    clock_.AdvanceMs(kLeaseMs - 100);
    ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
    ASSERT_THAT(reply.hold(), SizeIs(1));
    ASSERT_EQ(reply.hold(0).lease().token(), hold.lease().token());
  }
}

TEST_F(LeaseTest, LeaseThatWasNotGivenAwayComesBackWithItsAgent) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  LetLeasesEnd();
  EXPECT_THAT(agent->Heartbeat(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(agent->Register());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  ASSERT_THAT(reply.hold(), SizeIs(1));
  EXPECT_EQ(reply.hold(0).lease().token(), hold.lease().token());
  EXPECT_EQ(GetRun(1).state(), v1::LEASED);
  ASSERT_OK_AND_ASSIGN(const v1::RecordAck ack,
                       agent->Send(hold.lease(), {PointAt(1, 10, "train", 4)}));
  EXPECT_FALSE(ack.stale());
  EXPECT_EQ(ack.durable_sequence(), 1u);
}

TEST_F(LeaseTest, LeaseThatWasGivenAwayIsAnsweredByAbsence) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  LetLeasesEnd();
  auto other = NewAgent("host-b");
  ASSERT_OK(other->Register());
  EXPECT_EQ(other->Obtain().lease().attempt(), 2);
  ASSERT_OK(agent->Register());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  EXPECT_THAT(reply.hold(), IsEmpty());
}

TEST_F(LeaseTest, StaleWriterIsRefusedForPointsCheckpointsAndItsExit) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold old = agent->Obtain();
  ASSERT_OK(agent->Send(old.lease(), {PointAt(1, 10, "train", 4)}));
  LetLeasesEnd();
  auto other = NewAgent("host-b");
  ASSERT_OK(other->Register());
  ASSERT_EQ(other->Obtain().lease().attempt(), 2);

  const std::string before = Export("points");
  for (const v1::Record& record :
       {PointAt(2, 20, "train", 3), CheckpointAt(2, 1, 20, "root-of-host-a"),
        ExitWith(2, v1::SUCCEEDED, old.spec().steps())}) {
    ASSERT_OK_AND_ASSIGN(const v1::RecordAck ack, agent->Send(old.lease(), {record}));
    EXPECT_TRUE(ack.stale()) << record.ShortDebugString();
    EXPECT_EQ(ack.lease().token(), old.lease().token());
  }
  EXPECT_EQ(Export("points"), before);
  const v1::Run run = GetRun(1);
  EXPECT_EQ(run.state(), v1::LEASED);
  EXPECT_EQ(run.checkpoint().step(), 0);
}

TEST_F(LeaseTest, WrongTokenIsStale) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  v1::Lease forged = agent->Obtain().lease();
  forged.set_token(std::string(32, '0'));
  ASSERT_OK_AND_ASSIGN(const v1::RecordAck ack, agent->Send(forged, {PointAt(1, 10, "train", 4)}));
  EXPECT_TRUE(ack.stale());
}

TEST_F(LeaseTest, AttemptGivenBackStartsAgainAtOnceAndIsNoFailure) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  v1::GivenBack given_back;
  *given_back.mutable_lease() = agent->Obtain().lease();
  given_back.set_reason(v1::AGENT_LOST);
  given_back.set_message("the agent started again");
  auto next_life = NewAgent("host-a");
  ASSERT_OK(next_life->Register({given_back}));
  EXPECT_EQ(next_life->Obtain().lease().attempt(), 2);
  EXPECT_EQ(GetRun(1).failures(), 0);
  // A repeated registration gives back what is stale by now.
  EXPECT_THAT(next_life->Register({given_back}), IsOk());
  EXPECT_EQ(GetRun(1).attempt(), 2);
}

TEST_F(LeaseTest, TrainerThatHasSpokenIsNotStartedASecondTime) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(hold.lease(), {PointAt(1, 10, "train", 4)}));
  agent->Forget(hold.lease());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  for (const v1::Hold& each : reply.hold()) EXPECT_FALSE(each.has_spec());
}

TEST_F(LeaseTest, RestartedCoordinatorKeepsARunningAttempt) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(hold.lease(), {PointAt(1, 10, "train", 4)}));
  coordinator_->Restart();
  EXPECT_THAT(agent->Heartbeat(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(agent->Register());
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  ASSERT_THAT(reply.hold(), SizeIs(1));
  EXPECT_EQ(reply.hold(0).lease().token(), hold.lease().token());
  EXPECT_FALSE(reply.hold(0).has_spec());
  ASSERT_OK_AND_ASSIGN(
      const v1::RecordAck ack,
      agent->Send(hold.lease(), {PointAt(1, 10, "train", 4), PointAt(2, 20, "train", 3.5)}));
  EXPECT_FALSE(ack.stale());
  EXPECT_EQ(ack.durable_sequence(), 2u);
  EXPECT_EQ(GetRun(1).attempt(), 1);
}

TEST_F(LeaseTest, RestartedCoordinatorGivesAwayWhatNobodyComesBackFor) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  coordinator_->Restart();
  auto other = NewAgent("host-b");
  ASSERT_OK(other->Register());
  EXPECT_FALSE(other->Obtain(10).has_lease()) << "within the grace window";
  clock_.AdvanceMs(kLeaseMs + 1);
  ASSERT_TRUE(Eventually([&] { return GetRun(1).state() == v1::PENDING; }));
  ASSERT_OK(other->Register());
  EXPECT_EQ(other->Obtain().lease().attempt(), 2);
}

TEST_F(LeaseTest, DeviceWithARunningAttemptIsKeptForItsAgentAfterARestart) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  coordinator_->Restart();
  v1::RegisterRequest request;
  request.set_agent_secret("thief");
  request.set_agent_id(transport::AgentIdOf(request.agent_secret()));
  request.set_host("host-a");
  request.set_run_root_id("root");
  request.add_slots()->set_host("host-a");
  request.mutable_slots(0)->set_device("cpu:0");
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  v1::RegisterResponse response;
  EXPECT_THAT(ToAbsl(agent->stub().Register(&context, request, &response)),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(LeaseTest, SilentAgentIsANoticeAndItsRunWaitsWithAReason) {
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  LetLeasesEnd();
  EXPECT_TRUE(Eventually([&] { return !GetRun(1).reason().empty(); }));
  EXPECT_EQ(GetRun(1).lost_leases(), 1);
}

}  // namespace
}  // namespace allometry::testing
