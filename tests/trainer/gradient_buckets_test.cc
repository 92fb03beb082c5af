#include "worker/trainer/gradient_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace allometry::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class FakeRanks final : public comm::Collective {
 public:
  explicit FakeRanks(std::span<float> gradient) : gradient_(gradient) {}
  int rank() const override { return 0; }
  int world_size() const override { return size; }
  absl::Status AllReduceSum(std::span<float>, std::span<double>) override { return fails; }
  absl::Status AllReduceSum(std::span<double>) override { return fails; }
  absl::Status BeginSum(std::span<float> values) override {
    const int64_t begin = values.data() - gradient_.data();
    sums.emplace_back(begin, begin + static_cast<int64_t>(values.size()));
    return fails;
  }
  absl::Status JoinSums() override {
    ++joins;
    return fails;
  }
  absl::Status Wait() override { return fails; }
  absl::Status Broadcast(std::span<std::byte>, int) override { return fails; }
  absl::Status Barrier() override { return fails; }
  void Abort(int exit_code) override { std::exit(exit_code); }

  int size = 2;
  std::vector<std::pair<int64_t, int64_t>> sums;
  int joins = 0;
  absl::Status fails;

 private:
  const std::span<float> gradient_;
};

TEST(GradientBucketsTest, RangesThatFollowEachOtherAreGatheredUntilTheyAreABucket) {
  std::vector<float> gradient(100);
  FakeRanks ranks(gradient);
  GradientBuckets buckets(ranks, 20);
  // As a backward pass has them: the final norm, blocks of 25, the embeddings, an encoder.
  ASSERT_THAT(buckets.Add(gradient, 85, 90), testing::IsOk());
  EXPECT_THAT(ranks.sums, IsEmpty());
  ASSERT_THAT(buckets.Add(gradient, 60, 85), testing::IsOk());
  EXPECT_THAT(ranks.sums, ElementsAre(Pair(60, 90)));
  ASSERT_THAT(buckets.Add(gradient, 45, 60), testing::IsOk());
  ASSERT_THAT(buckets.Add(gradient, 40, 45), testing::IsOk());
  ASSERT_THAT(buckets.Add(gradient, 30, 40), testing::IsOk());
  ASSERT_THAT(buckets.Add(gradient, 0, 1), testing::IsOk());
  ASSERT_THAT(buckets.Add(gradient, 90, 100), testing::IsOk());
  EXPECT_EQ(ranks.joins, 0);
  ASSERT_THAT(buckets.Finish(), testing::IsOk());
  EXPECT_THAT(ranks.sums,
              ElementsAre(Pair(60, 90), Pair(40, 60), Pair(30, 40), Pair(0, 1), Pair(90, 100)));
  EXPECT_EQ(ranks.joins, 1);
}

TEST(GradientBucketsTest, ALostRankIsTold) {
  std::vector<float> gradient(100);
  FakeRanks ranks(gradient);
  ranks.fails = absl::AbortedError("a rank is gone");
  GradientBuckets buckets(ranks, 20);
  EXPECT_EQ(buckets.Add(gradient, 80, 100).code(), absl::StatusCode::kAborted);
  ASSERT_THAT(buckets.Add(gradient, 70, 80), testing::IsOk());
  EXPECT_EQ(buckets.Finish().code(), absl::StatusCode::kAborted);
}

TEST(GradientBucketsTest, OnlySeveralRanksWithMoreThanABucketSumInBuckets) {
  FakeRanks ranks({});
  TrainingParts parts;
  parts.collective = &ranks;
  EXPECT_FALSE(SumsInBuckets(parts, 1000));
  parts.bucket_elements = 100;
  EXPECT_TRUE(SumsInBuckets(parts, 101));
  EXPECT_FALSE(SumsInBuckets(parts, 100));
  ranks.size = 1;
  EXPECT_FALSE(SumsInBuckets(parts, 101));
}

}  // namespace
}  // namespace allometry::trainer
