// The trainer on a GPU: `make gpu-check` runs these there, and its rehearsal on a CPU
// (ALLO_GPU_TEST_DEVICE=cpu), where they show that the tests themselves are right. Without a GPU
// and without being asked for a CPU they are skipped, with that reason. What they measured is in
// the properties of their results (--gtest_output=json), for docs/results/gpu.md.
#include <cmath>
#include <cstdlib>

#include "tests/trainer/stack_runs.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using run::Precision;
using ::testing::HasSubstr;

bool OnCpu() {
  const char* const device = std::getenv("ALLO_GPU_TEST_DEVICE");
  return device != nullptr && std::string(device) == "cpu";
}
bool HasGpu() { return std::filesystem::exists("/dev/nvidia0"); }

class GpuTest : public ResumeTest {
 protected:
  GpuTest() {
    executable_ = OnCpu() ? ALLO_BIN_DIR "/allo-trainer" : ALLO_BIN_DIR "/allo-trainer-cuda";
    spec_.device = OnCpu() ? run::DeviceKind::kCpu : run::DeviceKind::kCuda;
    spec_.deterministic = true;
    SetSteps(400);
  }
  void SetUp() override {
    if (!OnCpu() && !HasGpu()) GTEST_SKIP() << "there is no GPU on this machine";
  }
  Curve CurveOf(const std::string& name, const run::RunSpec& spec) {
    Curve curve;
    run_dir_ = folder_.Path(name);
    RunToEnd(spec, ExitReason::kSucceeded).MergeInto(&curve, spec.steps);
    return curve;
  }
  // The largest difference of losses, as a share of the first one's.
  static double LargestDifference(const Curve& expected, const Curve& curve) {
    double largest = 0;
    int compared = 0;
    for (const auto& [key, value] : expected) {
      if (key.first != "train" && key.first != "heldout") continue;
      ++compared;
      largest = std::max(largest, std::abs(*curve.at(key) - *value) / *value);
    }
    EXPECT_GE(compared, 20);
    return largest;
  }
  // 500 updates in `precision` against fp32.
  void ExpectLossesOfFp32(Precision precision) {
    SetSteps(500);
    spec_.log_every = 20;
    const Curve fp32 = CurveOf("fp32", spec_);
    run::RunSpec other = spec_;
    other.identity.precision = precision;
    const Curve curve = CurveOf("other", other);
    const double largest = LargestDifference(fp32, curve);
    EXPECT_LT(largest, 0.01);
    RecordProperty("largest_relative_difference", absl::StrCat(largest));
    RecordProperty("heldout_fp32", absl::StrCat(*fp32.at({"heldout", 500})));
    RecordProperty("heldout", absl::StrCat(*curve.at({"heldout", 500})));
  }
};

TEST_F(GpuTest, LossesInBf16AreWithinOnePercentOfFp32) { ExpectLossesOfFp32(Precision::kBf16); }

TEST_F(GpuTest, LossesInTf32AreWithinOnePercentOfFp32) {
  if (OnCpu()) GTEST_SKIP() << "tf32 is a mode of GPUs";
  ExpectLossesOfFp32(Precision::kTf32);
}

TEST_F(GpuTest, CurveAfterKill9IsBitIdentical) {
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& process) { process.Kill(); });
}

TEST_F(GpuTest, CurveInBf16AfterKill9IsBitIdentical) {
  spec_.identity.precision = Precision::kBf16;
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& process) { process.Kill(); });
}

// A captured update (captured_work.h) is the same work.
TEST_F(GpuTest, CapturedUpdatesHaveTheBitsOfEnqueuedOnes) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    spec_.identity.precision = precision;
    const Curve captured = CurveOf(absl::StrCat("captured-", run::NameOf(precision)), spec_);
    setenv("ALLO_EAGER", "1", 1);
    const Curve eager = CurveOf(absl::StrCat("eager-", run::NameOf(precision)), spec_);
    unsetenv("ALLO_EAGER");
    EXPECT_EQ(captured, eager) << run::NameOf(precision);
  }
}

TEST_F(GpuTest, MicroBatchesGiveTheLossesOfTheWholeBatch) {
  spec_.steps = 60;
  spec_.evaluation_steps = {1, 30, 60};
  spec_.log_every = 3;
  const Curve whole = CurveOf("whole", spec_);
  for (const int micro_batch : {4, 5}) {  // 5 leaves a smaller last one
    spec_.micro_batch = micro_batch;
    EXPECT_LT(LargestDifference(whole, CurveOf(absl::StrCat("micro-", micro_batch), spec_)), 1e-3);
  }
}

// The device finds it, and the host learns of it later: no update after it, and no checkpoint.
TEST_F(GpuTest, ADivergedRunSaysWhichUpdateItWas) {
  spec_.identity.learning_rate = 1e30;
  spec_.identity.warmup_steps = 0;
  spec_.log_every = 7;
  spec_.evaluation_steps = {};
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kDiverged);
  const run::ExitRecord exit = spool.All<run::ExitRecord>()[0];
  EXPECT_LT(exit.step, 50);
  EXPECT_THAT(exit.message, HasSubstr(absl::StrCat("of update ", exit.step, " is ")));
  EXPECT_TRUE(spool.All<run::CheckpointRecord>().empty());
}

TEST_F(GpuTest, AgreesWithTheCpu) {
  spec_.steps = 40;
  spec_.evaluation_steps = {1, 10, 25, 40};
  spec_.log_every = 4;
  spec_.identity.precision = Precision::kFp32;
  const Curve gpu = CurveOf("device", spec_);
  spec_.device = run::DeviceKind::kCpu;
  spec_.step_backend = "autograd";
  executable_ = ALLO_BIN_DIR "/allo-trainer";
  const Curve cpu = CurveOf("cpu", spec_);
  ASSERT_EQ(cpu.size(), gpu.size());
  for (const auto& [key, value] : cpu) {
    EXPECT_NEAR(*gpu.at(key), *value, 1e-2 * std::abs(*value)) << key.first << " " << key.second;
  }
}

class GpuStackTest : public StackRuns<GpuTest> {};

TEST_F(GpuStackTest, EachRunAgreesWithItselfAlone) {
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}, {"c", Spec(2)}});
  double largest = 0;
  for (const auto& [i, name] : {std::pair(0, "a"), std::pair(1, "b"), std::pair(2, "c")}) {
    const Curve alone = CurveOf(absl::StrCat("alone-", name), Spec(i));
    largest = std::max(largest, LargestDifference(alone, Of(name).curve));
  }
  EXPECT_LT(largest, 1e-3);
  RecordProperty("largest_relative_difference", absl::StrCat(largest));
}

TEST_F(GpuStackTest, BitsDoNotDependOnPlaceCompanyAndCapture) {
  run::RunSpec wild = Spec(1);
  wild.identity.learning_rate = 1e30;
  wild.identity.warmup_steps = 0;
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}, {"c", Spec(2)}});
  const auto with_wild = StartStack({{"c2", Spec(2)}, {"wild", wild}, {"b2", Spec(1)}});
  EXPECT_EQ(with_wild->Wait(), run::ProcessExitCode(ExitReason::kDiverged)) << with_wild->Log();
  EXPECT_EQ(Of("b2"), Of("b"));
  EXPECT_EQ(Of("c2"), Of("c"));
  setenv("ALLO_EAGER", "1", 1);
  TrainStack({{"a2", Spec(0)}}, {"--stack", "3"});
  unsetenv("ALLO_EAGER");
  EXPECT_EQ(Of("a2"), Of("a"));
}

TEST_F(GpuStackTest, AfterKill9EachRunContinuesWithItsBits) { ExpectStackResumesWithItsBits(400); }

// What allo-trainer-cuda does where there is no GPU.
class TrainerCudaTest : public TrainerTest {
 protected:
  TrainerCudaTest() { executable_ = ALLO_BIN_DIR "/allo-trainer-cuda"; }
  void SetUp() override {
    if (!std::filesystem::exists(executable_)) {
      GTEST_SKIP() << "allo-trainer-cuda is not built: there is no CUDA toolkit";
    }
  }
};

TEST_F(TrainerCudaTest, MachineWithoutAGpuIsASentence) {
  if (HasGpu()) GTEST_SKIP() << "this machine has a GPU";
  spec_.device = run::DeviceKind::kCuda;
  const auto exit = RunToEnd(spec_, ExitReason::kDevice).All<run::ExitRecord>()[0];
  EXPECT_THAT(exit.message, HasSubstr("there is no GPU on this machine"));
  EXPECT_THAT(exit.message, HasSubstr("use a machine with one, or device cpu"));
}

TEST_F(TrainerCudaTest, TrainsOnTheCpuToo) {
  Curve cpu, cuda;
  run_dir_ = folder_.Path("cuda-executable");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&cuda, 40);
  executable_ = ALLO_BIN_DIR "/allo-trainer";
  run_dir_ = folder_.Path("cpu-executable");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&cpu, 40);
  EXPECT_EQ(cuda, cpu);
}

}  // namespace
}  // namespace allometry::trainer
