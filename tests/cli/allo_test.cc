// The real program: exit codes that scripts can trust, and sentences that say what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "tests/testing/shell.h"

namespace allometry::cli {
namespace {

using allometry::testing::Outcome;
using ::testing::HasSubstr;

// Standard output and error together.
Outcome Shell(const std::string& words) {
  return allometry::testing::Shell(words + " 2>&1 </dev/null");
}

Outcome Allo(const std::string& arguments) {
  return Shell(std::string(ALLO_BIN_DIR) + "/allo " + arguments);
}

// Nothing listens on port 1 of the loopback.
constexpr char kNobody[] = "--coordinator 127.0.0.1:1 ";

class AlloTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "allo_test." +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  std::string folder_;
};

TEST_F(AlloTest, WhatCannotBeWrittenIsAFailure) {
  const std::string csv = Write("runs.csv", "params,tokens,loss\n1e6,1e8,3.5\n");
  std::filesystem::create_directories(folder_ + "/data");
  for (const std::string& arguments :
       {std::string("--help"), std::string("plan --help"), std::string("worker --help"),
        std::string("coordinator --help"), "data list --data-dir " + folder_ + "/data",
        "--json data list --data-dir " + folder_ + "/data"}) {
    EXPECT_EQ(Allo(arguments).exit_code, 0) << arguments;
    EXPECT_NE(Allo(arguments + " >/dev/full").exit_code, 0) << arguments;
  }
  EXPECT_NE(Allo("fit " + csv + " >/dev/full").exit_code, 0);
}

TEST_F(AlloTest, TablesThatAreNoTablesOfRunsHaveTheirCommands) {
  const std::string optima = Write("optima.csv", "C,N_opt\n1e18,1e7\n1e19,3e7\n1e20,1e8\n");
  EXPECT_THAT(Allo("optima " + optima).output, HasSubstr("N* = coefficient C^a"));
  const Outcome fit = Allo("fit " + Write("two.csv", "C,loss\n1e18,3\n"));
  EXPECT_EQ(fit.exit_code, 2);
  EXPECT_THAT(fit.output, HasSubstr("'allo optima' fits a table of C"));
  const std::string rates =
      Write("rates.csv", "N,D,loss,lr\n1e7,1e9,3.1,1e-3\n1e7,1e9,3,2e-3\n1e7,1e9,3.2,4e-3\n");
  EXPECT_THAT(Allo("rates " + rates).output, HasSubstr("1 group with an optimum"));
  const std::string scores = Write("scores.csv", "loss,score\n3,.2\n2.5,.5\n2.2,.8\n2,.9\n");
  EXPECT_THAT(Allo("scores " + scores).output, HasSubstr("4 of 4 rows"));
  const Outcome needs = Allo("scores " + scores + " --budget 1e20");
  EXPECT_EQ(needs.exit_code, 2) << needs.output;
  for (const std::string& wrong :
       {"optima " + folder_ + "/none.csv", "rates " + optima, "scores " + optima,
        "optima " + optima + " --budget -1", "rates " + rates + " --size x",
        "scores " + scores + " --chance 2", "compare " + optima + " " + rates}) {
    const Outcome outcome = Allo(wrong);
    EXPECT_EQ(outcome.exit_code, 2) << wrong << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1)
        << wrong << outcome.output;
  }
}

TEST_F(AlloTest, HelpOfEveryCommandExitsWithZero) {
  for (const char* command :
       {"",      "plan",   "submit",  "watch",  "sweeps",  "runs",        "cancel",
        "show",  "log",    "tag",     "note",   "archive", "unarchive",   "delete",
        "retry", "fit",    "compare", "optima", "rates",   "scores",      "predict",
        "next",  "report", "export",  "backup", "data",    "coordinator", "worker"}) {
    const Outcome outcome = Allo(std::string(command) + " --help");
    EXPECT_EQ(outcome.exit_code, 0) << command << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("--")) << command;
  }
}

// The commands of a help text, which stand under "Subcommands:".
std::vector<std::string> CommandsOf(const std::string& help) {
  std::vector<std::string> commands;
  bool below = false;
  for (const absl::string_view line : absl::StrSplit(help, '\n')) {
    if (line == "Subcommands:") below = true;
    if (below && line.size() > 2 && line.substr(0, 2) == "  " && line[2] != ' ') {
      commands.emplace_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return commands;
}

TEST_F(AlloTest, EveryHelpIsWithinEightyColumns) {
  std::vector<std::string> paths = {""};
  size_t seen = 0;
  for (size_t k = 0; k < paths.size(); ++k, ++seen) {
    const std::string help = Allo(paths[k] + " --help").output;
    for (const absl::string_view line : absl::StrSplit(help, '\n')) {
      // One word may be longer: the default of an option that is a path.
      const bool one_word =
          absl::StripAsciiWhitespace(line).find("  ") == absl::string_view::npos &&
          line.find(' ', line.find_first_not_of(' ')) == absl::string_view::npos;
      EXPECT_TRUE(line.size() <= 80 || one_word || absl::StrContains(line, "=/"))
          << paths[k] << ": " << line;
    }
    for (const std::string& command : CommandsOf(help)) paths.push_back(paths[k] + " " + command);
  }
  EXPECT_GT(seen, 25u);
}

TEST_F(AlloTest, VersionIsALine) {
  const Outcome outcome = Allo("--version");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, ::testing::MatchesRegex("allo [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(AlloTest, BashCompletesCommandsAndOptions) {
  const auto completed = [&](const std::string& words, int current) {
    const std::string script = "source <(" ALLO_BIN_DIR "/allo completion bash); COMP_WORDS=(" +
                               words + "); COMP_CWORD=" + absl::StrCat(current) +
                               "; _allo; echo \"${COMPREPLY[*]}\"";
    const std::string file = Write("complete.sh", script);
    return Shell("bash " + file).output;
  };
  EXPECT_EQ(completed("allo sub", 1), "submit\n");
  EXPECT_THAT(completed("allo fit --sv", 2), HasSubstr("--svg"));
  EXPECT_THAT(completed("allo --json data imp", 3), HasSubstr("import"));
  EXPECT_THAT(completed("allo fit --coord", 2), HasSubstr("--coordinator"));
}

// A terminal with zsh in it, and a person's keys.
TEST_F(AlloTest, ZshCompletesCommandsAndOptionsAtTheTabKey) {
  if (Shell("command -v zsh").exit_code != 0) GTEST_SKIP() << "zsh is not installed";
  int terminal = -1;
  const pid_t shell = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(shell, 0);
  if (shell == 0) {
    setenv("TERM", "dumb", 1);
    setenv("PATH", absl::StrCat(ALLO_BIN_DIR, ":", getenv("PATH")).c_str(), 1);
    execlp("zsh", "zsh", "-f", "-i", nullptr);
    _exit(127);
  }
  const auto type = [&](const std::string& keys, const std::string& expected) {
    EXPECT_EQ(write(terminal, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
    std::string shown;
    pollfd readable{terminal, POLLIN, 0};
    while (shown.find(expected) == std::string::npos && poll(&readable, 1, 60'000) > 0) {
      char bytes[4096];
      const ssize_t got = read(terminal, bytes, sizeof(bytes));
      if (got <= 0) break;
      shown.append(bytes, static_cast<size_t>(got));
    }
    EXPECT_THAT(shown, HasSubstr(expected)) << keys;
  };
  type("autoload -Uz compinit && compinit -u -D; source <(allo completion zsh); echo re''ady\n",
       "ready\r\n");
  const std::string line_away = "\x15";
  type("allo subm\t", "allo submit ");
  type(line_away + "allo runs --sta\t", "allo runs --state ");
  type(line_away + "allo data li\t", "allo data list ");
  kill(shell, SIGKILL);
  waitpid(shell, nullptr, 0);
  close(terminal);
}

TEST_F(AlloTest, ManPagesAreThoseOfTheCommands) {
  const std::string folder = folder_ + "/man/man1";
  ASSERT_EQ(Allo("man " + folder).exit_code, 0);
  for (const char* page : {"allo.1", "allo-fit.1", "allo-data.1", "allo-data-list.1"}) {
    EXPECT_TRUE(std::filesystem::exists(folder + "/" + page)) << page;
  }
  std::ifstream page(folder + "/allo-fit.1");
  const std::string text{std::istreambuf_iterator<char>(page), {}};
  EXPECT_EQ(text.rfind(".TH ALLO-FIT 1", 0), 0u);
  EXPECT_THAT(text, HasSubstr("Usage: allo fit [OPTIONS]"));
  EXPECT_THAT(text, HasSubstr("\\-\\-svg"));
}

TEST_F(AlloTest, AProfileSaysWhereTheCoordinatorIs) {
  std::filesystem::create_directory(folder_ + "/config");
  std::ofstream(folder_ + "/config/allometry.toml")
      << "[lab]\ncoordinator = \"127.0.0.1:1\"\n[other]\ncoordinator = \"127.0.0.1:2\"\n";
  const std::string with = "XDG_CONFIG_HOME=" + folder_ + "/config ";
  const auto run = [&](const std::string& variables, const std::string& arguments) {
    return Shell(with + variables + " " ALLO_BIN_DIR "/allo " + arguments);
  };
  EXPECT_THAT(run("", "--using lab sweeps").output, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(run("ALLO_PROFILE=other", "sweeps").output, HasSubstr("127.0.0.1:2"));
  EXPECT_THAT(run("ALLO_COORDINATOR=127.0.0.1:3", "--using lab sweeps").output,
              HasSubstr("127.0.0.1:3"));
  EXPECT_THAT(run("", "--using lab --coordinator 127.0.0.1:4 sweeps").output,
              HasSubstr("127.0.0.1:4"));
  const Outcome unknown = run("", "--using gone sweeps");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, HasSubstr("has no profile [gone]; it has lab, other"));
}

TEST_F(AlloTest, BadUsageExitsWithTwo) {
  EXPECT_EQ(Allo("").exit_code, 2);
  EXPECT_EQ(Allo("sumbit x.yaml").exit_code, 2);
  EXPECT_EQ(Allo("runs").exit_code, 2);
  EXPECT_EQ(Allo("fit x.csv --objective median").exit_code, 2);
}

TEST_F(AlloTest, ADeadCoordinatorIsASentenceAndExitCodeThree) {
  for (const char* command :
       {"sweeps", "runs q", "cancel q", "retry q", "fit q", "predict q --budget 1e15", "export q",
        "backup copy.db", "watch q --patience 0"}) {
    const Outcome outcome = Allo(kNobody + std::string(command));
    EXPECT_EQ(outcome.exit_code, 3) << command << ": " << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("allo coordinator")) << command;
    EXPECT_THAT(outcome.output, HasSubstr("127.0.0.1:1")) << command;
  }
}

TEST_F(AlloTest, MistakesInASweepFileAreToldWithoutACoordinator) {
  const std::string file = Write("bad.yaml", "name: bad\ndataset: d\nmodle: {}\n");
  const Outcome outcome = Allo(kNobody + std::string("submit ") + file);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("bad.yaml:3:"));
  EXPECT_THAT(outcome.output, HasSubstr("modle"));
}

TEST_F(AlloTest, AnUnknownDatasetListsThoseThereAndSaysHowToMakeOne) {
  const std::string file =
      Write("s.yaml",
            "name: s\ndataset: nowhere\nmodel: {context: 16, sizes: [5k]}\n"
            "training: {batch_tokens: 256, learning_rate: 1e-3, warmup_steps: 1}\n"
            "budgets: {tokens: [10k]}\n");
  for (const std::string& data_dir : {folder_, folder_ + "/not-made-yet"}) {
    const Outcome outcome =
        Allo(kNobody + std::string("submit ") + file + " --data-dir " + data_dir);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("nowhere"));
    EXPECT_THAT(outcome.output, HasSubstr("allo data text"));
  }
}

TEST_F(AlloTest, FitOfAFileNeedsNoCoordinatorAndPrintsOneJsonObject) {
  std::string csv = "N,D,loss\n";
  for (int i = 0; i < 6; ++i) {
    for (int k = 0; k < 5; ++k) {
      const double n = 1e6 * std::pow(4, i), d = 1e8 * std::pow(3, k);
      csv += std::to_string(n) + "," + std::to_string(d) + "," +
             std::to_string(1.7 + 400 * std::pow(n, -.34) + 410 * std::pow(d, -.28)) + "\n";
    }
  }
  const std::string file = Write("runs.csv", csv);
  const Outcome outcome =
      Allo(kNobody + std::string("fit ") + file + " --method parametric --json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(report["observations"]["used"], 30);
  EXPECT_NEAR(report["fits"][0]["parameters"]["alpha"]["estimate"].get<double>(), .34, 1e-3);
}

TEST_F(AlloTest, SweepOptionsOnAFileAreRefused) {
  const Outcome outcome = Allo("fit " + Write("a.csv", "N,D,loss\n") + " --allow-repeat");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("for sweeps"));
}

}  // namespace
}  // namespace allometry::cli
