// What people do to the database of a coordinator that serves it, and to the outputs of commands,
// with the real programs.
#include <sqlite3.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/worker.grpc.pb.h"
#include "tests/coordinator/fake_agent.h"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/shell.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "transport/connection.h"

namespace allometry::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LiveDatabaseTest : public ::testing::Test {
 protected:
  LiveDatabaseTest() { address_ = Start(db_, coordinator_); }

  // Starts a coordinator on the file; its address, or its log where it ended at once.
  std::string Start(const std::string& db, ChildProcess& process) {
    const std::string address_file = folder_.Path("address." + std::to_string(++started_));
    log_ = folder_.Path("log." + std::to_string(started_));
    process.Start({ALLO_BIN_DIR "/allo-coordinator", "--db", db, "--listen",
                   "unix:" + folder_.Path("socket." + std::to_string(started_)), "--address-file",
                   address_file},
                  log_);
    absl::StatusOr<std::string> address;
    const auto serves = [&] { return (address = ReadFile(address_file)).ok(); };
    return testing::Eventually(serves) ? std::string(absl::StripAsciiWhitespace(*address)) : Log();
  }
  std::string Log() const { return ReadFile(log_).value_or("no log"); }

  // Exit code; what it printed is in output_.
  int Allo(const std::string& arguments) {
    const std::string command =
        absl::StrCat(ALLO_BIN_DIR "/allo --coordinator ", address_, " ", arguments,
                     arguments.find('<') == std::string::npos ? " </dev/null" : "", " 2>&1");
    const testing::Outcome outcome = testing::Shell(command);
    output_ = outcome.output;
    return outcome.exit_code;
  }

  int Refused(const std::vector<std::string>& arguments) {
    ChildProcess process;
    std::vector<std::string> command = {ALLO_BIN_DIR "/allo-coordinator", "--listen",
                                        "unix:" + folder_.Path("refused.socket")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    log_ = folder_.Path("log." + std::to_string(++started_));
    process.Start(command, log_);
    return process.Wait();
  }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.Path(name)) << text;
    return folder_.Path(name);
  }

  static std::string Csv() {
    std::string csv = "N,D,loss\n";
    for (int i = 0; i < 6; ++i) {
      for (int k = 0; k < 5; ++k) {
        const double n = 1e6 * std::pow(4, i), d = 1e8 * std::pow(3, k);
        csv += std::to_string(n) + "," + std::to_string(d) + "," +
               std::to_string(1.7 + 400 * std::pow(n, -.34) + 410 * std::pow(d, -.28)) + "\n";
      }
    }
    return csv;
  }

  const TemporaryFolder folder_;
  const std::string db_ = folder_.Path("a.db");
  ChildProcess coordinator_;
  int started_ = 0;
  std::string log_;
  std::string address_;
  std::string output_;
};

TEST_F(LiveDatabaseTest, NoCommandWritesOverTheDatabaseThatIsServed) {
  fs::create_symlink("a.db", folder_.Path("soft.db"));
  fs::create_hard_link(db_, folder_.Path("hard.db"));
  const std::string csv = Write("p.csv", Csv());
  for (const std::string& name :
       {db_, folder_.Path("soft.db"), folder_.Path("hard.db"), db_ + "-wal", db_ + "-shm"}) {
    for (const std::string& command :
         {"backup --force " + name, "export nosuch -o " + name,
          "fit " + csv + " --method parametric --svg " + name, "fit nosuch --svg " + name}) {
      EXPECT_NE(Allo(command), 0) << command;
      EXPECT_THAT(output_, HasSubstr("in use by another program")) << command;
    }
  }
  EXPECT_EQ(Allo("sweeps"), 0) << output_;
  coordinator_.Signal(SIGTERM);
  EXPECT_EQ(coordinator_.Wait(), 0) << Log();
  ChildProcess again;
  EXPECT_THAT(Start(db_, again), HasSubstr("unix:"));
  EXPECT_THAT(Log(), Not(HasSubstr("missing")));
}

TEST_F(LiveDatabaseTest, ACoordinatorWhoseFileIsRemovedEndsAndSavesWhatItHeld) {
  fs::remove(db_);
  EXPECT_EQ(coordinator_.Wait(), 1);
  EXPECT_THAT(Log(), AllOf(HasSubstr("a.db was removed or moved away while it was served"),
                           HasSubstr("a.db.saved-1")));
  ChildProcess again;
  EXPECT_THAT(Start(db_ + ".saved-1", again), HasSubstr("unix:"));
}

TEST_F(LiveDatabaseTest, ACoordinatorWhoseFileIsReplacedEndsAndLeavesTheNewOne) {
  ASSERT_EQ(Allo("backup " + folder_.Path("copy.db")), 0) << output_;
  const std::string copy = ReadFile(folder_.Path("copy.db")).value();
  fs::rename(folder_.Path("copy.db"), db_);
  EXPECT_EQ(coordinator_.Wait(), 1);
  EXPECT_THAT(Log(), HasSubstr("was replaced by another file while it was served"));
  EXPECT_EQ(ReadFile(db_).value(), copy);
}

TEST_F(LiveDatabaseTest, ASecondCoordinatorIsRefusedUnderEveryName) {
  fs::create_symlink("a.db", folder_.Path("soft.db"));
  fs::create_hard_link(db_, folder_.Path("hard.db"));
  fs::remove(db_ + ".lock");
  for (const char* name : {"a.db", "soft.db", "hard.db"}) {
    EXPECT_EQ(Refused({"--db", folder_.Path(name)}), 1) << name;
    EXPECT_THAT(Log(), HasSubstr("another coordinator uses this database")) << name;
  }
}

TEST_F(LiveDatabaseTest, WhatIsNoDatabaseIsSaidInOneSentence) {
  const std::string corpus = Write("corpus.txt", "to be or not to be\n");
  EXPECT_EQ(Refused({"--db", corpus}), 1);
  EXPECT_THAT(Log(), HasSubstr("not a database of Allometry"));
  EXPECT_EQ(ReadFile(corpus).value(), "to be or not to be\n");
  EXPECT_EQ(Refused({"--db", ":memory:"}), 2);
  EXPECT_THAT(Log(), AllOf(HasSubstr("a file is needed"), Not(HasSubstr("CREATE TABLE"))));
  EXPECT_EQ(Refused({"--db", folder_.path()}), 2);
  EXPECT_THAT(Log(), HasSubstr("a file is needed"));
  EXPECT_EQ(Refused({"--db", folder_.Path("new.db"), "--address-file", folder_.Path("new.db")}), 2)
      << "a new file that is both: " << Log();
}

TEST_F(LiveDatabaseTest, ADatabaseThatAnotherProgramLocksIsSaid) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(db_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_EQ(Allo("cancel nosuch"), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("the database is locked by another program"),
                             Not(HasSubstr("no coordinator answers"))));
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  coordinator_.Signal(SIGTERM);
  coordinator_.Wait();

  ASSERT_EQ(sqlite3_open(db_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other,
                         "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;"
                         "UPDATE openings SET is_open = 0;",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_EQ(Refused({"--db", db_}), 1);
  EXPECT_THAT(Log(), HasSubstr("the database is locked by another program"));
  sqlite3_close(other);
}

TEST_F(LiveDatabaseTest, AnExportThatFailsLeavesTheFileThatIsThere) {
  const std::string earlier = "run_id,size,series,step,tokens,value,attempt\n";
  const std::string results = Write("res.csv", earlier);
  EXPECT_EQ(Allo("export nosuch -o " + results), 1);
  EXPECT_EQ(ReadFile(results).value(), earlier);
  const std::string live = address_;
  address_ = "unix:" + folder_.Path("nobody");
  EXPECT_EQ(Allo("export nosuch -o " + results), 3);
  EXPECT_EQ(ReadFile(results).value(), earlier);
  EXPECT_EQ(Allo("export nosuch -o " + folder_.Path("new.csv")), 3);
  EXPECT_FALSE(fs::exists(folder_.Path("new.csv")));
  EXPECT_EQ(Allo("export nosuch -o " + folder_.path()), 2);
  EXPECT_THAT(output_, HasSubstr("is a folder"));
}

// A name that was mistyped: what is there is no earlier output of the command.
TEST_F(LiveDatabaseTest, AFileOfAnotherKindIsNotReplaced) {
  const std::string csv = Write("p.csv", Csv());
  const std::string sweep = Write("sweep.yaml", "name: precious\n");
  for (const std::string& command :
       {"export nosuch -o " + sweep, "export nosuch --points -o " + csv,
        "fit --method parametric " + csv + " --svg " + sweep}) {
    EXPECT_EQ(Allo(command), 2) << command;
    EXPECT_THAT(output_, HasSubstr("remove this one first")) << command;
  }
  EXPECT_EQ(Refused({"--db", folder_.Path("b.db"), "--address-file", sweep}), 2);
  EXPECT_THAT(Log(), HasSubstr("holds no address"));
  EXPECT_EQ(ReadFile(sweep).value(), "name: precious\n");
  EXPECT_EQ(ReadFile(csv).value(), Csv());
  // The address of an earlier coordinator is replaced.
  const std::string number = std::to_string(started_ + 1);
  const std::string address = Write("address." + number, "127.0.0.1:7447\n");
  ChildProcess second;
  Start(folder_.Path("b.db"), second);
  EXPECT_TRUE(testing::Eventually([&] {
    return ReadFile(address).value() == "unix:" + folder_.Path("socket." + number) + "\n";
  })) << Log();
}

TEST_F(LiveDatabaseTest, AFolderOrNothingIsNoSweepToFit) {
  address_ = "unix:" + folder_.Path("nobody");
  for (const std::string& folder : {std::string("."), std::string(".."), folder_.path()}) {
    EXPECT_EQ(Allo("fit " + folder), 2);
    EXPECT_THAT(output_, HasSubstr(folder + " is a folder: ")) << folder;
  }
  for (const char* command : {"fit", "export", "watch", "runs", "submit", "plan", "backup"}) {
    EXPECT_EQ(Allo(absl::StrCat(command, " ''")), 2) << command;
    EXPECT_THAT(output_, HasSubstr(" is empty: a name is needed")) << command;
  }
  for (const char* command : {"submit", "plan"}) {
    EXPECT_EQ(Allo(absl::StrCat(command, " ", folder_.path())), 2) << command;
    EXPECT_THAT(output_, HasSubstr("a file is expected, and this is a folder")) << command;
  }
}

TEST_F(LiveDatabaseTest, AFitDoesNotWriteOverItsInput) {
  const std::string csv = Write("p.csv", Csv());
  fs::create_symlink("p.csv", folder_.Path("soft.csv"));
  fs::create_hard_link(csv, folder_.Path("hard.csv"));
  const std::string fit = "fit --method parametric ";
  for (const std::string& command :
       {fit + csv + " --svg " + csv, fit + folder_.Path("soft.csv") + " --svg " + csv,
        fit + csv + " --svg " + folder_.Path("hard.csv"), fit + "- --svg " + csv + " <" + csv}) {
    EXPECT_EQ(Allo(command), 2) << command;
    EXPECT_THAT(output_, HasSubstr("is the input")) << command;
    EXPECT_EQ(ReadFile(csv).value(), Csv()) << command;
  }
  EXPECT_EQ(Allo(fit + csv + " --svg " + folder_.Path("p.svg")), 0) << output_;
  EXPECT_THAT(ReadFile(folder_.Path("p.svg")).value(), HasSubstr("<svg"));
  EXPECT_EQ(Allo(fit + csv + " --svg /dev/full"), 1);
  EXPECT_THAT(output_, HasSubstr("No space left"));
}

// What workers and runs say is shown, and not obeyed.
TEST_F(LiveDatabaseTest, TextOfOthersHasNoEscapeSequences) {
  const auto channel = transport::Connect({.address = address_});
  ASSERT_OK(channel);
  FakeAgent agent(v1::WorkerService::NewStub(*channel),
                  "host\x1b]0;owned\x07\xc2\x9b"
                  "31m",
                  {"cpu:0\r"}, {});
  ASSERT_OK(agent.Register());
  for (const char* command : {"workers", "workers --json"}) {
    EXPECT_EQ(Allo(command), 0) << output_;
    EXPECT_THAT(output_, HasSubstr("owned"));
    EXPECT_EQ(output_.find_first_of("\x1b\x07\r"), std::string::npos) << output_;
    EXPECT_THAT(output_, Not(HasSubstr("\xc2\x9b")));
  }
  EXPECT_NE(Allo("runs '\x1b[2J'"), 0);
  EXPECT_EQ(output_.find('\x1b'), std::string::npos) << output_;
}

}  // namespace
}  // namespace allometry::testing
