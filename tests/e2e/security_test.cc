// A sweep of the real programs, looked at from outside: what listens, and what others may read.
#include <sys/stat.h>

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
#include "worker/launch/processes.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::IsEmpty;

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

}  // namespace
}  // namespace allometry
