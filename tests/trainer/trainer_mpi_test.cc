// The trainer as two ranks under mpirun.
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "run/lease_line.h"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

// The processes of the ranks that train `run_dir`.
std::vector<pid_t> RanksOf(const std::string& run_dir) {
  std::vector<pid_t> ranks;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    const std::string trainer = std::string(ALLO_BIN_DIR "/allo-trainer") + '\0';
    if (absl::StartsWith(line, trainer + run_dir + '\0')) ranks.push_back(std::stoi(name));
  }
  return ranks;
}

void WaitUntilNoRankIsLeft(const std::string& run_dir) {
  while (!RanksOf(run_dir).empty()) usleep(10'000);
}

TEST_F(TrainerTest, TwoRanksAgreeWithOneToTheStatedTolerance) {
  Curve one, two;
  run_dir_ = folder_.Path("one");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&one, 40);
  run_dir_ = folder_.Path("two");
  spec_.ranks = 2;
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
  spool.MergeInto(&two, 40);
  EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].ranks, 2);
  EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].micro_batch, 8);
  ASSERT_EQ(one.size(), two.size());
  for (const auto& [key, value] : one) {
    EXPECT_NEAR(*two.at(key), *value, 1e-4 * std::abs(*value)) << key.first << " " << key.second;
  }
}

TEST_F(TrainerTest, GradientsSummedInBucketsAreThoseOfOneSum) {
  spec_.step_backend = "autograd";
  for (const int ranks : {2, 3}) {
    spec_.ranks = ranks;
    Curve whole, buckets;
    run_dir_ = folder_.Path(absl::StrCat("whole-", ranks));
    RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&whole, 40);
    run_dir_ = folder_.Path(absl::StrCat("buckets-", ranks));
    // 7 thousand parameters, of which 3 thousand are those of a block.
    const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded, {"--bucket-mib", "0.002"});
    spool.MergeInto(&buckets, 40);
    EXPECT_THAT(spool.All<run::ExecutionConfig>()[0].trainer_build,
                HasSubstr("in buckets of 0.002 MiB"));
    ASSERT_EQ(whole.size(), buckets.size());
    for (const auto& [key, value] : whole) {
      // Of two numbers there is one sum; of three its order is MPI's.
      EXPECT_NEAR(*buckets.at(key), *value, ranks == 2 ? 0 : 1e-4 * std::abs(*value))
          << key.first << " " << key.second;
    }
  }
}

// Elastic runs and out of memory: the same global batch and data order, other numerics.
TEST_F(TrainerTest, ResumedOnOtherRanksOrAnotherMicroBatchTheCurveAgreesToTheStatedTolerance) {
  Curve whole, changed;
  run_dir_ = folder_.Path("whole");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&whole, 40);
  run_dir_ = folder_.Path("changed");
  run::RunSpec spec = spec_;
  struct Part {
    int64_t to;
    int ranks, micro_batch;
  };
  for (const Part part : {Part{15, 1, 0}, Part{30, 2, 3}, Part{40, 1, 1}}) {
    spec.ranks = part.ranks;
    spec.micro_batch = part.micro_batch;
    spec.steps = part.to;
    spec.evaluation_steps.clear();
    for (const int64_t step : spec_.evaluation_steps) {
      if (step <= part.to) spec.evaluation_steps.push_back(step);
    }
    const SpoolContents spool = RunToEnd(spec, ExitReason::kSucceeded);
    EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].ranks, part.ranks);
    EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].micro_batch,
              part.micro_batch == 0 ? 16 : part.micro_batch);
    spool.MergeInto(&changed, part.to);
    spec.start = StartFrom(spec.attempt, spool.All<run::CheckpointRecord>().back());
    ++spec.attempt;
  }
  ASSERT_EQ(whole.size(), changed.size());
  for (const auto& [key, value] : whole) {
    EXPECT_NEAR(*changed.at(key), *value, 1e-4 * std::abs(*value))
        << key.first << " " << key.second;
  }
}

TEST_F(TrainerTest, HeldoutLossOfGivenParametersDoesNotDependOnRanks) {
  // Both continue from one checkpoint with a learning rate too small to move any parameter.
  spec_.identity.learning_rate = 1e-30;
  const auto start = RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>().back();
  spec_.steps = 41;
  spec_.evaluation_steps = {41};
  spec_.evaluation_windows = 562;  // all there are: two groups, the second not full
  spec_.start = StartFrom(1, start);
  std::vector<double> losses;
  for (int ranks : {1, 2}) {
    spec_.attempt = ranks + 1;
    spec_.ranks = ranks;
    Curve curve;
    RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&curve, 41);
    losses.push_back(*curve.at({"heldout", 41}));
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST_F(TrainerTest, UnevenSharesAddUpToTheBatch) {
  spec_.identity.batch_tokens = 16 * 7;  // three sequences and four
  Curve one, two;
  run_dir_ = folder_.Path("one");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&one, 40);
  run_dir_ = folder_.Path("two");
  spec_.ranks = 2;
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&two, 40);
  for (const auto& [key, value] : one) {
    EXPECT_NEAR(*two.at(key), *value, 1e-4 * std::abs(*value)) << key.first << " " << key.second;
  }
}

TEST_F(TrainerTest, FailureOfTheSetUpIsOneExitRecordAndMpirunsExitCode) {
  spec_.ranks = 2;
  spec_.identity.dataset = "gone";
  EXPECT_THAT(RunToEnd(spec_, ExitReason::kData).All<run::ExitRecord>()[0].message,
              HasSubstr("gone"));
}

TEST_F(TrainerTest, FailureOfAnotherRankIsInRankZerosExitRecord) {
  spec_.ranks = 2;
  ASSERT_THAT(run::WriteRunSpec(run_dir_, spec_), testing::IsOk());
  // The second rank's host has no such dataset.
  const std::string command =
      absl::StrCat("test $OMPI_COMM_WORLD_RANK = 1 && data=/nowhere || data=", data_dir_,
                   "; exec " ALLO_BIN_DIR "/allo-trainer ", run_dir_, " --data-dir $data");
  TrainerProcess process({"mpirun", "-np", "2", "--allow-run-as-root", "--oversubscribe", "--mca",
                          "btl_vader_single_copy_mechanism", "none", "sh", "-c", command},
                         folder_.Path("log"));
  EXPECT_EQ(process.Wait(), run::ProcessExitCode(ExitReason::kData)) << process.Log();
  const auto exits = ReadSpool(1).All<run::ExitRecord>();
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_THAT(exits[0].message, HasSubstr("rank 1: dataset 'pattern' is not in /nowhere"));
}

TEST_F(TrainerTest, FailureOfRankZeroAloneGivesMpirunItsExitCode) {
  spec_.ranks = 2;
  std::filesystem::create_directories(run::AttemptDir(run_dir_, 1));
  std::filesystem::create_symlink("/dev/full",
                                  run_dir_ + "/" + run::CheckpointFile(1, 40) + ".tmp");
  RunToEnd(spec_, ExitReason::kDiskFull);
}

class MpiLeaseTest : public TrainerTest {
 protected:
  explicit MpiLeaseTest(std::vector<std::string> flags = {}) {
    spec_.ranks = 2;
    spec_.steps = 1'000'000;
    spec_.evaluation_steps = {};
    flags.push_back("--leased");
    process_ = Start(spec_, flags);
    const int64_t now = Clock::Real().BootNanos();
    process_->Say(run::WriteLeaseLine(now, now + 3'600'000'000'000, now) + "\n");
    EXPECT_TRUE(WaitUntil(*process_, 1, [](const SpoolContents& spool) {
      return !spool.All<run::Point>().empty();
    })) << process_->Log();
    EXPECT_EQ(RanksOf(run_dir_).size(), 2u);
  }
  std::unique_ptr<TrainerProcess> process_;
};

TEST_F(MpiLeaseTest, ClosedInputEndsEveryRank) {
  process_->CloseInput();
  EXPECT_EQ(process_->Wait(), run::ProcessExitCode(ExitReason::kLeaseLost)) << process_->Log();
  WaitUntilNoRankIsLeft(run_dir_);
  EXPECT_TRUE(ReadSpool(1).All<run::ExitRecord>().empty());
}

TEST_F(MpiLeaseTest, PreemptStopsBothRanksAfterTheSameUpdate) {
  process_->Say("preempt\n");
  EXPECT_EQ(process_->Wait(), run::ProcessExitCode(ExitReason::kPreempted)) << process_->Log();
  const SpoolContents spool = ReadSpool(1);
  ASSERT_EQ(spool.All<run::ExitRecord>().size(), 1u);
  EXPECT_EQ(spool.All<run::CheckpointRecord>().back().step, spool.All<run::ExitRecord>()[0].step);
}

TEST_F(MpiLeaseTest, KilledMpirunLeavesNoRankBehind) {
  process_->Kill();
  process_->CloseInput();
  process_->Wait();
  WaitUntilNoRankIsLeft(run_dir_);
}

int RankOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/environ"), std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::string name = "OMPI_COMM_WORLD_RANK=";
  const size_t begin = text.find(name);
  return begin == std::string::npos ? -1 : std::atoi(text.c_str() + begin + name.size());
}

// A rank that does not answer, as one whose machine hangs.
class LostRankTest : public MpiLeaseTest {
 protected:
  LostRankTest() : MpiLeaseTest({"--collective-timeout", "3s"}) {}

  void Signal(int rank, int signal) {
    for (const pid_t pid : RanksOf(run_dir_)) {
      if (RankOf(pid) == rank) kill(pid, signal);
    }
  }
};

TEST_F(LostRankTest, StoppedRankEndsTheAttemptAsNodeLost) {
  Signal(1, SIGSTOP);
  EXPECT_EQ(process_->Wait(), run::ProcessExitCode(ExitReason::kNodeLost)) << process_->Log();
  WaitUntilNoRankIsLeft(run_dir_);
  EXPECT_THAT(process_->Log(), HasSubstr("NODE_LOST: "));
  // Where the rank stopped in the middle of an exchange, rank 0 ends without a record.
  for (const run::ExitRecord& exit : ReadSpool(1).All<run::ExitRecord>()) {
    EXPECT_EQ(exit.reason, ExitReason::kNodeLost) << exit.message;
    EXPECT_THAT(exit.message, HasSubstr("no answer from rank 1 in 3 s"));
  }
}

TEST_F(LostRankTest, StoppedRankZeroEndsTheAttemptAsNodeLostByTheExitCode) {
  Signal(0, SIGSTOP);
  EXPECT_EQ(process_->Wait(), run::ProcessExitCode(ExitReason::kNodeLost)) << process_->Log();
  WaitUntilNoRankIsLeft(run_dir_);
  EXPECT_TRUE(ReadSpool(1).All<run::ExitRecord>().empty());
}

TEST_F(LostRankTest, KilledRankEndsTheOther) {
  Signal(1, SIGKILL);
  EXPECT_EQ(process_->Wait(), 128 + SIGKILL) << process_->Log();
  WaitUntilNoRankIsLeft(run_dir_);
}

// Both are stopped, as by `scontrol suspend`, for longer than the timeout: nobody is lost.
TEST_F(LostRankTest, TimeInWhichTheWholeJobIsStoppedDoesNotCount) {
  for (const int rank : {0, 1}) Signal(rank, SIGSTOP);
  sleep(5);
  const size_t points = ReadSpool(1).All<run::Point>().size();
  for (const int rank : {1, 0}) Signal(rank, SIGCONT);
  EXPECT_TRUE(WaitUntil(*process_, 1, [points](const SpoolContents& spool) {
    return spool.All<run::Point>().size() > points + 100;
  })) << process_->Log();
  process_->Say("preempt\n");
  EXPECT_EQ(process_->Wait(), run::ProcessExitCode(ExitReason::kPreempted)) << process_->Log();
}

TEST_F(ResumeTest, CurveOfTwoRanksAfterKill9OfOneIsBitIdentical) {
  SetSteps(400);
  spec_.ranks = 2;
  ExpectResumedCurveIsBitIdentical([this](TrainerProcess&) {
    const std::vector<pid_t> ranks = RanksOf(run_dir_);
    ASSERT_FALSE(ranks.empty());
    kill(ranks.back(), SIGKILL);
  });
}

}  // namespace
}  // namespace allometry::trainer
