// The trainer as a process of one rank: curves, exit reasons, the lease, kill -9 and resume.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "run/lease_line.h"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

TEST_F(TrainerTest, TrainsByHandAndSaysEverythingInOrder) {
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
  EXPECT_TRUE(std::holds_alternative<run::ExecutionConfig>(spool.records.front().body));
  EXPECT_TRUE(std::holds_alternative<run::ExitRecord>(spool.records.back().body));
  EXPECT_EQ(spool.All<run::ExitRecord>()[0].step, 40);

  const auto numerics = spool.All<run::ExecutionConfig>();
  ASSERT_EQ(numerics.size(), 1u);
  EXPECT_EQ(numerics[0].ranks, 1);
  EXPECT_EQ(numerics[0].micro_batch, 16);
  EXPECT_EQ(numerics[0].device, "cpu");
  EXPECT_FALSE(numerics[0].hosts.empty());
  EXPECT_THAT(numerics[0].trainer_build, HasSubstr("LibTorch 2."));
  EXPECT_NE(numerics[0].step_backend, "auto");

  std::map<std::string, std::vector<run::Point>> series;
  for (const auto& point : spool.All<run::Point>()) {
    EXPECT_EQ(point.tokens, point.step * 256);
    ASSERT_TRUE(point.value.has_value());
    series[point.series].push_back(point);
  }
  ASSERT_EQ(series.size(), 6u);
  // The peak of this process without files that all ranks map: more than a megabyte, and not
  // LibTorch's hundreds of them.
  ASSERT_GE(series["memory_bytes"].size(), 1u);
  EXPECT_GT(*series["memory_bytes"][0].value, 1e6);
  EXPECT_LT(*series["memory_bytes"].back().value, 1e9);
  ASSERT_EQ(series["train"].size(), 10u);
  EXPECT_EQ(series["train"][2].step, 12);
  EXPECT_NEAR(*series["train"].front().value, std::log(16.0), 0.3);
  EXPECT_LT(*series["train"].back().value, 2.5);  // it learns: log 16 is 2.77
  ASSERT_EQ(series["heldout"].size(), 4u);
  EXPECT_EQ(series["heldout"][2].step, 25);
  EXPECT_LT(*series["heldout"].back().value, *series["heldout"].front().value);
  EXPECT_EQ(*series["learning_rate"][0].value, 1e-2 * 4 / 20);
  EXPECT_EQ(*series["learning_rate"].back().value, 1e-2);
  EXPECT_GT(*series["grad_norm"].front().value, 0);

  const auto checkpoints = spool.All<run::CheckpointRecord>();
  ASSERT_EQ(checkpoints.size(), 1u);
  EXPECT_EQ(checkpoints[0].step, 40);
  EXPECT_EQ(checkpoints[0].file, run::CheckpointFile(1, 40));
  const std::string path = run_dir_ + "/" + checkpoints[0].file;
  EXPECT_EQ(*HashFileHex(path), checkpoints[0].hash);
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), checkpoints[0].bytes);
}

TEST_F(TrainerTest, TrainPointIsTheMeanOfTheStepsSinceThePointBefore) {
  run::RunSpec every = spec_;
  every.log_every = 1;
  Curve single, grouped;
  run_dir_ = folder_.Path("every");
  RunToEnd(every, ExitReason::kSucceeded).MergeInto(&single, 40);
  run_dir_ = folder_.Path("grouped");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&grouped, 40);
  for (int64_t step = 4; step <= 40; step += 4) {
    double sum = 0;
    for (int64_t s = step - 3; s <= step; ++s) sum += *single.at({"train", s});
    EXPECT_EQ(*grouped.at({"train", step}), sum / 4) << step;
  }
}

TEST_F(TrainerTest, EvaluationLogAndCheckpointSettingsDoNotDisturbTheTraining) {
  run::RunSpec bare = spec_;
  bare.evaluation_steps = {40};
  bare.log_every = 40;
  run::RunSpec busy = spec_;
  busy.checkpoint_every_s = 1e-9;
  busy.evaluation_windows = 123;
  run_dir_ = folder_.Path("bare");
  const auto bare_end = RunToEnd(bare, ExitReason::kSucceeded).All<run::CheckpointRecord>();
  run_dir_ = folder_.Path("busy");
  const auto busy_end = RunToEnd(busy, ExitReason::kSucceeded).All<run::CheckpointRecord>();
  EXPECT_EQ(busy_end.size(), 40u);
  EXPECT_EQ(busy_end.back().hash, bare_end.back().hash);
}

TEST_F(TrainerTest, MicroBatchesAddUpToTheBatch) {
  run::RunSpec pieces = spec_;
  pieces.micro_batch = 5;  // 5 + 5 + 5 + 1
  Curve whole, micro;
  run_dir_ = folder_.Path("whole");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&whole, 40);
  run_dir_ = folder_.Path("micro");
  RunToEnd(pieces, ExitReason::kSucceeded).MergeInto(&micro, 40);
  ASSERT_EQ(whole.size(), micro.size());
  for (const auto& [key, value] : whole) {
    EXPECT_NEAR(*micro.at(key), *value, 1e-4 * std::abs(*value)) << key.first << " " << key.second;
  }
}

TEST_F(TrainerTest, LargerBudgetContinuesAsIfItHadBeenAskedForAtOnce) {
  run::RunSpec longer = spec_;
  longer.steps = 60;
  longer.evaluation_steps = {50, 60};
  run_dir_ = folder_.Path("at-once");
  const auto at_once = RunToEnd(longer, ExitReason::kSucceeded).All<run::CheckpointRecord>();

  run_dir_ = folder_.Path("grown");
  run::RunSpec grown = spec_;
  const auto first = RunToEnd(grown, ExitReason::kSucceeded).All<run::CheckpointRecord>();
  grown = longer;
  grown.attempt = 2;
  grown.start = StartFrom(1, first.back());
  const SpoolContents second = RunToEnd(grown, ExitReason::kSucceeded);
  EXPECT_EQ(second.All<run::CheckpointRecord>().back().hash, at_once.back().hash);
  Curve curve;
  second.MergeInto(&curve, 60);
  EXPECT_EQ(curve.count({"heldout", 50}), 1u);
  EXPECT_EQ(curve.begin()->first.second, 44);  // nothing from before the checkpoint again
}

TEST_F(TrainerTest, AttemptThatRanBeforeIsLeftAloneAndSaysWhatToDo) {
  const size_t records = RunToEnd(spec_, ExitReason::kSucceeded).records.size();
  const auto again = Start(spec_);
  EXPECT_EQ(again->Wait(), run::ProcessExitCode(ExitReason::kBug));
  EXPECT_THAT(again->Log(), HasSubstr("attempt-1 has records already, up to update 40"));
  EXPECT_THAT(again->Log(),
              HasSubstr("\"attempt\": 2 and \"start\": {\"attempt\": 1, \"step\": 40"));
  EXPECT_EQ(ReadSpool(1).records.size(), records);
}

TEST_F(TrainerTest, DatasetThatIsMissingOrAnotherOneIsData) {
  run::RunSpec spec = spec_;
  spec.identity.dataset = "gone";
  EXPECT_THAT(RunToEnd(spec, ExitReason::kData).All<run::ExitRecord>()[0].message,
              HasSubstr("gone"));
  spec = spec_;
  spec.attempt = 2;
  spec.identity.dataset_hash = "0123456789abcdef";
  EXPECT_THAT(RunToEnd(spec, ExitReason::kData).All<run::ExitRecord>()[0].message,
              HasSubstr("it is another dataset"));
  spec = spec_;
  spec.attempt = 3;
  spec.identity.shape.vocabulary = 15;
  EXPECT_THAT(RunToEnd(spec, ExitReason::kData).All<run::ExitRecord>()[0].message,
              HasSubstr("16 token ids; the model's vocabulary is 15"));
}

TEST_F(TrainerTest, StartCheckpointThatDoesNotVerifyIsCheckpoint) {
  const auto checkpoint =
      RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>().back();
  run::RunSpec spec = spec_;
  spec.steps = 50;
  int attempt = 1;
  const auto failure = [&](const std::string& said) {
    spec.attempt = ++attempt;
    const auto exit = RunToEnd(spec, ExitReason::kCheckpoint).All<run::ExitRecord>()[0];
    EXPECT_THAT(exit.message, HasSubstr(said));
  };

  spec.start = StartFrom(1, checkpoint);
  spec.start->hash = "0123456789abcdef";
  failure("it should be 0123456789abcdef");
  spec.start = StartFrom(1, checkpoint);
  spec.start->step = 39;
  failure("it is of step 40, run.json says 39");
  spec.start = StartFrom(1, checkpoint);
  spec.start->file = "attempt-1/gone.safetensors";
  failure("attempt-1/gone.safetensors");
  spec.start = StartFrom(1, checkpoint);
  spec.identity.seed = 8;
  failure("it is of another run");
  spec.identity.seed = 7;

  const std::string path = run_dir_ + "/" + checkpoint.file;
  const std::string bytes = *ReadFile(path);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes.substr(0, bytes.size() / 2);
  spec.start = StartFrom(1, checkpoint);
  failure("its hash is");
  spec.start->hash = *HashFileHex(path);  // whoever computed it, the file is still cut short
  failure("the file is cut short or damaged");
}

TEST_F(TrainerTest, DeviceThatIsNotThereIsASentence) {
  spec_.device = run::DeviceKind::kCuda;
  const auto exit = RunToEnd(spec_, ExitReason::kDevice).All<run::ExitRecord>()[0];
  EXPECT_THAT(exit.message, HasSubstr("use allo-trainer-cuda on a machine with a GPU"));
}

TEST_F(TrainerTest, LossThatIsNotFiniteIsDivergedWithANullPoint) {
  spec_.identity.learning_rate = 1e30;
  spec_.identity.warmup_steps = 0;
  spec_.evaluation_steps = {};
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kDiverged);
  EXPECT_EQ(spool.All<run::Point>().back().series, "train");
  EXPECT_EQ(spool.All<run::Point>().back().value, std::nullopt);
  EXPECT_EQ(spool.All<run::Point>().back().step, spool.All<run::ExitRecord>()[0].step);
}

TEST_F(TrainerTest, AShardThatIsWrittenOverEndsItAsDataBeforeTheNextCheckpoint) {
  spec_.steps = 1'000'000;
  spec_.evaluation_steps = {1};
  spec_.checkpoint_every_s = 0.2;
  const auto process = Start(spec_);
  ASSERT_TRUE(WaitUntil(*process, 1, [](const SpoolContents& spool) {
    return !spool.All<run::CheckpointRecord>().empty();
  })) << process->Log();
  const std::string shard =
      data_dir_ + "/pattern/" + data::ReadManifest(data_dir_, "pattern")->shards[0].file;
  {
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4000);
    file.put(1);
  }
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kData)) << process->Log();
  const auto exits = ReadSpool(1).All<run::ExitRecord>();
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_THAT(exits[0].message, HasSubstr(shard + " changed while it was trained on"));
}

TEST_F(TrainerTest, TheSelfTestPassesWhereItCanComputeAndWrite) {
  const auto self_test = [&](const std::string& limit, const std::string& device = "cpu") {
    const std::string command = limit + " exec " + executable_ + " --self-test " + folder_.path() +
                                " --device " + device + " >" + folder_.Path("said") + " 2>&1";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(self_test(""), 0);
  EXPECT_FALSE(std::filesystem::exists(run_dir_));
  EXPECT_EQ(self_test("ulimit -f 100;"), run::ProcessExitCode(ExitReason::kDiskFull));
  EXPECT_THAT(ReadFile(folder_.Path("said")).value_or(""), HasSubstr("File too large"));
  EXPECT_NE(self_test("ulimit -v 100000;"), 0);
  EXPECT_EQ(self_test("", "cuda"), run::ProcessExitCode(ExitReason::kDevice));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path().filename().string().find("self-test"), std::string::npos);
  }
}

TEST_F(TrainerTest, FullDiskIsTold) {
  // The checkpoint's temporary file is a device that is always full.
  const std::string temporary = run_dir_ + "/" + run::CheckpointFile(1, 40) + ".tmp";
  std::filesystem::create_directories(run::AttemptDir(run_dir_, 1));
  std::filesystem::create_symlink("/dev/full", temporary);
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kDiskFull);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message, HasSubstr("No space left on device"));
  EXPECT_TRUE(spool.All<run::CheckpointRecord>().empty());
}

TEST_F(TrainerTest, RanksMustBeThoseOfRunJson) {
  run::RunSpec two = spec_;
  two.ranks = 2;
  ASSERT_THAT(run::WriteRunSpec(run_dir_, two), testing::IsOk());
  TrainerProcess process({ALLO_BIN_DIR "/allo-trainer", run_dir_, "--data-dir", data_dir_},
                         folder_.Path("log"));
  EXPECT_EQ(process.Wait(), run::ProcessExitCode(ExitReason::kBug));
  EXPECT_THAT(process.Log(), HasSubstr("run.json asks for 2 ranks, 1 started"));
  EXPECT_FALSE(std::filesystem::exists(run::AttemptDir(run_dir_, 1)));
}

class LeaseTest : public TrainerTest {
 protected:
  LeaseTest() {
    spec_.steps = 1'000'000;
    spec_.evaluation_steps = {};
  }

  // A leased trainer that has written points.
  std::unique_ptr<TrainerProcess> StartLeased(int64_t lease_ns) {
    auto process = Start(spec_, {"--leased"});
    const int64_t now = Clock::Real().BootNanos();
    process->Say(run::WriteLeaseLine(now, now + lease_ns, now) + "\n");
    EXPECT_TRUE(WaitUntil(*process, 1, [](const SpoolContents& spool) {
      return !spool.All<run::Point>().empty();
    })) << process->Log();
    return process;
  }
  static constexpr int64_t kHourNs = 3'600'000'000'000;
};

TEST_F(LeaseTest, ClosedInputEndsItWithoutAnotherWrite) {
  const auto process = StartLeased(kHourNs);
  process->CloseInput();
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kLeaseLost));
  EXPECT_TRUE(ReadSpool(1).All<run::ExitRecord>().empty());
  EXPECT_TRUE(ReadSpool(1).All<run::CheckpointRecord>().empty());
}

TEST_F(LeaseTest, SigtermMeansPreempt) {
  const auto process = StartLeased(kHourNs);
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kPreempted)) << process->Log();
  const SpoolContents spool = ReadSpool(1);
  ASSERT_EQ(spool.All<run::ExitRecord>().size(), 1u);
  EXPECT_EQ(spool.All<run::CheckpointRecord>().back().step, spool.All<run::ExitRecord>()[0].step);
}

// As it comes from another host: neither of the two times means anything here.
TEST_F(LeaseTest, ALeaseOfAnotherMachineLastsWhatItSaysIsLeft) {
  auto process = Start(spec_, {"--leased"});
  process->Say("lease another-boot 1000000 3000001000000 3000\n");
  EXPECT_TRUE(WaitUntil(*process, 1, [](const SpoolContents& spool) {
    return !spool.All<run::Point>().empty();
  })) << process->Log();
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kLeaseLost)) << process->Log();
}

TEST_F(LeaseTest, PassedDeadlineEndsItAfterACheckpointAtTwoThirds) {
  const auto process = StartLeased(6'000'000'000);
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kLeaseLost));
  const SpoolContents spool = ReadSpool(1);
  EXPECT_TRUE(spool.All<run::ExitRecord>().empty());
  EXPECT_EQ(spool.All<run::CheckpointRecord>().size(), 1u);
}

TEST_F(LeaseTest, PreemptAndCancelCheckpointAndSaySo) {
  for (const auto& [word, reason] : {std::pair("preempt\n", ExitReason::kPreempted),
                                     std::pair("cancel\n", ExitReason::kCancelledByUser)}) {
    run_dir_ = folder_.Path(word);
    const auto process = StartLeased(kHourNs);
    process->Say(word);
    EXPECT_EQ(process->Wait(), run::ProcessExitCode(reason)) << process->Log();
    const SpoolContents spool = ReadSpool(1);
    ASSERT_EQ(spool.All<run::ExitRecord>().size(), 1u);
    EXPECT_EQ(spool.All<run::ExitRecord>()[0].reason, reason);
    ASSERT_EQ(spool.All<run::CheckpointRecord>().size(), 1u);
    EXPECT_EQ(spool.All<run::CheckpointRecord>()[0].step, spool.All<run::ExitRecord>()[0].step);
  }
}

TEST_F(ResumeTest, CurveAfterKill9IsBitIdentical) {
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& process) { process.Kill(); });
}

TEST_F(ResumeTest, CurveInBf16AfterKill9IsBitIdentical) {
  SetSteps(700);
  spec_.identity.precision = run::Precision::kBf16;
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& process) { process.Kill(); });
}

TEST_F(TrainerTest, LossesInBf16AreWithinOnePercentOfFp32) {
  spec_.steps = 500;
  spec_.log_every = 20;
  spec_.evaluation_steps = {1, 10, 100, 250, 500};
  spec_.identity.warmup_steps = 50;
  Curve fp32, bf16;
  run_dir_ = folder_.Path("fp32");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&fp32, spec_.steps);
  run_dir_ = folder_.Path("bf16");
  spec_.identity.precision = run::Precision::kBf16;
  const SpoolContents contents = RunToEnd(spec_, ExitReason::kSucceeded);
  contents.MergeInto(&bf16, spec_.steps);
  EXPECT_EQ(contents.All<run::ExecutionConfig>()[0].step_backend, "autograd");
  int compared = 0;
  for (const auto& [key, value] : fp32) {
    if (key.first != "train" && key.first != "heldout") continue;
    ++compared;
    EXPECT_NEAR(*bf16.at(key), *value, 0.01 * *value) << key.first << " after " << key.second;
  }
  EXPECT_EQ(compared, 30);
  EXPECT_NE(fp32, bf16);
}

}  // namespace
}  // namespace allometry::trainer
