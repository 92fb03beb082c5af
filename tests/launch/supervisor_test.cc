// allo-supervisor, the program: whatever ends the command ends all that came of it.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/lease_line.h"
#include "tests/testing/eventually.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/launch/descendants.h"
#include "worker/launch/start_plan.h"

namespace allometry::launch {
namespace {

using ::allometry::testing::Eventually;
using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Leaves a child that has another session and process group, an empty environment and no parent;
// then does what its second argument says.
constexpr char kCommand[] = R"(
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    for handle in range(3):
        os.close(handle)
    os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
os.wait()
time.sleep(.2)
print("left", flush=True)
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
if sys.argv[2] == "reads":
    for line in sys.stdin:
        print("heard", line, end="", flush=True)
    print("end of input", flush=True)
    sys.exit(75)
sys.stdin.readline()
sys.exit(int(sys.argv[2]))
)";

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    EXPECT_OK(WriteFileAtomically(folder_.Path("command.py"), kCommand));
    plan_.working_dir = folder_.path();
    plan_.inherited = {"PATH"};
  }
  ~SupervisorTest() override {
    CloseInput();
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    for (const pid_t pid : LeftChildren()) kill(pid, SIGKILL);
    if (HasFailure()) std::cerr << Log();
  }

  void Start(const std::string& act) {
    plan_.processes = {{{"python3", "command.py", kSleep_, act}, {{"OWN", "value"}}}};
    ASSERT_OK(WriteStartPlan(folder_.path(), plan_));
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[0], 0);
    posix_spawn_file_actions_addopen(&files, 1, folder_.Path("log").c_str(), O_WRONLY | O_CREAT,
                                     0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    std::string program = ALLO_BIN_DIR "/allo-supervisor", dir = folder_.path();
    char* arguments[] = {program.data(), dir.data(), nullptr};
    ASSERT_EQ(posix_spawn(&pid_, program.c_str(), &files, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(ends[0]);
    input_ = ends[1];
  }
  void StartAndWait(const std::string& act) {
    Start(act);
    ASSERT_TRUE(Eventually([&] { return Log().find("left\n") != std::string::npos; }));
    ASSERT_EQ(LeftChildren().size(), 1u) << "the child is there, or nothing is tested";
  }
  void Say(const std::string& line) {
    const std::string text = line + "\n";
    ASSERT_EQ(write(input_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseInput() {
    if (input_ >= 0) close(input_);
    input_ = -1;
  }
  int ExitCode() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // By their command line, which is nobody else's.
  std::vector<pid_t> LeftChildren() const {
    std::vector<pid_t> found;
    for (const Descendant& process : DescendantsOf(1)) {
      const std::string line =
          ReadFile(absl::StrCat("/proc/", process.pid, "/cmdline")).value_or("");
      if (line == absl::StrCat("sleep", std::string(1, '\0'), kSleep_, std::string(1, '\0'))) {
        found.push_back(process.pid);
      }
    }
    return found;
  }
  std::string Log() const { return ReadFile(folder_.Path("log")).value_or(""); }

  const allometry::testing::TemporaryFolder folder_;
  const std::string kSleep_ = absl::StrCat("1000.", getpid());
  StartPlan plan_;
  pid_t pid_ = 0;
  int input_ = -1;
};

TEST_F(SupervisorTest, TheCommandsOwnEndEndsAChildThatLeftSessionEnvironmentAndParent) {
  StartAndWait("7");
  Say("preempt");
  EXPECT_EQ(ExitCode(), 7);
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
  EXPECT_THAT(ReadFile(folder_.Path("left-behind")).value_or(""), HasSubstr(" sleep\n"));
}

TEST_F(SupervisorTest, ToldToKillItEndsAllAtOnce) {
  StartAndWait("deaf");
  Say("kill");
  EXPECT_EQ(ExitCode(), 128 + SIGKILL);
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
}

TEST_F(SupervisorTest, TheEndOfItsAgentEndsAllAndTheCommandMayEndByItselfFirst) {
  StartAndWait("reads");
  Say("preempt");
  CloseInput();
  EXPECT_EQ(ExitCode(), 75);
  EXPECT_THAT(Log(), AllOf(HasSubstr("heard preempt\n"), HasSubstr("end of input\n")));
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
}

TEST_F(SupervisorTest, ACommandThatGoesOnWithoutAnAgentIsKilled) {
  StartAndWait("deaf");
  CloseInput();
  EXPECT_EQ(ExitCode(), 128 + SIGKILL);
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
}

TEST_F(SupervisorTest, TheLeasesEndEndsAllAlthoughTheAgentStillListens) {
  StartAndWait("deaf");
  const int64_t now_ns = Clock::Real().BootNanos();
  Say(run::WriteLeaseLine(now_ns, now_ns + 500'000'000, now_ns));
  EXPECT_EQ(ExitCode(), 128 + SIGKILL);
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
}

TEST_F(SupervisorTest, ALeaseThatIsRenewedLetsItGoOn) {
  StartAndWait("reads");
  for (int i = 0; i < 4; ++i) {
    const int64_t now_ns = Clock::Real().BootNanos();
    Say(run::WriteLeaseLine(now_ns, now_ns + 60'000'000'000, now_ns));
  }
  EXPECT_TRUE(Eventually([&] { return Log().find("heard lease ") != std::string::npos; }));
  EXPECT_EQ(LeftChildren().size(), 1u);
  Say("kill");
  ExitCode();
}

TEST_F(SupervisorTest, SigtermEndsAllAlsoWhoIgnoresIt) {
  StartAndWait("deaf");
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  EXPECT_EQ(ExitCode(), 128 + SIGKILL);
  EXPECT_THAT(LeftChildren(), ::testing::IsEmpty());
}

TEST_F(SupervisorTest, WhatACommandGetsOfTheEnvironmentIsThePlansAndTheListedOnes) {
  plan_.inherited = {"PATH", "LISTED"};
  plan_.processes = {{{"env"}, {{"OWN", "value"}, {"MADE_ANEW", "new"}}}};
  setenv("LISTED", "yes", 1);
  setenv("SECRET", "no", 1);
  setenv("MADE_ANEW", "old", 1);
  setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  for (const bool launcher_variables : {false, true}) {
    plan_.launcher_variables = launcher_variables;
    ASSERT_OK_AND_ASSIGN(const Command command, CommandOf(plan_, 0));
    const std::vector<std::string> environment = EnvironmentOf(command);
    EXPECT_THAT(environment, AllOf(Contains("OWN=value"), Contains("LISTED=yes"),
                                   Contains("MADE_ANEW=new"), Contains(StartsWith("PATH="))));
    EXPECT_EQ(environment.size(), launcher_variables ? 5u : 4u);
    EXPECT_EQ(::testing::Matches(Contains("OMPI_COMM_WORLD_SIZE=1"))(environment),
              launcher_variables);
  }
  for (const char* name : {"LISTED", "SECRET", "MADE_ANEW", "OMPI_COMM_WORLD_SIZE"}) unsetenv(name);
}

TEST_F(SupervisorTest, WhatIsNotOnThisHostIsNamedWithTheHost) {
  plan_.files = {{"command.py", "0123456789abcdef"}};
  Start("0");
  EXPECT_EQ(ExitCode(), 71);
  EXPECT_THAT(Log(), AllOf(HasSubstr("allo-supervisor on "),
                           HasSubstr("command.py, is not as it was submitted")));
}

TEST_F(SupervisorTest, APlanSurvivesItsFile) {
  plan_.processes = {{{"a", "b c"}, {{"X", "1\n\"2\""}}}, {{"d"}, {}}};
  plan_.files = {{"f", "h"}};
  plan_.wrapper = {"apptainer", "exec"};
  plan_.launcher_variables = true;
  ASSERT_OK(WriteStartPlan(folder_.path(), plan_));
  ASSERT_OK_AND_ASSIGN(const StartPlan read, ReadStartPlan(folder_.path()));
  EXPECT_EQ(read.processes[0].arguments, plan_.processes[0].arguments);
  EXPECT_EQ(read.processes[0].environment, plan_.processes[0].environment);
  EXPECT_EQ(read.processes.size(), 2u);
  EXPECT_EQ(read.files, plan_.files);
  EXPECT_EQ(read.wrapper, plan_.wrapper);
  EXPECT_EQ(read.inherited, plan_.inherited);
  EXPECT_TRUE(read.launcher_variables);
  EXPECT_THAT(CommandOf(read, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no process 2 of 2")));
  ASSERT_OK(WriteFileAtomically(folder_.Path("start.json"), "{\"processes\": 3}"));
  EXPECT_THAT(ReadStartPlan(folder_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("start.json")));
}

}  // namespace
}  // namespace allometry::launch
