// A sweep of the real programs, looked at from outside: what listens, and what others may read.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/child_process.h"
#include "worker/launch/processes.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSweep[] =
    "name: watched\n"
    "dataset: generated\n"
    "model: {family: gpt, context: 16, sizes: [40k]}\n"
    "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 1e-3}\n"
    "budgets: {tokens: [512000]}\n"
    "devices: 2\n"
    "evaluation: {windows: 64, per_decade: 20}\n"
    "max_epochs: 1000\n"
    "log_every: 20\n"
    "checkpoint_every: 1s\n";

template <class Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

// "socket:[INODE]" of the sockets that listen beyond the loopback (proc(5), /proc/net/tcp).
std::set<std::string> OpenToTheNetwork() {
  std::set<std::string> sockets;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string text = ReadFile(table).value_or("");
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (fields.size() < 10 || fields[3] != "0A") continue;
      const bool loopback = fields[1].starts_with("0100007F:") ||
                            fields[1].starts_with("00000000000000000000000001000000:");
      if (!loopback) sockets.insert("socket:[" + fields[9] + "]");
    }
  }
  return sockets;
}

std::set<std::string> SocketsOf(pid_t pid) {
  std::set<std::string> sockets;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc/" + std::to_string(pid) + "/fd", error), end;
       !error && it != end; it.increment(error)) {
    std::error_code gone;
    sockets.insert(std::filesystem::read_symlink(it->path(), gone).string());
  }
  return sockets;
}

TEST(SecurityTest, RanksListenOnNothingAndFilesAreTheirUsersAlone) {
  Deployment deployment;
  deployment.Submit(kSweep);
  ASSERT_TRUE(Eventually([&] { return deployment.Get("watched").runs(0).step() > 50; }))
      << deployment.Logs();
  int ranks = 0;
  const std::set<std::string> open = OpenToTheNetwork();
  for (const pid_t pid : launch::ProcessesWithEnvironment(deployment.MarkOf(0))) {
    const std::string program =
        ReadFile("/proc/" + std::to_string(pid) + "/comm").value_or("gone\n");
    // Open MPI's mpirun always listens (docs/security.md).
    if (program != "allo-trainer\n") continue;
    ++ranks;
    std::vector<std::string> listening;
    for (const std::string& socket : SocketsOf(pid)) {
      if (open.contains(socket)) listening.push_back(socket);
    }
    EXPECT_THAT(listening, IsEmpty()) << "rank of process " << pid;
  }
  EXPECT_EQ(ranks, 2);
  ASSERT_TRUE(Eventually([&] {
    return deployment.Get("watched").runs(0).state() == v1::RUN_SUCCEEDED;
  })) << deployment.Logs();
  int files = 0;
  for (const char* folder : {"state", "runs"}) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(deployment.Path(folder))) {
      struct stat status {};
      if (stat(entry.path().c_str(), &status) != 0) continue;  // a checkpoint that was replaced
      EXPECT_EQ(status.st_mode & 077, 0u) << entry.path();
      ++files;
    }
  }
  EXPECT_GE(files, 10);
  struct stat status {};
  ASSERT_EQ(stat(deployment.DbPath().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

// Runs the command as the user nobody; its exit code.
int AsNobody(std::vector<std::string> command, const std::string& log) {
  command.insert(command.begin(), {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
  testing::ChildProcess process;
  process.Start(std::move(command), log);
  return process.Wait();
}

// Another local user tries the commands, the files and the processes of a sweep that trains, and
// answers in the coordinator's place.
TEST(SecurityTest, AnotherUserOfTheMachineGetsNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can try as another user";
  Deployment deployment;
  const std::string log = deployment.Path("nobody.log");
  const auto said = [&] { return ReadFile(log).value_or(""); };
  // Where the tests were built, nobody may not be let in.
  for (const char* program : {"allo", "allo-coordinator"}) {
    std::filesystem::copy_file(std::string(ALLO_BIN_DIR "/") + program, deployment.Path(program));
  }
  const std::string allo = deployment.Path("allo");
  const std::string sweep = deployment.Write("nobody.yaml", kSweep);
  ASSERT_EQ(AsNobody({allo, "--help"}, log), 0) << said();
  deployment.Submit(kSweep);
  ASSERT_TRUE(Eventually([&] { return deployment.Get("watched").runs(0).step() > 50; }))
      << deployment.Logs();

  const std::string loot = deployment.Path("loot");
  ASSERT_TRUE(std::filesystem::create_directory(loot));
  ASSERT_EQ(chown(loot.c_str(), 65534, 65534), 0);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"sweeps"},
           {"workers"},
           {"runs", "watched"},
           {"cancel", "watched"},
           {"retry", "watched"},
           {"submit", sweep, "--data-dir", deployment.Path("data")},
           {"export", "watched"},
           {"backup", loot + "/copy.db"}}) {
    std::vector<std::string> command = {allo, "--coordinator", deployment.address()};
    command.insert(command.end(), words.begin(), words.end());
    EXPECT_NE(AsNobody(command, log), 0) << words[0];
  }
  EXPECT_THAT(said(), HasSubstr("it is another user's"));
  EXPECT_NE(
      AsNobody({allo, "--coordinator", "unix:" + deployment.Path("state/x.sock"), "sweeps"}, log),
      0);
  EXPECT_THAT(said(), HasSubstr("is in a folder that lets in another user alone"));
  EXPECT_TRUE(std::filesystem::is_empty(loot));

  // Identities, leases and their tokens, spools, checkpoints, the database and its log.
  std::vector<std::string> test = {
      "sh", "-c", "for f; do if [ -r \"$f\" ] || [ -w \"$f\" ]; then echo \"open: $f\"; fi; done",
      "sh"};
  for (const char* folder : {"state", "runs"}) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(deployment.Path(folder))) {
      test.push_back(entry.path());
    }
  }
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    test.push_back(deployment.DbPath() + suffix);
  }
  EXPECT_GE(test.size(), 15u);
  EXPECT_EQ(AsNobody(test, log), 0);
  EXPECT_THAT(said(), Not(HasSubstr("open: ")));
  std::vector<std::string> kill = {"kill", "-9"};
  for (const pid_t pid : launch::ProcessesWithEnvironment(deployment.MarkOf(0))) {
    kill.push_back(std::to_string(pid));
  }
  EXPECT_NE(AsNobody(kill, log), 0);

  // Somebody else's coordinator: neither client nor worker says anything to it.
  testing::ChildProcess theirs;
  theirs.Start({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                deployment.Path("allo-coordinator"), "--db", loot + "/x.db", "--listen",
                "unix:" + loot + "/x.sock"},
               deployment.Path("theirs.log"));
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(loot + "/x.sock"); }));
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {allo, "--coordinator", "unix:" + loot + "/x.sock", "sweeps"},
           {ALLO_BIN_DIR "/allo-worker", "--coordinator", "unix:" + loot + "/x.sock", "--state-dir",
            deployment.Path("state-9"), "--run-root", deployment.Path("runs-9"), "--data-dir",
            deployment.Path("data"), "--slots", "cpu:1"}}) {
    testing::ChildProcess ours;
    ours.Start(command, deployment.Path("ours.log"));
    EXPECT_NE(ours.Wait(), 0);
    EXPECT_THAT(ReadFile(deployment.Path("ours.log")).value_or(""),
                HasSubstr("belongs to another user"));
  }

  ASSERT_TRUE(Eventually([&] {
    return deployment.Get("watched").runs(0).state() == v1::RUN_SUCCEEDED;
  })) << deployment.Logs();
  EXPECT_EQ(deployment.Get("watched").runs(0).failures(), 0);
}

}  // namespace
}  // namespace allometry
