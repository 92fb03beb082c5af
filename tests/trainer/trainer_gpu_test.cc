// allo-trainer-cuda: trains on a GPU where there is one, and says so where there is none.
#include <cmath>

#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

class TrainerCudaTest : public TrainerTest {
 protected:
  TrainerCudaTest() { executable_ = ALLO_BIN_DIR "/allo-trainer-cuda"; }
  static bool HasGpu() { return std::filesystem::exists("/dev/nvidia0"); }
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

TEST_F(TrainerCudaTest, GpuAgreesWithTheCpuAndResumesThroughACheckpoint) {
  if (!HasGpu()) GTEST_SKIP() << "there is no GPU on this machine";
  Curve cpu, gpu;
  run_dir_ = folder_.Path("cpu");
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&cpu, 40);
  run_dir_ = folder_.Path("gpu");
  spec_.device = run::DeviceKind::kCuda;
  run::RunSpec half = spec_;
  half.steps = 20;
  half.evaluation_steps = {1, 10};
  const SpoolContents first = RunToEnd(half, ExitReason::kSucceeded);
  first.MergeInto(&gpu, 20);
  spec_.attempt = 2;
  spec_.start = StartFrom(1, first.All<run::CheckpointRecord>().back());
  RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&gpu, 40);
  ASSERT_EQ(cpu.size(), gpu.size());
  for (const auto& [key, value] : cpu) {
    EXPECT_NEAR(*gpu.at(key), *value, 1e-2 * std::abs(*value)) << key.first << " " << key.second;
  }
}

}  // namespace
}  // namespace allometry::trainer
