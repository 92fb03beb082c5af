// The commands of a sweep file that `allo` itself runs, with real commands: describe_command, and
// the trainer under measure. What they do wrong is a sentence, before anything is sent.
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/shell.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DescribeTest : public ::testing::Test {
 protected:
  // The plan of a sweep whose sizes `script` describes; exit code, and output_ what was printed.
  int Plan(const std::string& script, const std::string& row = "label: small, args: {depth: 3}",
           const std::string& more = "", const std::string& options = "") {
    std::ofstream(folder_.Path("describe.sh")) << "#!/bin/sh\n" << script << "\n";
    chmod(folder_.Path("describe.sh").c_str(), 0755);
    std::ofstream(folder_.Path("s.yaml"))
        << "name: s\ndataset: {external: x, tokens: 1T}\n"
           "trainer:\n  command: [/bin/true]\n"
           "  describe_command: [./describe.sh, \"{size.label}\", \"{size.depth}\"]\n"
        << more << "model:\n  table:\n    - {" << row
        << "}\ntraining: {batch_tokens: 100, learning_rate: 1e-3, warmup_steps: 1}\nbudgets: "
           "{tokens: [10k]}\n";
    const std::string command =
        absl::StrCat("env -u ALLO_COORDINATOR " ALLO_BIN_DIR "/allo --json plan --no-measure ",
                     options, " ", folder_.Path("s.yaml"), " 2>&1");
    const testing::Outcome outcome = testing::Shell(command);
    output_ = outcome.output;
    return outcome.exit_code;
  }
  void Refuses(const std::string& script, const std::string& sentence,
               const std::string& row = "label: small, args: {depth: 3}",
               const std::string& more = "") {
    EXPECT_EQ(Plan(script, row, more), 2) << output_;
    EXPECT_THAT(output_, AllOf(HasSubstr(more.empty() ? "s.yaml:8: size small" : "s.yaml:9"),
                               HasSubstr(sentence)));
  }

  TemporaryFolder folder_;
  std::string output_;
};

TEST_F(DescribeTest, WhatItPrintsIsTheSize) {
  ASSERT_EQ(Plan("printf '{\"params\": %d00, \"flops_per_token\": 7e3, \"note\": \"%s\"}' $2 $1"),
            0)
      << output_;
  const auto plan = nlohmann::json::parse(output_.substr(output_.find('{')), nullptr, false);
  ASSERT_TRUE(plan.is_object()) << output_;
  EXPECT_EQ(plan["cells"][0]["params"], 300) << output_;
  // Its folder is working_dir, no shell lies between, and of the variables few go on.
  setenv("SECRET_OF_THE_USER", "s3cret", 1);
  EXPECT_EQ(Plan("test -z \"$SECRET_OF_THE_USER\" && test -f describe.sh && "
                 "echo '{\"params\": 5000}'"),
            0)
      << output_;
}

TEST_F(DescribeTest, WhatItDoesWrongIsASentence) {
  Refuses("echo hello", "it printed 'hello': a JSON object such as");
  Refuses("head -c 1000 /dev/zero", "it printed '\\x00\\x00");
  Refuses("true", "it printed ''");
  Refuses("echo '{\"flops_per_token\": 1}'", "without params");
  Refuses("echo '{\"params\": \"many\"}'", "it printed params");
  Refuses("echo '{\"params\": 1.5}'", "it printed params 1.5: allowed is a whole number");
  Refuses("echo '{\"params\": 5, \"flops_per_token\": -1}'", "flops_per_token -1");
  Refuses("echo '{\"params\": 5, \"params_non_embedding\": 6}'", "params_non_embedding");
  Refuses("echo no such depth >&2; exit 3", "it ended with code 3: no such depth");
  Refuses("sleep 1000", "it was not done in 0.5 s", "label: small, args: {depth: 3}",
          "  describe_seconds: 0.5\n");
  Refuses("echo '{\"params\": 5000}'", "the file says params 4000, the command 5000",
          "label: small, params: 4000, args: {depth: 3}");
  Refuses("echo '{\"params\": 5000, \"flops_per_token\": 2}'",
          "the file says flops_per_token 3, the command 2",
          "label: small, params: 5000, flops_per_token: 3, args: {depth: 3}");
}

TEST_F(DescribeTest, ACommandThatIsNotThereOrNotAllowedIsNamed) {
  ASSERT_EQ(Plan("true", "label: small, args: {depth: 3}", "", "--allow-commands none"), 2);
  EXPECT_THAT(output_, HasSubstr("'./describe.sh' is not started: --allow-commands allows none"));
  std::filesystem::remove(folder_.Path("describe.sh"));
  ASSERT_EQ(Plan("true", "label: small, args: {depth: 3}", "", "--allow-commands python3"), 2);
  EXPECT_THAT(output_, HasSubstr("--allow-commands allows python3"));
}

// A trainer that logs a loss every 20 ms, from Python's standard library.
constexpr char kTrainer[] = R"(
import sys, time
from allometry.trainer import Run
run = Run.from_environment()
for step in run.steps:
    time.sleep(0.02 * run.args["slow"])
    run.log(step, train=1.0)
    if run.should_stop(): run.stop(step)
)";

class MeasureTest : public ::testing::Test {
 protected:
  nlohmann::json Plan(const std::string& script) {
    std::ofstream(folder_.Path("train.py")) << script;
    std::ofstream(folder_.Path("s.yaml"))
        << "name: s\ndataset: {external: x, tokens: 1T}\n"
           "trainer:\n  command: [python3, train.py]\n"
           "  args: {slow: \"{size.slow}\"}\n"
           "  env: {PYTHONPATH: " ALLO_SOURCE_DIR
           "/python}\n  measure: {seconds: 3}\n"
           "model:\n  table:\n    - {label: fast, params: 1000, args: {slow: 1}}\n"
           "    - {label: slow, params: 4000, args: {slow: 4}}\n"
           "training: {batch_tokens: 100, learning_rate: 1e-3, warmup_steps: 1}\nbudgets: {tokens: "
           "[1M]}\n";
    const std::string command =
        absl::StrCat("env -u ALLO_COORDINATOR " ALLO_BIN_DIR "/allo --json plan ",
                     folder_.Path("s.yaml"), " 2>", folder_.Path("errors"));
    const testing::Outcome outcome = testing::Shell(command);
    EXPECT_EQ(outcome.exit_code, 0) << ReadFile(folder_.Path("errors")).value_or("");
    return nlohmann::json::parse(outcome.output, nullptr, false);
  }

  TemporaryFolder folder_;
};

TEST_F(MeasureTest, ThePlanRunsTheCommandOnEachSizeAndPlansWithItsSpeed) {
  const nlohmann::json plan = Plan(kTrainer);
  ASSERT_EQ(plan["runs"].size(), 2U) << plan.dump(1);
  for (const nlohmann::json& run : plan["runs"]) {
    EXPECT_EQ(run["time_source"], "its command, measured on this machine for 3 s") << run.dump(1);
    // A sleep of 20 or 80 ms an update is a bound from below.
    const double slow = run["size"] == "slow" ? 4 : 1;
    EXPECT_GE(run["seconds"].get<double>(), 0.02 * slow * run["steps"].get<double>() * 0.9);
  }
  EXPECT_GT(plan["runs"][1]["seconds"], plan["runs"][0]["seconds"]);
}

TEST_F(MeasureTest, ACommandThatLogsNothingIsNamedWithItsLastWords) {
  const nlohmann::json plan = Plan("print('no GPU is left')\n");
  const std::string notes = plan["notes"].dump();
  EXPECT_THAT(notes, AllOf(HasSubstr("size fast was not measured: in 3 s its command logged no two "
                                     "losses"),
                           HasSubstr("no GPU is left"), HasSubstr("size slow was not measured")));
}

}  // namespace
}  // namespace allometry::testing
