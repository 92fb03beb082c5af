#include "coordinator/cost/throughput.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace allometry::cost {
namespace {

TEST(ThroughputTest, WithoutSamplesNothingIsKnown) {
  EXPECT_FALSE(Throughput().known());
  EXPECT_FALSE(Throughput().FlopsPerSecond(1e6).has_value());
}

TEST(ThroughputTest, IsTheSampleWhereThereIsOneAndStraightInLogBetween) {
  const Throughput throughput({{1e6, 1e11}, {1e4, 1e10}});
  EXPECT_DOUBLE_EQ(*throughput.FlopsPerSecond(1e4), 1e10);
  EXPECT_NEAR(*throughput.FlopsPerSecond(1e5) / std::sqrt(1e10 * 1e11), 1, 1e-12);
  EXPECT_DOUBLE_EQ(*throughput.FlopsPerSecond(1e6), 1e11);
}

TEST(ThroughputTest, IsConstantOutsideTheSamples) {
  const Throughput throughput({{1e4, 1e10}, {1e6, 1e11}});
  EXPECT_DOUBLE_EQ(*throughput.FlopsPerSecond(1), 1e10);
  EXPECT_DOUBLE_EQ(*throughput.FlopsPerSecond(1e9), 1e11);
}

TEST(ThroughputTest, SeveralSamplesOfOneSizeCountAsTheirMean) {
  const Throughput throughput({{1e4, 1e10}, {1e4, 3e10}});
  EXPECT_DOUBLE_EQ(*throughput.FlopsPerSecond(1e4), 2e10);
  EXPECT_EQ(throughput.samples().size(), 1u);
}

TEST(ThroughputTest, SamplesThatMeasureNothingAreDropped) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(
      Throughput({{1e4, 0}, {0, 1e10}, {1e4, nan}, {nan, 1e10}, {1e4, inf}, {-1, 1}}).known());
}

TEST(ThroughputTest, RemainingFlopsCountFromTheNewestDurableStep) {
  v1::Run run;
  run.mutable_spec()->set_steps(100);
  run.mutable_spec()->mutable_identity()->set_batch_tokens(1000);
  run.set_flops_per_token_6n(6);
  run.set_flops_per_token_exact(7);
  run.set_step(40);
  EXPECT_EQ(RemainingFlops(run, "6nd"), 60.0 * 1000 * 6);
  EXPECT_EQ(RemainingFlops(run, "exact"), 60.0 * 1000 * 7);
  run.set_step(120);
  EXPECT_EQ(RemainingFlops(run, "6nd"), 0);
}

}  // namespace
}  // namespace allometry::cost
