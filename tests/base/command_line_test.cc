#include "base/command_line.h"

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class UnknownWordTest : public ::testing::Test {
 protected:
  UnknownWordTest() {
    app_.add_flag("--json");
    app_.add_option("--coordinator", text_);
    CLI::App* submit = app_.add_subcommand("submit", "");
    submit->add_option("FILE", text_)->required();
    submit->add_flag("--dry-run");
    app_.add_subcommand("sweeps", "");
    CLI::App* data = app_.add_subcommand("data", "");
    data->add_option("--data-dir", text_);
    CLI::App* text = data->add_subcommand("text", "");
    text->add_option("--tokenizer,-t", text_);
    data->add_subcommand("list", "");
  }
  std::string Of(std::vector<const char*> words) {
    words.insert(words.begin(), "allo");
    return UnknownWord(app_, static_cast<int>(words.size()), words.data());
  }

  std::string text_;
  CLI::App app_{"", "allo"};
};

TEST_F(UnknownWordTest, CommandsAndOptionsOfEveryDepthAreSuggested) {
  EXPECT_THAT(Of({"sumbit", "a.yaml"}), HasSubstr("unknown command sumbit: did you mean submit?"));
  EXPECT_THAT(Of({"--json", "sweep"}), HasSubstr("did you mean sweeps?"));
  EXPECT_THAT(Of({"--coordinator", "a:1", "sumbit"}), HasSubstr("did you mean submit?"));
  EXPECT_THAT(Of({"--coordinator=a:1", "sumbit"}), HasSubstr("did you mean submit?"));
  EXPECT_THAT(Of({"data", "lits"}), AllOf(HasSubstr("unknown command lits: did you mean list?"),
                                          HasSubstr("allo data --help")));
  EXPECT_THAT(Of({"submit", "a.yaml", "--dryrun"}),
              HasSubstr("unknown option --dryrun: did you mean --dry-run?"));
  EXPECT_THAT(Of({"data", "text", "--tokeniser=chars"}), HasSubstr("did you mean --tokenizer?"));
  EXPECT_THAT(Of({"data", "text", "--data_dir", "x"}), HasSubstr("did you mean --data-dir?"));
}

TEST_F(UnknownWordTest, WhatIsNearToNothingIsToldWhatThereIs) {
  EXPECT_THAT(Of({"frobnicate"}), HasSubstr("known are submit, sweeps, data"));
  EXPECT_THAT(Of({"submit", "--zzzzzz"}), HasSubstr("known are --coordinator, --dry-run"));
}

TEST_F(UnknownWordTest, KnownWordsAreNoMistake) {
  EXPECT_EQ(Of({}), "");
  EXPECT_EQ(Of({"submit"}), "");
  EXPECT_EQ(Of({"submit", "sumbit"}), "");
  EXPECT_EQ(Of({"submit", "a.yaml", "--json", "--", "--dryrun"}), "");
  EXPECT_EQ(Of({"data", "text", "-t", "sumbit"}), "");
  EXPECT_EQ(Of({"data", "text", "-tchars", "-3", "-"}), "");
}

TEST(ParseCommandLineTest, AMistakeIsSaidWithTheProgramsNameAndExitsWithTwo) {
  const auto parse = [](std::vector<const char*> words, std::string* said) {
    int64_t lease_ms = 30'000;
    std::string db;
    CLI::App app{"", "allo-coordinator"};
    app.add_option("--db", db)->required();
    AddDurationInMs(app, "--lease", lease_ms, "", {.least = 0.03});
    words.insert(words.begin(), "/usr/bin/allo-coordinator");
    ::testing::internal::CaptureStderr();
    const auto code = ParseCommandLine(app, static_cast<int>(words.size()), words.data());
    *said = ::testing::internal::GetCapturedStderr();
    return code;
  };
  std::string said;
  EXPECT_EQ(parse({"--db", "a.db", "--lease", "5s"}, &said), std::nullopt);
  EXPECT_EQ(said, "");
  EXPECT_EQ(parse({"--databse", "a.db"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("allo-coordinator: unknown option --databse: known are --db"));
  EXPECT_EQ(parse({"--db", "a.db", "--leese", "5"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("did you mean --lease? (see allo-coordinator --help)"));
  EXPECT_EQ(parse({"--lease", "5s"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("--db is required"));
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"--version"}, &said), 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              ::testing::MatchesRegex("allo-coordinator [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

// Of each kind of mistake that CLI11 knows, and of values that it takes in silence: the option, the
// value, and what was allowed.
TEST(ParseCommandLineTest, WhatWasAllowedIsSaidOfEveryKindOfMistake) {
  int whole = 0, ranged = 0;
  int64_t large = 0;
  double number = 0, above = 0, between = 0;
  std::string name, file, choice, one;
  bool flag = false;
  CLI::App app{"", "allo"};
  app.add_flag("--json", flag);
  app.require_subcommand(1);
  CLI::App* fit = app.add_subcommand("fit", "");
  fit->add_option("SWEEP", name)->required();
  fit->add_option("--whole", whole);
  fit->add_option("--large", large);
  fit->add_option("--ranged", ranged)->check(CLI::Range(1, 64));
  fit->add_option("--number", number);
  fit->add_option("--above", above)->check(CLI::PositiveNumber);
  fit->add_option("--between", between)->check(CLI::Range(0.5, 600.0));
  fit->add_option("--file", file)->check(CLI::ExistingFile);
  fit->add_option("--choice", choice)->check(CLI::IsMember({"cpu", "cuda"}));
  CLI::Option* once = fit->add_option("--once", one);
  fit->add_flag("--off")->excludes(once);
  CLI::App* data = app.add_subcommand("data", "");
  data->require_subcommand(1);
  data->add_subcommand("list", "");
  data->add_subcommand("text", "");
  const auto said = [&](std::vector<const char*> words) {
    words.insert(words.begin(), "allo");
    ::testing::internal::CaptureStderr();
    const auto code = ParseCommandLine(app, static_cast<int>(words.size()), words.data());
    const std::string text = ::testing::internal::GetCapturedStderr();
    return code.has_value() ? absl::StrCat(*code, " ", text) : "parsed";
  };
  const std::string fit_help = " (see allo fit --help)\n";
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{"--whole", "1.5"}, "--whole '1.5': allowed is a whole number"},
      {{"--whole", "3000000000"}, "--whole '3000000000' is too large"},
      {{"--large", "99999999999999999999"}, "--large '99999999999999999999' is too large"},
      {{"--whole"}, "--whole needs a value: a whole number"},
      {{"--ranged", "65"}, "--ranged '65': allowed is a whole number from 1 to 64"},
      {{"--ranged", "x"}, "--ranged 'x': allowed is a whole number from 1 to 64"},
      {{"--number", "1,5"}, "--number '1,5': allowed is a number"},
      {{"--number", "nan"}, "--number 'nan': allowed is a number"},
      {{"--number", "1e999"}, "--number '1e999': allowed is a number"},
      {{"--above", "0"}, "--above '0': allowed is a number above 0"},
      {{"--above", "inf"}, "--above 'inf': allowed is a number above 0"},
      {{"--between", "nan"}, "--between 'nan': allowed is a number from 0.5 to 600"},
      {{"--between", "601"}, "--between '601': allowed is a number from 0.5 to 600"},
      {{"--file", "/nosuch"}, "--file '/nosuch': allowed is a file that is there"},
      {{"--choice", "tpu"}, "--choice 'tpu': allowed is cpu, cuda"},
      {{"--once", "a", "--once", "b"}, "--once was given 2 times (a, b): allowed is once"},
      {{"--once", "a", "--off"}, "--once and --off cannot be given together"},
      {{"more", "than"}, "more arguments than it takes: more than"},
  };
  for (const auto& [arguments, expected] : cases) {
    std::vector<const char*> words = {"fit", "sweep"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(said(words), absl::StrCat("2 allo: ", expected, fit_help));
  }
  EXPECT_EQ(said({"fit", ""}), "2 allo: SWEEP is empty: a name is needed" + fit_help);
  EXPECT_EQ(said({"fit"}), "2 allo: SWEEP is required" + fit_help);
  EXPECT_EQ(said({"fit", "x", "--large", "-9223372036854775808"}), "parsed");
  EXPECT_EQ(said({"fit", "x", "--above", "1e-300"}), "parsed");
  EXPECT_EQ(said({"--json=maybe", "fit", "x"}),
            "2 allo: --json takes no value: 'maybe' was given" + fit_help);
  EXPECT_EQ(said({}), "2 allo: a command is needed: fit, data (see allo --help)\n");
  EXPECT_EQ(said({"data"}), "2 allo: a command is needed: list, text (see allo data --help)\n");
}

TEST(DurationOptionTest, TakesATimeWithItsUnitAndSaysWhatItAllows) {
  int64_t ms = 1500;
  double seconds = 600;
  CLI::App app{"", "allo"};
  app.require_subcommand(1);
  CLI::App* slurm = app.add_subcommand("slurm", "");
  AddDurationInMs(*slurm, "--lease", ms, "of a worker", {.least = 0.03});
  AddDurationInSeconds(*slurm, "--patience", seconds, "with it", {.least = 1, .most = 3600})
      ->envname("ALLO_TEST_PATIENCE");
  const auto said = [&](std::vector<const char*> words) {
    words.insert(words.begin(), {"allo", "slurm"});
    ::testing::internal::CaptureStderr();
    const auto code = ParseCommandLine(app, static_cast<int>(words.size()), words.data());
    const std::string text = ::testing::internal::GetCapturedStderr();
    return code.has_value() ? text : "parsed";
  };
  EXPECT_EQ(said({"--lease", "2.5s", "--patience", "0.5h"}), "parsed");
  EXPECT_EQ(ms, 2500);
  EXPECT_EQ(seconds, 1800);
  const std::string words = "allowed is a time with its unit, such as 500ms, 30s, 5m or 2h, from ";
  for (const char* text : {"30", "soon", "20ms", "-5s", "367d", "", "1h30m", "nans", "0"}) {
    EXPECT_EQ(said({"--lease", text}), absl::StrCat("allo: --lease '", text, "': ", words,
                                                    "30ms to 366d (see allo slurm --help)\n"));
  }
  EXPECT_THAT(said({"--lease"}), HasSubstr("--lease needs a value: a time with its unit"));
  EXPECT_THAT(said({"--lease-ms", "30000"}),
              HasSubstr("--lease-ms is written --lease now, and takes a time with its unit"));
  EXPECT_THAT(said({"--heartbeat-ms", "1"}), HasSubstr("unknown option --heartbeat-ms"));
  EXPECT_THAT(slurm->help(), AllOf(HasSubstr("--lease TIME=1500ms"), HasSubstr("TIME=10m")));
  setenv("ALLO_TEST_PATIENCE", "90", 1);
  EXPECT_THAT(said({}), HasSubstr("'90': allowed is a time with its unit"));
  setenv("ALLO_TEST_PATIENCE", "90s", 1);
  EXPECT_EQ(said({}), "parsed");
  EXPECT_EQ(seconds, 90);
  unsetenv("ALLO_TEST_PATIENCE");
}

}  // namespace
}  // namespace allometry
