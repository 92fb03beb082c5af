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
  EXPECT_EQ(RemainingFlops(run, run::FlopsConvention::k6nd), 60.0 * 1000 * 6);
  EXPECT_EQ(RemainingFlops(run, run::FlopsConvention::kExact), 60.0 * 1000 * 7);
  run.set_step(120);
  EXPECT_EQ(RemainingFlops(run, run::FlopsConvention::k6nd), 0);
}

// 64 videos of 50 tokens for 3 checkpoints at 2 N FLOPs a token, of N = 1: a run of 100 updates of
// 1000 tokens at 6 N.
TEST(ThroughputTest, ARunThatEvaluatesCostsTwoNATokenThatItGenerates) {
  v1::Run run;
  run.set_flops_per_token_6n(6);
  run.set_flops_per_token_exact(6);
  v1::RunSpec& spec = *run.mutable_spec();
  spec.set_steps(100);
  spec.set_kind("evaluate");
  spec.add_inputs()->set_kind("checkpoint");
  for (const int64_t step : {10, 30, 100}) spec.add_evaluation_steps(step);
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.set_batch_tokens(1000);
  identity.mutable_shape()->set_context(50);
  (*identity.mutable_settings())["evaluation.videos"] = "64";
  EXPECT_DOUBLE_EQ(RemainingFlops(run, run::FlopsConvention::k6nd), 2.0 * 64 * 50 * 3);
  run.set_step(99);
  EXPECT_DOUBLE_EQ(RemainingFlops(run, run::FlopsConvention::k6nd), 2.0 * 64 * 50 * 3 / 100);
}

}  // namespace
}  // namespace allometry::cost
