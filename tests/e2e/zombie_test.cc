// An agent that is stopped for longer than its lease, and goes on when its run is another's: what
// it still writes must be refused. Deterministic: every step waits for what it needs.
#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/e2e/zombies.h"
#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kTokens = 3'000'000;

std::string OneRun() {
  return absl::StrFormat(
      "name: zombie\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [6k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3}\n"
      "budgets: {tokens: [%d, %d]}\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 100000\n"
      "log_every: 20\n"
      "checkpoint_every: 300ms\n",
      kTokens / 2, kTokens);
}

DeploymentOptions TwoAgentsOfOneSlot() {
  DeploymentOptions options;
  options.workers = 2;
  options.slots = "cpu:1";
  options.lease_ms = 2'000;
  options.heartbeat_ms = 100;
  return options;
}

class ZombieTest : public ::testing::Test {
 protected:
  v1::Run Run() { return deployment_.Get("zombie").runs(0); }

  Deployment deployment_{TwoAgentsOfOneSlot()};
};

TEST_F(ZombieTest, WhatAStoppedAgentWritesAfterItsLeaseWasGivenAwayIsRefused) {
  deployment_.Submit(OneRun());
  ASSERT_TRUE(Eventually([&] { return Run().step() > 100 && Run().has_checkpoint(); }));
  const int stopped = Run().agent() == "host-0" ? 0 : 1;
  deployment_.SignalWorker(stopped, SIGSTOP);
  // Its trainer goes on into the spool until its deadline; then the run is the other agent's.
  ASSERT_TRUE(Eventually([&] { return Run().attempt() == 2; })) << deployment_.Logs();

  // All that a writer can say, by hand, as if it had been on the way in the network.
  v1::Lease lease;
  lease.set_run_id(1);
  lease.set_attempt(1);
  lease.set_token(deployment_.Query("SELECT token FROM attempts WHERE attempt = 1").at(0));
  for (const auto& said : AllThatAZombieSays(1, Run().spec().steps())) {
    absl::StatusOr<v1::RecordAck> ack;
    ASSERT_TRUE(Eventually([&] { return (ack = WriteAs(deployment_, lease, said.second)).ok(); }));
    EXPECT_TRUE(ack->stale()) << said.first;
  }
  const char* refused = "SELECT refused_batches FROM attempts WHERE attempt = 1";
  EXPECT_THAT(deployment_.Query(refused), ::testing::ElementsAre("3"));

  deployment_.SignalWorker(stopped, SIGCONT);
  // The agent itself finds unsent records in its spool and sends them.
  EXPECT_TRUE(Eventually([&] { return std::stoi(deployment_.Query(refused).at(0)) > 3; }))
      << deployment_.Logs();
  EXPECT_THAT(deployment_.Query("SELECT text FROM events WHERE text LIKE '%went on writing%'"),
              ::testing::SizeIs(1))
      << "said once";

  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment_.Get("zombie")); }));
  EXPECT_THAT(Unfinished(deployment_.Get("zombie")), IsEmpty());
  EXPECT_TRUE(Eventually([&] { return deployment_.NoTrainerLeft(); }));
  const SweepResult fought_over = ResultOf(deployment_, "zombie", /*with_fit=*/false);
  Deployment quiet(TwoAgentsOfOneSlot());
  quiet.Submit(OneRun());
  ASSERT_TRUE(Eventually([&] { return HasEnded(quiet.Get("zombie")); }));
  EXPECT_THAT(Differences(ResultOf(quiet, "zombie", /*with_fit=*/false), fought_over), IsEmpty());
}

}  // namespace
}  // namespace allometry::testing
