// allo-trainer --measure: numbers that a plan can multiply, and nothing of the run touched.
#include "nlohmann/json.hpp"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MeasureTest : public TrainerTest {
 protected:
  std::vector<std::string> FilesOfTheRun() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(run_dir_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
};

TEST_F(MeasureTest, PrintsTimesAndMemoryAndLeavesOnlyRunJson) {
  const auto process = Start(spec_, {"--measure", "200ms"});
  ASSERT_EQ(process->Wait(), 0) << process->Log();
  // Standard error, which says what `auto` chose, is in the same log.
  const std::string log = process->Log();
  ASSERT_NE(log.find('{'), std::string::npos) << log;
  const auto json = nlohmann::json::parse(log.substr(log.find('{')));
  // Far more updates than the run has steps fit into a fifth of a second of this model, and fewer
  // than would take no time.
  const double updates = json["updates"];
  EXPECT_GE(updates, 1);
  EXPECT_GT(json["update_s"], 0);
  EXPECT_GE(json["update_s"].get<double>() * updates, 0.19);
  EXPECT_GT(json["evaluation_s"], 0);
  EXPECT_GT(json["checkpoint_s"], 0);
  EXPECT_GE(json["measuring_s"].get<double>(), json["update_s"].get<double>() * updates);
  EXPECT_GT(json["peak_memory_bytes"], 1 << 20);
  EXPECT_THAT(json["trainer_build"].get<std::string>(), HasSubstr("LibTorch"));
  EXPECT_NE(json["step_backend"], "auto");
  EXPECT_THAT(FilesOfTheRun(), ElementsAre("run.json"));
}

TEST_F(MeasureTest, RunThatHasRecordsIsMeasuredAllTheSame) {
  RunToEnd(spec_, ExitReason::kSucceeded);
  const size_t records = ReadSpool(1).records.size();
  const auto process = Start(spec_, {"--measure", "50ms"});
  EXPECT_EQ(process->Wait(), 0) << process->Log();
  EXPECT_EQ(ReadSpool(1).records.size(), records);
}

TEST_F(MeasureTest, WhatCannotTrainCannotBeMeasuredAndSaysWhy) {
  spec_.identity.dataset = "nowhere";
  const auto process = Start(spec_, {"--measure", "50ms"});
  EXPECT_EQ(process->Wait(), run::ProcessExitCode(ExitReason::kData));
  EXPECT_THAT(process->Log(), HasSubstr("nowhere"));
  EXPECT_THAT(FilesOfTheRun(), ElementsAre("run.json"));
}

}  // namespace
}  // namespace allometry::trainer
