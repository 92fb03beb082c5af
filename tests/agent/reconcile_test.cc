#include "worker/agent/reconcile.h"

#include "base/host_name.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::SpecOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Held Running(const Lease& lease, const std::vector<std::string>& devices) {
  Held held;
  held.lease = lease;
  for (const std::string& device : devices) {
    held.devices.push_back({HostName(), device});
  }
  held.running = true;
  return held;
}

v1::HeartbeatResponse ReplyWith(const std::vector<v1::Hold>& holds) {
  v1::HeartbeatResponse reply;
  for (const v1::Hold& hold : holds) *reply.add_hold() = hold;
  return reply;
}

v1::Hold KnownHold(const Lease& lease, int64_t lease_ms = 30'000) {
  v1::Hold hold = HoldOf(lease, v1::RunSpec(), {}, lease_ms);
  hold.clear_spec();
  return hold;
}

v1::Hold NewHold(const Lease& lease, const std::vector<std::string>& devices) {
  return HoldOf(lease, SpecOf("succeed", 10, static_cast<int>(devices.size())), devices);
}

std::vector<Lease> Started(const Actions& actions) {
  std::vector<Lease> leases;
  for (const v1::Hold& hold : actions.start) leases.push_back(FromProto(hold.lease()));
  return leases;
}

TEST(ReconcileTest, StartsWhatIsNew) {
  const Actions actions = Reconcile(
      {}, ReplyWith({NewHold(LeaseOf(1, 1), {"cpu:0"}), NewHold(LeaseOf(2, 1), {"cpu:1"})}));
  EXPECT_THAT(Started(actions), ElementsAre(LeaseOf(1, 1), LeaseOf(2, 1)));
  EXPECT_THAT(actions.renew, IsEmpty());
}

TEST(ReconcileTest, RenewsWhatIsHeldAndStartsItNotAgain) {
  const std::vector<Held> held = {Running(LeaseOf(1, 1), {"cpu:0"})};
  // A repeated reply still carries the spec.
  const Actions actions = Reconcile(held, ReplyWith({NewHold(LeaseOf(1, 1), {"cpu:0"})}));
  EXPECT_THAT(Started(actions), IsEmpty());
  EXPECT_THAT(actions.renew, ElementsAre(Renewal{LeaseOf(1, 1), 30'000}));
  EXPECT_THAT(actions.drop, IsEmpty());
}

TEST(ReconcileTest, StartsOnceWhatAReplyNamesTwice) {
  const v1::HeartbeatResponse reply =
      ReplyWith({NewHold(LeaseOf(1, 1), {"cpu:0"}), NewHold(LeaseOf(1, 1), {"cpu:0"})});
  EXPECT_THAT(Started(Reconcile({}, reply)), ElementsAre(LeaseOf(1, 1)));
}

TEST(ReconcileTest, DropsWhatTheReplyDoesNotHold) {
  const std::vector<Held> held = {Running(LeaseOf(1, 1), {"cpu:0"}),
                                  Running(LeaseOf(2, 1), {"cpu:1"})};
  const Actions actions = Reconcile(held, ReplyWith({KnownHold(LeaseOf(2, 1))}));
  EXPECT_THAT(actions.drop, ElementsAre(LeaseOf(1, 1)));
  EXPECT_THAT(actions.renew, ElementsAre(Renewal{LeaseOf(2, 1), 30'000}));
}

TEST(ReconcileTest, DropsALeaseWhoseTokenChanged) {
  const std::vector<Held> held = {Running(LeaseOf(1, 1, "old"), {"cpu:0"})};
  const v1::HeartbeatResponse reply = ReplyWith({NewHold(LeaseOf(1, 1, "new"), {"cpu:0"})});
  const Actions actions = Reconcile(held, reply);
  EXPECT_THAT(actions.drop, ElementsAre(LeaseOf(1, 1, "old")));
  EXPECT_THAT(Started(actions), IsEmpty()) << "the old trainer still runs";
}

TEST(ReconcileTest, DropsOnce) {
  Held held = Running(LeaseOf(1, 1), {"cpu:0"});
  held.dropped = true;
  EXPECT_THAT(Reconcile({held}, ReplyWith({})).drop, IsEmpty());
  EXPECT_THAT(Reconcile({held}, ReplyWith({KnownHold(LeaseOf(1, 1))})).renew, IsEmpty());
}

TEST(ReconcileTest, StartsOnlyWhereNothingThatIsBeingEndedRuns) {
  Held dying = Running(LeaseOf(1, 1), {"cpu:0"});
  dying.dropped = true;
  const v1::HeartbeatResponse reply =
      ReplyWith({NewHold(LeaseOf(2, 1), {"cpu:0"}), NewHold(LeaseOf(3, 1), {"cpu:1"})});
  EXPECT_THAT(Started(Reconcile({dying}, reply)), ElementsAre(LeaseOf(3, 1)));
  dying.running = false;
  EXPECT_THAT(Started(Reconcile({dying}, reply)), ElementsAre(LeaseOf(2, 1), LeaseOf(3, 1)));
}

TEST(ReconcileTest, StartsANewAttemptOnlyAfterTheOldOneOfTheSameRunIsGone) {
  const std::vector<Held> held = {Running(LeaseOf(1, 1, "a"), {"cpu:0"})};
  const Actions actions = Reconcile(held, ReplyWith({NewHold(LeaseOf(1, 2, "b"), {"cpu:1"})}));
  EXPECT_THAT(actions.drop, ElementsAre(LeaseOf(1, 1, "a")));
  EXPECT_THAT(Started(actions), IsEmpty());
}

TEST(ReconcileTest, IgnoresAHoldWithoutSpecOfAnAttemptThatJustEnded) {
  const Actions actions = Reconcile({}, ReplyWith({KnownHold(LeaseOf(1, 1))}));
  EXPECT_THAT(Started(actions), IsEmpty());
  EXPECT_THAT(actions.renew, IsEmpty());
}

TEST(ReconcileTest, TellsPreemptAndCancelOnceEach) {
  Held held = Running(LeaseOf(1, 1), {"cpu:0"});
  v1::Hold hold = KnownHold(LeaseOf(1, 1));
  hold.set_preempt(true);
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, ElementsAre(Stop{LeaseOf(1, 1), 0}));
  held.told_preempt = true;
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, IsEmpty());
  hold.set_cancel(true);
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).cancel, ElementsAre(Stop{LeaseOf(1, 1), 0}));
  held.told_cancel = true;
  const Actions actions = Reconcile({held}, ReplyWith({hold}));
  EXPECT_THAT(actions.cancel, IsEmpty());
  EXPECT_THAT(actions.preempt, IsEmpty());
}

TEST(ReconcileTest, AShorterTimeToStopIsToldAgainAndALongerOneIsNot) {
  Held held = Running(LeaseOf(1, 1), {"cpu:0"});
  v1::Hold hold = KnownHold(LeaseOf(1, 1));
  hold.set_preempt(true);
  hold.set_stop_within_ms(3000);
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, ElementsAre(Stop{LeaseOf(1, 1), 3000}));
  held.told_preempt = true;
  held.told_within_ms = 3000;
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, IsEmpty());
  hold.set_stop_within_ms(5000);
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, IsEmpty());
  hold.set_stop_within_ms(1000);
  EXPECT_THAT(Reconcile({held}, ReplyWith({hold})).preempt, ElementsAre(Stop{LeaseOf(1, 1), 1000}));
}

}  // namespace
}  // namespace allometry::agent
