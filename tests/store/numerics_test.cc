// Which curves were made under more than one numerics.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::Numerics MakeExecutionConfig(int micro_batch, int ranks = 1,
                                 const std::string& hosts = "host-a") {
  v1::Numerics numerics;
  numerics.set_ranks(ranks);
  numerics.set_hosts(hosts);
  numerics.set_micro_batch(micro_batch);
  numerics.set_device("cpu");
  numerics.set_device_model("a CPU");
  numerics.set_trainer_build("a build");
  numerics.set_step_backend("reference");
  return numerics;
}

class NumericsTest : public StoreFixture {
 protected:
  NumericsTest() { SubmitAndRegister(); }

  // The next attempt trains up to `step`, writes a checkpoint there and ends so.
  void Play(const v1::Numerics& numerics, int64_t step, v1::ExitReason reason = v1::KILLED) {
    const Attempt attempt = Start();
    Spool spool(attempt.lease);
    v1::Record first = spool.Point(1, "", 0);
    *first.mutable_numerics() = numerics;
    std::vector<v1::Record> records = {first};
    if (step > attempt.spec.start().step()) {
      records.push_back(spool.Point(step, "train", 3));
      records.push_back(spool.Checkpoint(step));
    }
    records.push_back(spool.Exit(reason, step));
    Append(spool.Batch(records));
  }
  std::vector<ExecutionConfigChange> Changes() {
    auto changes = store_->ExecutionConfigChanges("grid");
    EXPECT_OK(changes);
    return *changes;
  }
};

TEST_F(NumericsTest, TheSameNumericsAfterAKillAreNoChange) {
  Play(MakeExecutionConfig(4), 10);
  Play(MakeExecutionConfig(4), 15);
  Play(MakeExecutionConfig(4, 1, "host-b"),
       18);  // one rank elsewhere on the same CPU: the same bits
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(NumericsTest, AChangeIsNamedWithItsStep) {
  Play(MakeExecutionConfig(8), 10, v1::OOM);
  Play(MakeExecutionConfig(4), 15);
  Play(MakeExecutionConfig(4, 2, "host-a,host-a"), 18);
  const std::vector<ExecutionConfigChange> changes = Changes();
  ASSERT_THAT(changes, SizeIs(2));
  EXPECT_EQ(changes[0].run_id, 1);
  EXPECT_EQ(changes[0].step, 10);
  EXPECT_EQ(changes[0].what, "micro-batch 8 to 4");
  EXPECT_EQ(changes[1].step, 15);
  EXPECT_EQ(changes[1].what, "ranks 1 to 2");
}

TEST_F(NumericsTest, WhatIsNotInTheCurveChangesNothing) {
  Play(MakeExecutionConfig(8), 0, v1::OOM);  // no update was made
  Play(MakeExecutionConfig(4), 10);
  EXPECT_THAT(Changes(), IsEmpty());
  Play(MakeExecutionConfig(2), 10);  // resumed at 10 and died before its first update
  EXPECT_THAT(Changes(), IsEmpty());
  Play(MakeExecutionConfig(4), 15);
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(NumericsTest, RanksThatShareHostsInAnotherWayAreAChange) {
  Play(MakeExecutionConfig(4, 2, "a,a"), 10);
  Play(MakeExecutionConfig(4, 2, "b,b"), 15);
  EXPECT_THAT(Changes(), IsEmpty());
  Play(MakeExecutionConfig(4, 2, "b,c"), 18);
  EXPECT_THAT(Changes(), SizeIs(1));
}

}  // namespace
}  // namespace allometry::store
