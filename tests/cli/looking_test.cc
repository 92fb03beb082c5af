// Looking at sweeps with the real programs: runs by what they are, sweeps within a hundred columns,
// a screen of 80 x 24, and what happens at the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "tests/cli/looking_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(LookingTest, RunsAreListedByWhatTheyAre) {
  ASSERT_EQ(Allo("--json runs looked-at --size 3M,4M --seed 2 --sort -size"), 0) << output_;
  const auto json = nlohmann::json::parse(output_);
  ASSERT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["runs"][0]["size"], "4M");
  EXPECT_TRUE(json["runs"][0]["last_heldout_loss"].is_null());
  EXPECT_TRUE(json["runs"][0]["failure"].is_null());
  ASSERT_EQ(Allo("runs looked-at --limit 3"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("seed"));
  EXPECT_THAT(output_, Not(HasSubstr("rate")));
  EXPECT_THAT(output_, HasSubstr("21 of 24 runs not listed"));
  EXPECT_THAT(output_, HasSubstr("no worker is connected; start one with 'allo worker'"));
  EXPECT_EQ(Allo("runs looked-at --limit -1"), 2);
  EXPECT_THAT(output_, HasSubstr("--limit '-1': allowed is a whole number of 0 or more"));
  EXPECT_EQ(Allo("runs looked-at --state sleeping"), 2);
  EXPECT_THAT(output_, HasSubstr("allowed are waiting, running"));
  EXPECT_EQ(Allo("runs looked-at --size 99M"), 2);
  EXPECT_THAT(output_, HasSubstr("no run has size 99M; there are 10M, 11M, 12M, 1M"));
}

TEST_F(LookingTest, RunsAreChosenByTheSameOptionsEverywhere) {
  const auto count = [this](const std::string& arguments) {
    EXPECT_EQ(Allo("--json " + arguments), 0) << output_;
    return output_;
  };
  EXPECT_EQ(nlohmann::json::parse(count("runs looked-at --run 3,4 --run 7"))["runs"].size(), 3u);
  EXPECT_EQ(nlohmann::json::parse(count("runs --run 3 looked-at"))["runs"].size(), 1u);
  EXPECT_EQ(count("cancel looked-at --size 3M"), "{\"cancelled\": 2}\n");
  EXPECT_EQ(count("cancel looked-at --run 1,2 --run 9"), "{\"cancelled\": 3}\n");
  EXPECT_EQ(count("cancel looked-at 10 11"), "{\"cancelled\": 2}\n");
  EXPECT_EQ(count("retry looked-at --state cancelled --seed 1"), "{\"retried\": 4}\n");
  EXPECT_EQ(count("preempt looked-at --size 4M --within 500ms"), "{\"preempted\": 0}\n");
  const std::string header = "run_id,size,series,step,tokens,value,attempt\n";
  EXPECT_EQ(count("export looked-at --points --run 3,4"), header);
  for (const char* command : {"runs", "cancel", "retry", "preempt", "export"}) {
    EXPECT_EQ(Allo(absl::StrCat(command, " looked-at --run 99")), 2) << output_;
    EXPECT_THAT(output_, HasSubstr("no run has id 99; there are 1, 10, 11")) << command;
    EXPECT_EQ(Allo(absl::StrCat(command, " looked-at --run three")), 2) << output_;
    EXPECT_THAT(output_, HasSubstr("--run 'three': allowed is a whole number")) << command;
  }
  EXPECT_EQ(Allo("export looked-at --state running"), 2);
  EXPECT_THAT(output_, HasSubstr("looked-at has no such run"));
}

TEST_F(LookingTest, SweepsStayWithinAHundredColumns) {
  ASSERT_EQ(Allo("sweeps"), 0) << output_;
  for (const absl::string_view line : absl::StrSplit(output_, '\n')) {
    EXPECT_LE(line.size(), 100u) << line;
  }
  EXPECT_THAT(output_, HasSubstr("looked-at"));
  EXPECT_THAT(output_, HasSubstr("0/24"));
  EXPECT_THAT(output_, HasSubstr("created"));
}

TEST_F(LookingTest, AScreenOf80x24HasTheReasonOnTopAndAllSizes) {
  struct winsize size {};
  size.ws_row = 24;
  size.ws_col = 80;
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(ALLO_BIN_DIR "/allo", "allo", "--coordinator", address_.c_str(), "watch", "looked-at",
          nullptr);
    _exit(127);
  }
  std::string drawn;
  for (int i = 0; i < 400 && drawn.find(" 12M ") == std::string::npos; ++i) {
    char bytes[4096];
    const ssize_t got = read(terminal, bytes, sizeof(bytes));
    if (got <= 0) break;
    drawn.append(bytes, static_cast<size_t>(got));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(terminal);
  const size_t reason = drawn.find("nothing runs: no worker is connected");
  ASSERT_NE(reason, std::string::npos) << drawn;
  EXPECT_LT(reason, drawn.find("looked-at  ["));
  EXPECT_THAT(drawn, HasSubstr("best loss"));
  EXPECT_THAT(drawn, Not(HasSubstr("more lines")));
  for (const absl::string_view line : absl::StrSplit(drawn, '\n')) EXPECT_LE(line.size(), 80u);
}

TEST_F(LookingTest, ACommandRunsWhenTheSweepHasEnded) {
  ASSERT_EQ(Allo("cancel looked-at"), 0) << output_;
  const std::string told = folder_.Path("told");
  EXPECT_EQ(Allo("watch looked-at --patience 2s --on-end 'echo $ALLO_SWEEP $ALLO_EXIT_CODE > " +
                 told + "; exit 3'"),
            1);
  EXPECT_EQ(ReadFile(told).value_or(""), "looked-at 1\n");
  EXPECT_THAT(output_, HasSubstr("24 cancelled"));
  EXPECT_THAT(output_, HasSubstr("ended with exit code 3"));
  EXPECT_EQ(Allo("watch looked-at --patience soon"), 2);
  EXPECT_THAT(output_, HasSubstr("--patience 'soon': allowed is a time with its unit"));
}

TEST_F(LookingTest, AnEmptySweepHasNoEventFiles) {
  EXPECT_EQ(Allo("export looked-at --format tensorboard"), 2);
  EXPECT_THAT(output_, HasSubstr("name it with --output"));
  EXPECT_EQ(Allo("export looked-at --format tensorboard -o " + folder_.Path("board")), 0);
  EXPECT_THAT(output_, HasSubstr("wrote 0 runs"));
}

}  // namespace
}  // namespace allometry::testing
