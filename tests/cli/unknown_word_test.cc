#include "cli/unknown_word.h"

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::cli {
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

}  // namespace
}  // namespace allometry::cli
