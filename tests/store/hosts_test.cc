// What ended on which host, and hosts that get no runs.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HostsTest : public StoreFixture {
 protected:
  HostsTest() {
    SubmitAndRegister({"40k", "80k"});
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {"a"}));
  }
  void End(const Attempt& attempt, v1::ExitReason reason, int64_t step) {
    Spool spool(attempt.lease);
    Append(spool.Batch({spool.Point(step, "train", 3), spool.Exit(reason, step)}));
  }
  std::vector<HostEnd> Ends() {
    auto ends = store_->EndsSince(0);
    EXPECT_OK(ends);
    return *ends;
  }
};

TEST_F(HostsTest, EndsSayHowFarTheRunCameElsewhere) {
  End(Start(1, "a"), v1::KILLED, 10);
  ASSERT_THAT(Ends(), SizeIs(1));
  EXPECT_EQ(Ends()[0].host, "host-a");
  EXPECT_EQ(Ends()[0].reason, v1::KILLED);
  EXPECT_EQ(Ends()[0].step, 10);
  EXPECT_EQ(Ends()[0].step_elsewhere, 0);
  const Attempt elsewhere = Start(1, "b");
  EXPECT_EQ(Ends()[0].step_elsewhere, 0);
  Spool spool(elsewhere.lease);
  Append(spool.Batch({spool.Point(25, "train", 3)}));
  EXPECT_EQ(Ends()[0].step_elsewhere, 25) << "while it runs";
  Append(spool.Batch({spool.Exit(v1::KILLED, 25)}));
  ASSERT_THAT(Ends(), SizeIs(2));
  EXPECT_EQ(Ends()[0].step_elsewhere, 25);
  EXPECT_EQ(Ends()[1].step_elsewhere, 10);
}

TEST_F(HostsTest, OutOfMemoryThatAHalvedMicroBatchMayMendIsNoEndOfTheHost) {
  const Attempt attempt = Start(1, "a");
  Spool spool(attempt.lease);
  v1::Record numerics;
  numerics.set_sequence(1);
  numerics.mutable_numerics()->set_ranks(1);
  numerics.mutable_numerics()->set_micro_batch(8);
  spool.Point(1, "", 0);
  Append(spool.Batch({numerics, spool.Exit(v1::OOM, 0)}));
  EXPECT_THAT(Ends(), IsEmpty());
  End(Start(2, "a"), v1::OOM, 1);  // before its numerics: nothing of the micro-batch was needed
  EXPECT_THAT(Ends(), SizeIs(1));
}

TEST_F(HostsTest, ALeaseThatCameBackIsNoEnd) {
  const Attempt attempt = Start(1, "a");
  ASSERT_OK(store_->ExpireLease(attempt.lease));
  EXPECT_THAT(Ends(), SizeIs(1));
  EXPECT_EQ(Ends()[0].reason, v1::NODE_LOST);
  ASSERT_OK(store_->ReturnLease(attempt.lease));
  EXPECT_THAT(Ends(), IsEmpty());
}

TEST_F(HostsTest, DrainedSurvivesARestartUntilGivenWorkAgain) {
  End(Start(1, "a"), v1::KILLED, 10);
  ASSERT_OK(store_->SetDrained("host-a", "3 runs died there"));
  ASSERT_OK(store_->SetDrained("host-a", "3 runs died there"));
  Reopen();
  ASSERT_OK_AND_ASSIGN(std::vector<DrainedHost> drained, store_->DrainedHosts());
  ASSERT_THAT(drained, SizeIs(1));
  EXPECT_EQ(drained[0].host, "host-a");
  EXPECT_EQ(drained[0].reason, "3 runs died there");
  EXPECT_THAT(Ends(), IsEmpty()) << "nothing more is asked of a drained host";
  ASSERT_OK(store_->SetDrained("host-a", ""));
  ASSERT_OK_AND_ASSIGN(drained, store_->DrainedHosts());
  EXPECT_THAT(drained, IsEmpty());
  EXPECT_THAT(Ends(), IsEmpty()) << "what was before is forgiven";
  End(Start(2, "a"), v1::KILLED, 10);
  EXPECT_THAT(Ends(), SizeIs(1));
  EXPECT_THAT(Sql("SELECT text FROM events WHERE text LIKE 'host-a%' ORDER BY event_id"),
              ElementsAre("host-a is drained: 3 runs died there", "host-a gets runs again"));
}

TEST_F(HostsTest, AHostThatIsNotKnownIsRefusedWithThoseThatAre) {
  EXPECT_THAT(store_->SetDrained("host-x", "why"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is host-a, host-b")));
}

}  // namespace
}  // namespace allometry::store
