// Stages over a real store, without gRPC.
#include "coordinator/stages/stages.h"

#include "coordinator/stages/submission.h"
#include "coordinator/store/change_feed.h"
#include "gtest/gtest.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

TEST(StagesTest, ASweepFileIsParsedOnceHoweverOftenItsStageIsLookedAt) {
  const TemporaryFolder folder;
  store::Options options;
  ASSERT_OK_AND_ASSIGN(const auto store, store::Store::Open(folder.Path("allometry.db"), options));
  TinySweep sweep;
  sweep.rate = "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}}}";
  ASSERT_OK(coordinator::CreateSweep(*store, Request(sweep)));
  coordinator::ChangeFeed feed;
  coordinator::Stages stages(feed);
  ASSERT_OK(stages.Start(*store, [] {}));
  for (int i = 0; i < 10; ++i) ASSERT_OK(stages.Advance("tiny"));
  EXPECT_TRUE(stages.IsActive("tiny"));
  EXPECT_EQ(stages.files_parsed(), 1);
}

}  // namespace
}  // namespace allometry::testing
