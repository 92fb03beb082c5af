#include "base/command_line.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
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
  EXPECT_THAT(said, AllOf(HasSubstr("allo-coordinator: "), HasSubstr("--lease-ms = soon")));
  EXPECT_EQ(parse({"--lease-ms", "5"}, &said), 2);
  EXPECT_THAT(said, HasSubstr("--db is required"));
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"--version"}, &said), 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              ::testing::MatchesRegex("allo-coordinator [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace allometry
