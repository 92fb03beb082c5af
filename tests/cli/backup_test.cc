// allo backup with the real programs.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/shell.h"
#include "tests/testing/small_disk.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BackupCommandTest : public ::testing::Test {
 protected:
  BackupCommandTest() {
    std::filesystem::create_directory(out_);
    address_ = Start(folder_.Path("sweeps.db"), coordinator_);
  }
  ~BackupCommandTest() override {
    coordinator_.Signal(SIGTERM);
    coordinator_.Wait();
  }

  // Starts a coordinator on the file; its address, or its log where it did not start.
  std::string Start(const std::string& db, ChildProcess& process) {
    const std::string address_file = db + ".address";
    process.Start({ALLO_BIN_DIR "/allo-coordinator", "--db", db, "--listen", "unix:" + db + ".sock",
                   "--address-file", address_file},
                  db + ".log");
    absl::StatusOr<std::string> address;
    const bool started = testing::Eventually([&] {
      address = ReadFile(address_file);
      return address.ok();
    });
    if (started) return std::string(absl::StripAsciiWhitespace(*address));
    return ReadFile(db + ".log").value_or("no log");
  }

  // Exit code; what it printed is in output_.
  int Backup(const std::string& arguments) {
    const std::string command = absl::StrCat(ALLO_BIN_DIR "/allo --coordinator ", address_,
                                             " backup ", arguments, " 2>&1 </dev/null");
    const testing::Outcome outcome = testing::Shell(command);
    output_ = outcome.output;
    return outcome.exit_code;
  }

  std::vector<std::string> Written() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(out_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  const TemporaryFolder folder_;
  const std::string out_ = folder_.Path("out");
  ChildProcess coordinator_;
  std::string address_;
  std::string output_;
};

TEST_F(BackupCommandTest, ACoordinatorStartsOnTheCopy) {
  ASSERT_EQ(Backup(out_ + "/copy.db"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("verified"));
  EXPECT_THAT(Written(), ElementsAre("copy.db"));
  ChildProcess second;
  const std::string address = Start(out_ + "/copy.db", second);
  EXPECT_THAT(address, HasSubstr("unix:"));
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Wait(), 0);
}

TEST_F(BackupCommandTest, JsonSaysSizeAndHash) {
  ASSERT_EQ(Backup(out_ + "/copy.db --json"), 0) << output_;
  const auto json = nlohmann::json::parse(output_);
  EXPECT_EQ(json["bytes"], std::filesystem::file_size(out_ + "/copy.db"));
  EXPECT_THAT(HashFileHex(out_ + "/copy.db"), IsOkAndHolds(json["hash"].get<std::string>()));
}

TEST_F(BackupCommandTest, AFileThatIsThereStaysUnlessForced) {
  ASSERT_OK(WriteFileAtomically(out_ + "/copy.db", "precious"));
  EXPECT_EQ(Backup(out_ + "/copy.db"), 2);
  EXPECT_THAT(output_, AllOf(HasSubstr("copy.db is there already"), HasSubstr("--force")));
  EXPECT_THAT(ReadFile(out_ + "/copy.db"), IsOkAndHolds("precious"));
  EXPECT_EQ(Backup("--force " + out_ + "/copy.db"), 0) << output_;
  EXPECT_GT(std::filesystem::file_size(out_ + "/copy.db"), 4096u);
}

TEST_F(BackupCommandTest, APathThatCannotBeWrittenIsASentence) {
  EXPECT_EQ(Backup(out_ + "/no/copy.db"), 2);
  EXPECT_THAT(output_, HasSubstr("out/no does not exist; make it first"));
  EXPECT_EQ(Backup(out_), 2);
  EXPECT_THAT(output_, HasSubstr("is a folder"));
  EXPECT_THAT(Written(), IsEmpty());
}

TEST_F(BackupCommandTest, AFullDiskIsASentenceAndLeavesNothing) {
  const pid_t child = fork();
  if (child == 0) {
    if (!MountSmallDisk(out_, "64k")) _exit(77);
    EXPECT_EQ(Backup(out_ + "/copy.db"), 1);
    EXPECT_THAT(output_, AllOf(HasSubstr("was not written"), HasSubstr("No space left"),
                               HasSubstr("make room")));
    EXPECT_THAT(Written(), IsEmpty());
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << kNoSmallDisk;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace allometry::testing
