#include "worker/agent/exit_verdict.h"

#include <csignal>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/launch/failure_line.h"

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
  EXPECT_EQ(exit.message, "no record for 9 s; ended by its agent: boom\nboom");
}

TEST(ExitVerdictTest, AFailureCarriesTheEndOfTheLog) {
  EXPECT_THAT(JudgeExit(Exited(1), EndedBy::kItself, false, "boom").message,
              ::testing::AllOf(HasSubstr("code 1"), HasSubstr("boom")));
  EXPECT_EQ(JudgeExit(Exited(1), EndedBy::kItself, false, "step 3\nno such tensor\n}\n").message,
            "ended with code 1: no such tensor\nstep 3\nno such tensor\n}\n");
  EXPECT_EQ(JudgeExit(Exited(127), EndedBy::kItself, false, "").message, "ended with code 127");
}

TEST(FailureLineTest, IsTheLastLineWithAWord) {
  EXPECT_EQ(launch::FailureLine(""), "");
  EXPECT_EQ(launch::FailureLine("one two\n  three four  \n\n 12 }\n^C"), "three four");
  EXPECT_EQ(launch::FailureLine("progress 1\rprogress 2\r"), "progress 2");
  EXPECT_EQ(launch::FailureLine(std::string(1000, 'x')).size(), 300u);
}

TEST(FailureLineTest, OpenMpisNoticeSaysLessThanTheProgram) {
  const std::string rule(74, '-');
  const std::string notice =
      rule +
      "\nPrimary job  terminated normally, but 1 process returned\na non-zero exit code. "
      "Per user-direction, the job has been aborted.\n" +
      rule + "\n";
  EXPECT_EQ(launch::FailureLine("BUG: index 64 is out of range\n" + notice),
            "BUG: index 64 is out of range");
  EXPECT_EQ(launch::FailureLine(notice + rule +
                                "\nmpirun was unable to find the specified executable "
                                "file, and therefore\ndid not launch the job.\n" +
                                rule),
            "mpirun was unable to find the specified executable file, and therefore");
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
