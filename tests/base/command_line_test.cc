#include "base/command_line.h"

#include <cstdint>
#include <map>
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
    int64_t lease_ms = 0;
    std::string db;
    CLI::App app{"", "allo-coordinator"};
    app.add_option("--db", db)->required();
    app.add_option("--lease-ms", lease_ms);
    words.insert(words.begin(), "/usr/bin/allo-coordinator");
    ::testing::internal::CaptureStderr();
    const auto code = ParseCommandLine(app, static_cast<int>(words.size()), words.data());
    *said = ::testing::internal::GetCapturedStderr();
    return code;
  };
  std::string said;
  EXPECT_EQ(parse({"--db", "a.db", "--lease-ms", "5"}, &said), std::nullopt);
  EXPECT_EQ(said, "");
  EXPECT_EQ(parse({"--databse", "a.db"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("allo-coordinator: unknown option --databse: known are --db"));
  EXPECT_EQ(parse({"--db", "a.db", "--leasems", "5"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("did you mean --lease-ms? (see allo-coordinator --help)"));
  EXPECT_EQ(parse({"--db", "a.db", "--lease-ms", "soon"}, &said), 2);
  EXPECT_EQ(said,
            "allo-coordinator: --lease-ms 'soon': allowed is a whole number (see allo-coordinator "
            "--help)\n");
  EXPECT_EQ(parse({"--lease-ms", "5"}, &said), 2);
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
  double number = 0, above = 0, between = 0, duration = 0;
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
  fit->add_option("--duration", duration)
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}}))
      ->check(CLI::NonNegativeNumber);
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
      {{"--duration", "5x"}, "--duration: the unit 'x' is not known: allowed are m, s"},
      {{"--duration", "-5"},
       "--duration '-5': allowed is a number, with a unit after it or without, of 0 or more"},
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
  EXPECT_EQ(said({"fit", "x", "--duration", "5m", "--above", "1e-300"}), "parsed");
  EXPECT_EQ(said({"--json=maybe", "fit", "x"}),
            "2 allo: --json takes no value: 'maybe' was given" + fit_help);
  EXPECT_EQ(said({}), "2 allo: a command is needed: fit, data (see allo --help)\n");
  EXPECT_EQ(said({"data"}), "2 allo: a command is needed: list, text (see allo data --help)\n");
}

}  // namespace
}  // namespace allometry
