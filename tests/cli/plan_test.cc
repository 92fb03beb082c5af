// allo plan as a program, without a coordinator and without a trainer's help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"
#include "nlohmann/json.hpp"
#include "tests/testing/shell.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"
#include "worker/agent/slots.h"

namespace allometry::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PlanProgramTest : public ::testing::Test {
 protected:
  PlanProgramTest() {
    const auto manifest = testing::WriteTokenDataset(folder_.Path("data"), "pattern", 16,
                                                     testing::PatternedTokens(200'000, 16),
                                                     testing::PatternedTokens(9000, 16));
    ALLO_CHECK(manifest.ok()) << manifest.status();
  }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.Path(name)) << text;
    return folder_.Path(name);
  }
  // Seven sizes, unless the text says otherwise.
  std::string Sweep(const std::string& more = "",
                    const std::string& sizes = "[3k, 5k, 10k, 20k, 40k, 80k, 160k]") const {
    return Write(
        "sweep.yaml",
        absl::StrCat("name: pattern\ndataset: pattern\nmodel: {context: 16, sizes: ", sizes,
                     "}\ntraining: {batch_tokens: 512, warmup_steps: 2, learning_rate: "
                     "3e-3}\nbudgets: {tokens: [51200, 102400, 512000]}\n",
                     more));
  }
  // Six sizes whose rates are to be found.
  std::string Ladder(const std::string& more = "") const {
    return Write(
        "ladder.yaml",
        absl::StrCat("name: ladder\ndataset: pattern\nmodel: {context: 16, sizes: [3k, 5k, "
                     "10k, 20k, 40k, 80k]}\ntraining: {batch_tokens: 512, warmup_steps: 2, "
                     "learning_rate: {ladder: {rates: [2e-3, 4e-3, 8e-3], tune: {steps: "
                     "20}}}}\nbudgets: {tokens: [51200, 102400]}\n",
                     more));
  }
  // Standard output; the exit code in exit_code_, standard error in errors_.
  std::string Plan(const std::string& arguments) {
    const std::string command =
        absl::StrCat("XDG_CACHE_HOME=", folder_.Path("cache"), " ", ALLO_BIN_DIR, "/allo plan ",
                     arguments, " --no-measure --data-dir ", folder_.Path("data"), " 2>",
                     folder_.Path("errors"), " </dev/null");
    const testing::Outcome outcome = testing::Shell(command);
    exit_code_ = outcome.exit_code;
    errors_ = ReadFile(folder_.Path("errors")).value_or("");
    return outcome.output;
  }

  const testing::TemporaryFolder folder_;
  int exit_code_ = -1;
  std::string errors_;
};

TEST_F(PlanProgramTest, PlansWithoutACoordinatorAndSaysForWhat) {
  const std::string text = Plan(Sweep() + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 0) << errors_;
  EXPECT_THAT(text, HasSubstr("7 runs, 21 cells"));
  EXPECT_THAT(text, HasSubstr("planned for this machine"));
  EXPECT_THAT(text, HasSubstr("no coordinator was asked"));
  EXPECT_THAT(text, HasSubstr("a stated default"));
  EXPECT_THAT(text, HasSubstr("95 % intervals of the parametric fit"));
  EXPECT_THAT(text, Not(HasSubstr("core-hours"))) << "nothing was measured";
  EXPECT_THAT(text, HasSubstr("note: the times of 7 runs are not known"));
}

TEST_F(PlanProgramTest, JsonHasExactTokensAndFlopsAndNullForWhatIsNotKnown) {
  const auto json = nlohmann::json::parse(Plan(Sweep() + " --slots cpu:2 --json"));
  EXPECT_EQ(exit_code_, 0);
  EXPECT_EQ(json["tokens"], 7 * 512'000);
  double flops = 0;
  for (const auto& run : json["runs"]) {
    EXPECT_EQ(run["flops"].get<double>(), 6.0 * run["params"].get<double>() * 512'000);
    EXPECT_TRUE(run["seconds"].is_null());
    flops += run["flops"].get<double>();
  }
  EXPECT_DOUBLE_EQ(json["flops"], flops);
  EXPECT_DOUBLE_EQ(json["flops_saved"], flops * (51200 + 102400) / 512000);
  EXPECT_TRUE(json["makespan_seconds"].is_null());
  EXPECT_EQ(json["expected"]["sizes"], 7);
  EXPECT_GT(json["expected"]["widths"]["a"]["half_width"], 0);
}

TEST_F(PlanProgramTest, WhatCanNeverBeScheduledIsExitCodeTwoWithASentenceEach) {
  Plan(Sweep("devices: {default: 1, 80k: 8, 160k: 4}\n") + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("80k seed 1 needs 8 devices at once, and no worker has more"));
  EXPECT_THAT(errors_, HasSubstr("160k seed 1 needs 4 devices at once, and no worker has more"));
  Plan(Sweep("device: cuda\n", "[5k]") + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("needs a device of kind cuda, and no worker has one"));
}

TEST_F(PlanProgramTest, BudgetThatCannotBeComparedIsSaidSo) {
  const std::string text = Plan(Sweep("limits: {max_device_hours: 0.001}\n") + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 0);
  EXPECT_THAT(text, HasSubstr("max_device_hours 0.001: 0 used; whether the rest is enough is not"));
}

TEST_F(PlanProgramTest, NamedCoordinatorMustAnswer) {
  Plan(Sweep() + " --coordinator 127.0.0.1:1");
  EXPECT_EQ(exit_code_, 3);
  EXPECT_THAT(errors_, HasSubstr("127.0.0.1:1"));
}

// What a worker would offer: GPUs before cores, and only the cores that it may use.
TEST_F(PlanProgramTest, AutomaticSlotsAreThoseOfAWorker) {
  setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a", 1);
  EXPECT_EQ(agent::DetectDevices(), (std::vector<std::string>{"cuda:3", "cuda:GPU-5a"}));
  EXPECT_THAT(Plan(Sweep() + " --slots auto"), HasSubstr(" cuda:2 ("));
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  cpu_set_t allowed, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(agent::DetectDevices(), std::vector<std::string>{"cpu:0"});
  EXPECT_THAT(Plan(Sweep() + " --slots auto"), HasSubstr(" cpu:1 ("));
  Plan(Sweep() + " --slots cuda:0,cuda:0");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("names a device twice"));
  ASSERT_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST_F(PlanProgramTest, MistakesAreExitCodeTwo) {
  Plan(Sweep("limits: {max_hours: 3}\n") + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("max_hours"));
  Plan(Sweep() + " --slots tpu:2");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("--slots: 'tpu:2' is not a slot: allowed are auto, cpu:COUNT"));
  Plan(Sweep() + " --slots cpu:2 --pilot " + folder_.Path("nowhere.csv"));
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("nowhere.csv"));
}

TEST_F(PlanProgramTest, LadderHasItsBoundsAndItsGridBuysTheIntervals) {
  const auto json = nlohmann::json::parse(Plan(Ladder() + " --slots cpu:2 --json"));
  EXPECT_EQ(exit_code_, 0) << errors_;
  EXPECT_EQ(json["runs"].size(), 3u) << "what is known now: the first rates of the smallest size";
  const auto& ladder = json["sections"]["learning-rate ladder"];
  ASSERT_EQ(ladder.size(), 4u);
  EXPECT_THAT(ladder[1].get<std::string>(),
              HasSubstr("tuning of 6 sizes without a rate: at least 18"));
  EXPECT_THAT(ladder[1].get<std::string>(), HasSubstr("at most 54 runs"));
  EXPECT_THAT(ladder[2].get<std::string>(), HasSubstr("6 runs, 12 cells"));
  EXPECT_EQ(json["expected"]["sizes"], 6);
  EXPECT_GT(json["expected"]["widths"]["a"]["half_width"], 0);
  // A size that can never be scheduled is told though its runs come later.
  Plan(Ladder("devices: {default: 1, 80k: 8}\n") + " --slots cpu:2");
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(errors_, HasSubstr("80k seed 1 needs 8 devices at once, and no worker has more"));
}

TEST_F(PlanProgramTest, ATokenizerIsNoSizeOfTheLadder) {
  const std::string file = Write(
      "codes.yaml",
      "name: codes\ndataset: \"strata:view=8,zo=16,frames=8,pixels=32\"\n"
      "model: {frames: 2, sizes: [5k, 10k]}\n"
      "tokenizer: {grid: 4, codebook: 32, width: 8, steps: 200, batch_images: 16, "
      "learning_rate: 1e-3}\n"
      "training: {batch_sequences: 8, objective: observation, warmup_steps: 2, learning_rate: "
      "{ladder: {rates: [2e-3, 4e-3, 8e-3], tune: {steps: 20}}}}\nbudgets: {tokens: [20k]}\n");
  const auto json = nlohmann::json::parse(Plan("--json --no-measure " + file));
  const auto& ladder = json["sections"]["learning-rate ladder"];
  ASSERT_EQ(ladder.size(), 4u);
  EXPECT_THAT(ladder[1].get<std::string>(), HasSubstr("tuning of 2 sizes without a rate"));
  EXPECT_THAT(ladder[2].get<std::string>(), HasSubstr("2 runs, 2 cells"));
}

TEST_F(PlanProgramTest, PilotGivesLawAndErrors) {
  std::string csv = "N,D,loss,run\n";
  for (int size = 0; size < 6; ++size) {
    for (int point = 0; point < 12; ++point) {
      const double n = 3000 * std::pow(2.0, size), d = 2e4 * std::pow(1.5, point);
      const double wiggle = 0.002 * ((size * 7 + point * 5) % 11 - 5) / 5.0;
      const double loss = (1.5 + 60 / std::pow(n, 0.5) + 300 / std::pow(d, 0.5)) * (1 + wiggle);
      absl::StrAppend(&csv, n, ",", d, ",", loss, ",", size, "\n");
    }
  }
  const auto json = nlohmann::json::parse(
      Plan(Sweep() + " --slots cpu:2 --json --pilot " + Write("pilot.csv", csv)));
  EXPECT_EQ(exit_code_, 0) << errors_;
  EXPECT_NEAR(json["expected"]["law"]["E"], 1.5, 0.05);
  EXPECT_NEAR(json["expected"]["law"]["alpha"], 0.5, 0.05);
  EXPECT_NEAR(json["expected"]["errors"]["sd"], 0.0012, 0.0006);
  EXPECT_THAT(json["expected"]["source"].get<std::string>(),
              HasSubstr("72 evaluations of 6 sizes"));
}

}  // namespace
}  // namespace allometry::cli
