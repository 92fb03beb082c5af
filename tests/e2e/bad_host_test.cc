// A host where nothing works, with the real programs: beside a good one it costs no run, and alone
// it pauses the sweep until it is mended.
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/child_process.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kName[] = "hosts";

// Twelve runs of about a second.
std::string TwelveRuns() {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [4k, 6k, 9k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3, seeds: [1, 2, 3, 4]}\n"
      "budgets: {tokens: [65536, 131072]}\n"
      "evaluation: {windows: 64, per_decade: 5}\n"
      "max_epochs: 100000\n"
      "log_every: 20\n"
      "checkpoint_every: 300ms\n",
      kName);
}

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 9000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string Script(const std::string& path, const std::string& text) {
  EXPECT_TRUE(WriteFileAtomically(path, "#!/bin/sh\n" + text).ok());
  EXPECT_EQ(chmod(path.c_str(), 0755), 0);
  return path;
}

// What the trainer of the bad host does; "REAL" stands for the real one.
struct BadHost {
  const char* name;
  const char* script;
  const char* says;  // in what `allo workers` says of it; empty: nothing is asked
};

constexpr BadHost kBadHosts[] = {
    // Those that the worker's own check does not see: the coordinator charges the host.
    {"MissingLibrary",
     "[ $1 = --self-test ] && exit 0\n"
     "echo 'trainer: error while loading shared libraries: libx.so: cannot open shared object "
     "file: No such file or directory' >&2; exit 127",
     "libx.so: cannot open shared object file"},
    {"EndsAtOnceAsIfAllWereDone", "exit 0", "ended with code 0"},
    {"IsKilled", "[ $1 = --self-test ] && exit 0\nkill -9 $$", ""},
    {"UnreadableFiles",
     "[ $1 = --self-test ] && exit 0\necho 'cache/index: Permission denied' >&2; exit 71",
     "cache/index: Permission denied"},
    {"SaysThatItsDiskIsFull",
     "[ $1 = --self-test ] && exit 0\necho 'spool: No space left on device' >&2; exit 76",
     "No space left on device"},
    // Limits: files of no more than a few kB, and no memory to speak of.
    {"SmallFiles", "[ $1 = --self-test ] && exit 0\nulimit -f 8; exec REAL \"$@\"", ""},
    // Those that it sees.
    {"False", "exit 1", "does not pass its self-test: ended with code 1"},
    {"SmallFilesSeen", "ulimit -f 8; exec REAL \"$@\"", "does not pass its self-test"},
    {"LittleMemory", "ulimit -v 100000; exec REAL \"$@\"", "does not pass its self-test"},
};

class BadHostTest : public ::testing::TestWithParam<BadHost> {};

TEST_P(BadHostTest, BesideAGoodOneCostsNoRun) {
  const TemporaryFolder folder;
  std::string script = GetParam().script;
  if (const size_t real = script.find("REAL"); real != std::string::npos) {
    script.replace(real, 4, ALLO_BIN_DIR "/allo-trainer");
  }
  DeploymentOptions options;
  options.workers = 2;
  options.slots = "cpu:2";
  options.worker_flags = {{"--trainer", Script(folder.Path("trainer"), script)}};
  Deployment deployment(options);
  ASSERT_TRUE(Eventually([&] {
    const std::string workers = deployment.Allo({"workers"});
    return workers.find("\nhost-0 ") != std::string::npos &&
           workers.find("\nhost-1 ") != std::string::npos;
  }));
  deployment.Submit(TwelveRuns());
  std::string said;
  ASSERT_TRUE(Eventually([&] {
    said += deployment.Allo({"workers"});
    return HasEnded(deployment.Get(kName));
  })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  EXPECT_THAT(deployment.Query("SELECT count(*) FROM runs WHERE state = 'SUCCEEDED'"),
              ElementsAre("12"));
  EXPECT_THAT(
      deployment.Query("SELECT DISTINCT host FROM attempts WHERE exit_reason = 'SUCCEEDED'"),
      ElementsAre("host-1"));
  EXPECT_LE(std::stoi(deployment.Query("SELECT count(*) FROM attempts WHERE host = 'host-0'")[0]),
            12)
      << deployment.Logs();
  EXPECT_THAT(said, HasSubstr(GetParam().says)) << deployment.Logs();
}

INSTANTIATE_TEST_SUITE_P(Hosts, BadHostTest, ::testing::ValuesIn(kBadHosts),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(WatchTest, SaysWhyNothingRuns) {
  DeploymentOptions options;
  options.workers = 0;
  const Deployment deployment(options);
  deployment.Submit(TwelveRuns());
  ChildProcess watch;
  watch.Start({ALLO_BIN_DIR "/allo", "--coordinator", deployment.address(), "watch", kName},
              deployment.Path("watch"));
  EXPECT_TRUE(Eventually([&] {
    return ReadFile(deployment.Path("watch"))
               .value_or("")
               .find("nothing runs: no worker is connected; start one with 'allo worker'") !=
           std::string::npos;
  })) << ReadFile(deployment.Path("watch")).value_or("");
}

TEST(WatchTest, DrawsNoMoreThanItsTerminalHasRoomFor) {
  DeploymentOptions options;
  options.workers = 0;
  const Deployment deployment(options);
  deployment.Submit(TwelveRuns());
  const std::string address = deployment.address();
  struct winsize size {};
  size.ws_row = 5;  // neither a line a run nor a line a size
  size.ws_col = 60;
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(ALLO_BIN_DIR "/allo", "allo", "--coordinator", address.c_str(), "watch", kName, nullptr);
    _exit(127);
  }
  std::string drawn;
  for (int i = 0; i < 400 && drawn.find("more lines") == std::string::npos; ++i) {
    char bytes[4096];
    pollfd end = {terminal, POLLIN, 0};
    if (poll(&end, 1, 20000) <= 0) break;
    const ssize_t got = read(terminal, bytes, sizeof(bytes));
    if (got > 0) drawn.append(bytes, static_cast<size_t>(got));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(terminal);
  EXPECT_THAT(drawn, HasSubstr("more lines: 'allo runs' lists all"));
  int lines = 0;
  size_t widest = 0;
  for (const absl::string_view line :
       absl::StrSplit(drawn.substr(0, drawn.find("more lines")), '\n')) {
    ++lines;
    widest = std::max(widest, line.size());
  }
  EXPECT_LE(lines, 4);
  EXPECT_LE(widest, 61u);  // with the carriage return
}

TEST(SubmitTest, ADatasetThatOnlyAWorkerHasIsNamedWithItsHost) {
  DeploymentOptions options;
  options.workers = 2;
  const Deployment deployment(options);
  ASSERT_TRUE(Eventually(
      [&] { return deployment.Allo({"workers"}).find("generated") != std::string::npos; }));
  ASSERT_TRUE(std::filesystem::create_directory(deployment.Path("empty")));
  ChildProcess submit;
  submit.Start(
      {ALLO_BIN_DIR "/allo", "--coordinator", deployment.address(), "submit",
       deployment.Write("sweep.yaml", TwelveRuns()), "--data-dir", deployment.Path("empty")},
      deployment.Path("submit"));
  EXPECT_NE(submit.Wait(), 0);
  EXPECT_THAT(ReadFile(deployment.Path("submit")).value_or(""),
              HasSubstr("dataset 'generated' is not in this data directory, but on host-"));
}

TEST(BadDataTest, ACopyOfADatasetWithOtherBytesTrainsNothing) {
  const TemporaryFolder folder;
  DeploymentOptions options;
  options.workers = 2;
  options.slots = "cpu:2";
  options.data_dirs = {folder.Path("data")};
  Deployment deployment(options);
  std::filesystem::copy(deployment.Path("data"), folder.Path("data"),
                        std::filesystem::copy_options::recursive);
  const std::string shard =
      absl::StrCat(folder.Path("data/generated/"), deployment.manifest().shards[0].file);
  const auto bytes = static_cast<size_t>(std::filesystem::file_size(shard));
  std::ofstream(shard, std::ios::binary) << std::string(bytes, 'x');
  deployment.Submit(TwelveRuns());
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get(kName)); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  EXPECT_THAT(deployment.Query("SELECT DISTINCT host FROM attempts"), ElementsAre("host-1"));
  EXPECT_THAT(deployment.Logs(), AllOf(HasSubstr(shard), HasSubstr("its manifest says")));
}

TEST(BadHostAloneTest, PausesTheSweepWithItsReasonAndGoesOnByRetryOnceMended) {
  const TemporaryFolder folder;
  const std::string broken = folder.Path("broken");
  ASSERT_TRUE(WriteFileAtomically(broken, "").ok());
  const std::string trainer =
      Script(folder.Path("trainer"),
             absl::StrFormat("[ $1 = --self-test ] && exit 0\n"
                             "[ -e %s ] && { echo 'libx.so: no such file' >&2; exit 127; }\n"
                             "exec %s \"$@\"",
                             broken, ALLO_BIN_DIR "/allo-trainer"));
  DeploymentOptions options;
  options.worker_flags = {{"--trainer", trainer}};
  Deployment deployment(options);
  deployment.Submit(TwelveRuns());
  std::string runs;
  ASSERT_TRUE(Eventually([&] {
    runs = deployment.Allo({"runs", kName});
    return runs.find("tried again 4 s after that") != std::string::npos;
  })) << runs
      << deployment.Logs();
  EXPECT_THAT(runs, AllOf(HasSubstr("gets no runs: "), HasSubstr("failed there before"),
                          HasSubstr("BUG: ended with code 127: libx.so: no such file"),
                          Not(HasSubstr("failed: "))));
  ASSERT_TRUE(std::filesystem::remove(broken));
  deployment.Retry(kName);
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get(kName)); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
}

TEST(BadHostAloneTest, WhoseTrainerDoesNotStartGoesOnByItselfOnceMended) {
  const TemporaryFolder folder;
  const std::string broken = folder.Path("broken");
  ASSERT_TRUE(WriteFileAtomically(broken, "").ok());
  DeploymentOptions options;
  options.worker_flags = {
      {"--trainer",
       Script(folder.Path("trainer"),
              absl::StrFormat("[ -e %s ] && { echo 'libx.so: no such file' >&2; exit 127; }\n"
                              "exec %s \"$@\"",
                              broken, ALLO_BIN_DIR "/allo-trainer"))}};
  Deployment deployment(options);
  deployment.Submit(TwelveRuns());
  std::string runs;
  ASSERT_TRUE(Eventually([&] {
    runs = deployment.Allo({"runs", kName});
    return runs.find("libx.so: no such file") != std::string::npos;
  })) << runs
      << deployment.Logs();
  EXPECT_THAT(deployment.Query("SELECT count(*) FROM attempts"), ElementsAre("0"));
  ASSERT_TRUE(std::filesystem::remove(broken));
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get(kName)); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
}

}  // namespace
}  // namespace allometry::testing
