// What people say of sweeps and do with them, by the real programs: tags, notes, the archive, the
// file they were submitted from, and deletion.
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "tests/cli/looking_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class SweepCommandsTest : public LookingTest {};

TEST_F(SweepCommandsTest, TagsAndNotesAreWrittenReadAndTakenOff) {
  ASSERT_EQ(Allo("tag looked-at paper 2026-11"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("looked-at: 2026-11 paper"));
  ASSERT_EQ(Allo("note looked-at the second seed is odd"), 0) << output_;
  ASSERT_EQ(Allo("tag looked-at --remove 2026-11"), 0) << output_;
  ASSERT_EQ(Allo("show looked-at"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("tags       paper\n"));
  EXPECT_THAT(output_, HasSubstr("note       the second seed is odd\n"));
  EXPECT_THAT(output_, HasSubstr("runs       24: 0 done"));
  EXPECT_THAT(output_, HasSubstr("user"));
  EXPECT_THAT(output_, Not(HasSubstr("as the client says")));  // the socket proves it
  ASSERT_EQ(Allo("note looked-at"), 0) << output_;             // reads it
  EXPECT_EQ(output_, "looked-at: the second seed is odd\n");
  ASSERT_EQ(Allo("note looked-at --clear"), 0) << output_;
  EXPECT_EQ(output_, "looked-at: no note\n");
  EXPECT_EQ(Allo("tag looked-at 'two words'"), 2);
  EXPECT_THAT(output_, HasSubstr("'two words' is not a tag"));
  EXPECT_EQ(Allo("tag looked-at --remove absent"), 1);
  EXPECT_THAT(output_, HasSubstr("it has paper"));
  EXPECT_EQ(Allo("note gone x"), 1);
  EXPECT_THAT(output_, HasSubstr("there is looked-at"));
}

TEST_F(SweepCommandsTest, ArchivedSweepsAreListedWhereAskedFor) {
  ASSERT_EQ(Allo("archive looked-at"), 0) << output_;
  ASSERT_EQ(Allo("sweeps"), 0) << output_;
  EXPECT_EQ(output_, "1 of 1 sweeps not listed ('--all' lists archived ones too)\n");
  ASSERT_EQ(Allo("--json sweeps"), 0) << output_;
  EXPECT_EQ(output_, "[]\n");
  ASSERT_EQ(Allo("sweeps --all"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("looked-at"));
  ASSERT_EQ(Allo("runs looked-at --limit 1"), 0) << output_;  // it is only not listed
  ASSERT_EQ(Allo("unarchive looked-at"), 0) << output_;
  ASSERT_EQ(Allo("tag looked-at a-tag-as-long-as-a-tag-may-be-that-is-40 another"), 0) << output_;
  ASSERT_EQ(Allo("sweeps --tag another"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("looked-at"));
  for (const absl::string_view line : absl::StrSplit(output_, '\n')) {
    EXPECT_LE(line.size(), 100u) << line;
  }
  ASSERT_EQ(Allo("sweeps --tag none"), 0) << output_;
  EXPECT_THAT(output_, Not(HasSubstr("looked-at")));
  ASSERT_EQ(Allo("sweeps --user nobody-of-this-name"), 0) << output_;
  EXPECT_THAT(output_, Not(HasSubstr("looked-at")));
  ASSERT_EQ(Allo("--json sweeps"), 0) << output_;
  const auto json = nlohmann::json::parse(output_);
  EXPECT_TRUE(json[0]["best_loss"].is_null());
  EXPECT_TRUE(json[0]["eta_s"].is_null());
  EXPECT_FALSE(json[0]["user"].get<std::string>().empty());
}

TEST_F(SweepCommandsTest, TheSweepFileComesBackAndUnderAnotherName) {
  const std::string submitted = ReadFile(folder_.Path("s.yaml")).value();
  ASSERT_EQ(Allo("show looked-at --yaml"), 0) << output_;
  EXPECT_EQ(output_, submitted);
  const std::string copy = folder_.Path("copy.yaml");
  ASSERT_EQ(Allo("show looked-at --clone second -o " + copy), 0) << output_;
  EXPECT_EQ(ReadFile(copy).value(), "name: second" + submitted.substr(submitted.find('\n')));
  ASSERT_EQ(Allo("submit " + copy), 0) << output_;
  ASSERT_EQ(Allo("sweeps"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("second"));
  ASSERT_EQ(Allo("sweeps --limit 1"), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("second"), Not(HasSubstr("looked-at")),
                             HasSubstr("1 of 2 sweeps not listed")));
  EXPECT_EQ(Allo("show looked-at --clone 'no name'"), 2);
  EXPECT_THAT(output_, HasSubstr("'no name' is not a name"));
}

TEST_F(SweepCommandsTest, DeleteSaysWhatItTakesAndRefusesWhatHasNotEnded) {
  EXPECT_EQ(Allo("delete looked-at"), 1);
  EXPECT_THAT(output_, HasSubstr("24 runs wait and 0 run; 'allo cancel looked-at' ends them"));
  EXPECT_EQ(Allo("delete looked-at --dry-run"), 1);
  ASSERT_EQ(Allo("cancel looked-at"), 0) << output_;
  ASSERT_EQ(Allo("delete looked-at --dry-run"), 0) << output_;
  EXPECT_EQ(output_, "would delete sweep looked-at: 24 runs, 0 points, 0 fits, 0 predictions\n");
  ASSERT_EQ(Allo("show looked-at"), 0) << output_;
  ASSERT_EQ(Allo("--json delete looked-at"), 0) << output_;
  EXPECT_EQ(nlohmann::json::parse(output_)["runs"], 24);
  EXPECT_EQ(Allo("delete looked-at"), 1);
  EXPECT_THAT(output_, HasSubstr("there is no sweep 'looked-at'"));
  ASSERT_EQ(Allo("sweeps"), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("no sweeps yet"));
}

}  // namespace
}  // namespace allometry::testing
