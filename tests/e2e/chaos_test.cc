// The sweep of tests/e2e/chaos.h under a dozen faults; bench/chaos does the same by hand with many.
#include "tests/e2e/chaos.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::testing {
namespace {

TEST(ChaosTest, SweepUnderFireIsTheUndisturbedSweepBitForBit) {
  ChaosOptions options;
  // Another one by hand: ALLO_CHAOS_SEED=7.
  if (const char* seed = std::getenv("ALLO_CHAOS_SEED"); seed != nullptr) {
    ASSERT_TRUE(absl::SimpleAtoi(seed, &options.seed)) << seed;
  }
  std::cout << "seed " << options.seed << std::endl;
  options.say = [](const std::string& line) { std::cout << line << std::endl; };
  const ChaosReport report = RunChaos(options);
  EXPECT_THAT(report.wrong, ::testing::IsEmpty());
  EXPECT_EQ(report.faults, options.faults);
}

}  // namespace
}  // namespace allometry::testing
