#include "worker/agent/exit_verdict.h"

#include <csignal>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::TemporaryFolder;
using run::ExitReason;
using ::testing::HasSubstr;
using ::testing::Not;

int Exited(int code) { return code << 8; }  // as wait(2) encodes it
int Signalled(int signal) { return signal; }

ExitReason ReasonOf(int status, EndedBy by = EndedBy::kItself, bool oom_kill = false) {
  return JudgeExit(status, by, oom_kill, "").reason;
}

TEST(ExitVerdictTest, ASignalIsKilledAndACrashIsABug) {
  EXPECT_EQ(ReasonOf(Signalled(SIGKILL)), ExitReason::kKilled);
  EXPECT_EQ(ReasonOf(Signalled(SIGTERM)), ExitReason::kKilled);
  EXPECT_EQ(ReasonOf(Signalled(SIGSEGV)), ExitReason::kBug);
  EXPECT_EQ(ReasonOf(Signalled(SIGABRT)), ExitReason::kBug);
}

TEST(ExitVerdictTest, MpirunsCodeForARanksSignalIsThatSignal) {
  EXPECT_EQ(ReasonOf(Exited(128 + SIGKILL)), ExitReason::kKilled);
  EXPECT_EQ(ReasonOf(Exited(128 + SIGSEGV)), ExitReason::kBug);
}

TEST(ExitVerdictTest, OnlyAKillThatTheCgroupCountedIsOom) {
  EXPECT_EQ(ReasonOf(Signalled(SIGKILL), EndedBy::kItself, true), ExitReason::kOom);
  EXPECT_EQ(ReasonOf(Exited(128 + SIGKILL), EndedBy::kItself, true), ExitReason::kOom);
  EXPECT_EQ(ReasonOf(Signalled(SIGSEGV), EndedBy::kItself, true), ExitReason::kBug);
}

TEST(ExitVerdictTest, ATrainersCodeIsItsReason) {
  for (const ExitReason reason : {ExitReason::kDiverged, ExitReason::kData, ExitReason::kDiskFull,
                                  ExitReason::kLeaseLost, ExitReason::kCheckpoint}) {
    EXPECT_EQ(ReasonOf(Exited(run::ProcessExitCode(reason))), reason);
  }
  EXPECT_EQ(ReasonOf(Exited(1)), ExitReason::kBug);
}

TEST(ExitVerdictTest, SuccessWithoutAnExitRecordIsNotBelieved) {
  EXPECT_EQ(ReasonOf(Exited(0)), ExitReason::kBug);
}

TEST(ExitVerdictTest, WhatTheAgentEndedHasTheAgentsReason) {
  EXPECT_EQ(ReasonOf(Signalled(SIGKILL), EndedBy::kLease), ExitReason::kLeaseLost);
  EXPECT_EQ(ReasonOf(Signalled(SIGKILL), EndedBy::kPreempt), ExitReason::kPreempted);
  EXPECT_EQ(ReasonOf(Signalled(SIGKILL), EndedBy::kCancel), ExitReason::kCancelledByUser);
}

TEST(ExitVerdictTest, AStalledTrainerSaysSinceWhenAndCarriesItsLog) {
  const run::ExitRecord exit =
      JudgeExit(Signalled(SIGKILL), EndedBy::kStalled, false, "boom", "no record for 9 s");
  EXPECT_EQ(exit.reason, ExitReason::kStalled);
  EXPECT_EQ(exit.message, "no record for 9 s; ended by its agent; the log ends:\nboom");
}

TEST(ExitVerdictTest, AFailureCarriesTheEndOfTheLog) {
  EXPECT_THAT(JudgeExit(Exited(1), EndedBy::kItself, false, "boom").message,
              ::testing::AllOf(HasSubstr("code 1"), HasSubstr("boom")));
}

class LogTailTest : public ::testing::Test {
 protected:
  std::string TailOf(const std::string& contents, int lines) {
    const std::string path = folder_.path() + "/log";
    EXPECT_THAT(WriteFileAtomically(path, contents), IsOk());
    return LogTail(path, lines);
  }
  const TemporaryFolder folder_;
};

TEST_F(LogTailTest, KeepsTheLastLines) {
  EXPECT_EQ(TailOf("one\ntwo\nthree\n", 2), "two\nthree");
  EXPECT_EQ(TailOf("one\ntwo", 5), "one\ntwo");
  EXPECT_EQ(TailOf("", 5), "");
  EXPECT_EQ(LogTail(folder_.path() + "/missing", 5), "");
}

TEST_F(LogTailTest, IsBoundedWhateverTheLinesLength) {
  EXPECT_LE(TailOf(std::string(1'000'000, 'x') + "\nend\n", 20).size(), 4096);
}

TEST_F(LogTailTest, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(TailOf("a\xff\xc3(\xc3\xa9\xed\xa0\x80\x1b[0m\n", 1), "a?\?(\xc3\xa9?\?\?\?[0m");
}

TEST(OomKillsTest, ThereIsNoneWhereNoneHappened) {
  OomKills kills;
  EXPECT_FALSE(kills.TakeOne());
}

}  // namespace
}  // namespace allometry::agent
