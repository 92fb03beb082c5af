// Tags, notes, the archive, who submitted a sweep, and its best loss.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LabelsTest : public StoreFixture {};

LabelChange Tags(std::vector<std::string> add, std::vector<std::string> remove = {}) {
  LabelChange change;
  change.add_tags = std::move(add);
  change.remove_tags = std::move(remove);
  return change;
}

TEST_F(LabelsTest, TagsNoteAndArchiveStayAcrossAStartAndAnotherSubmission) {
  ASSERT_OK(store_->Submit(MakeSubmission()));
  LabelChange change = Tags({"paper", "2026-11", "paper"});
  change.note = "the second seed\nof the paper";
  change.archived = true;
  ASSERT_OK_AND_ASSIGN(const v1::Sweep after, store_->Label("grid", change));
  EXPECT_THAT(after.tags(), ElementsAre("2026-11", "paper"));
  Reopen();
  ASSERT_OK_AND_ASSIGN(StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({"80k"});
  more.sweep = stored.sweep;
  more.based_on = stored.newest_expansion;
  ASSERT_OK(store_->Submit(more));
  ASSERT_OK_AND_ASSIGN(stored, store_->GetSweep("grid"));
  EXPECT_THAT(stored.sweep.tags(), ElementsAre("2026-11", "paper"));
  EXPECT_EQ(stored.sweep.note(), "the second seed\nof the paper");
  EXPECT_TRUE(stored.sweep.archived());
  ASSERT_OK_AND_ASSIGN(const v1::Sweep fewer, store_->Label("grid", Tags({}, {"paper"})));
  EXPECT_THAT(fewer.tags(), ElementsAre("2026-11"));
  EXPECT_EQ(fewer.note(), "the second seed\nof the paper");  // not named: it stays
}

TEST_F(LabelsTest, WhatIsNoLabelIsRefusedAndChangesNothing) {
  ASSERT_OK(store_->Submit(MakeSubmission()));
  for (const char* bad : {"", "two words", "-rf", "a,b", "\u00e4"}) {
    EXPECT_THAT(store_->Label("grid", Tags({"good", bad})),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a tag")))
        << bad;
  }
  EXPECT_THAT(store_->Label("grid", Tags({"good"}, {"absent"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it has none")));
  LabelChange change;
  change.note = std::string(4001, 'x');
  EXPECT_THAT(store_->Label("grid", change),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4001 bytes")));
  std::vector<std::string> many;
  for (int i = 0; i <= 20; ++i) many.push_back(absl::StrCat("t", i));
  EXPECT_THAT(store_->Label("grid", Tags(many)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("21 tags")));
  EXPECT_THAT(store_->Label("gird", Tags({"good"})),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is grid")));
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  EXPECT_THAT(stored.sweep.tags(), IsEmpty());
}

TEST_F(LabelsTest, UserOfASweepIsWhoSubmittedItFirst) {
  Submission submission = MakeSubmission();
  submission.user = {"ann", /*is_claimed=*/false};
  ASSERT_OK(store_->Submit(submission));
  ASSERT_OK_AND_ASSIGN(StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({"80k"});
  more.sweep = stored.sweep;
  more.based_on = stored.newest_expansion;
  more.user = {"bob", /*is_claimed=*/true};
  ASSERT_OK(store_->Submit(more));
  ASSERT_OK_AND_ASSIGN(stored, store_->GetSweep("grid"));
  EXPECT_EQ(stored.sweep.user(), "ann");
  EXPECT_FALSE(stored.sweep.user_is_claimed());
  EXPECT_THAT(Sql("SELECT user FROM expansions ORDER BY expansion_id"), ElementsAre("ann", "bob"));
}

TEST_F(LabelsTest, BestLossIsTheLeastHeldOutLossOfTheGrid) {
  SubmitAndRegister({"40k", "80k"});
  ASSERT_OK_AND_ASSIGN(std::vector<v1::Sweep> sweeps, store_->ListSweeps());
  EXPECT_FALSE(sweeps.at(0).has_best_loss());
  TrainToStep70();
  ASSERT_OK_AND_ASSIGN(sweeps, store_->ListSweeps());
  EXPECT_DOUBLE_EQ(sweeps.at(0).best_loss(), 3.5);
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  EXPECT_DOUBLE_EQ(stored.sweep.best_loss(), 3.5);
}

}  // namespace
}  // namespace allometry::store
