#include "cli/run_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace allometry::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Run Made(int64_t id, const char* size, int64_t params, uint64_t seed, double rate,
             v1::RunState state, double loss) {
  v1::Run run;
  run.set_run_id(id);
  run.set_size(size);
  run.set_n_params(params);
  run.set_state(state);
  run.set_last_heldout_loss(loss);
  run.mutable_spec()->mutable_identity()->set_seed(seed);
  run.mutable_spec()->mutable_identity()->set_learning_rate(rate);
  return run;
}

std::vector<v1::Run> Four() {
  return {Made(1, "40k", 40000, 1, 0.003, v1::RUN_SUCCEEDED, 2.5),
          Made(2, "5k", 5000, 1, 0.01, v1::RUN_FAILED, 0),
          Made(3, "40k", 40000, 2, 0.003, v1::LEASED, 2.7),
          Made(4, "5k", 5000, 2, 0.01, v1::PENDING, 3.1)};
}

std::vector<int64_t> Ids(const RunFilterWords& words) {
  const auto runs = FilterRuns(Four(), words);
  EXPECT_TRUE(runs.ok()) << runs.status();
  std::vector<int64_t> ids;
  if (runs.ok()) {
    for (const v1::Run& run : *runs) ids.push_back(run.run_id());
  }
  return ids;
}

TEST(RunFilterTest, KeepsWhatEveryOptionAsksForInTheGivenOrder) {
  EXPECT_THAT(Ids({}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Ids({.run_ids = {4, 2}}), ElementsAre(2, 4));
  EXPECT_THAT(Ids({.sizes = {"40k"}}), ElementsAre(1, 3));
  EXPECT_THAT(Ids({.seeds = {"2"}}), ElementsAre(3, 4));
  EXPECT_THAT(Ids({.rates = {"1e-2"}}), ElementsAre(2, 4));
  EXPECT_THAT(Ids({.states = {"failed", "running"}}), ElementsAre(2, 3));
  EXPECT_THAT(Ids({.states = {"cancelled"}}), IsEmpty());
  EXPECT_THAT(Ids({.sizes = {"40k"}, .seeds = {"2"}}), ElementsAre(3));
  EXPECT_THAT(Ids({.sizes = {"40k", "5k"}, .limit = 3}), ElementsAre(1, 2, 3));
}

TEST(RunFilterTest, SortsBothWaysAndRunsWithoutALossComeLast) {
  EXPECT_THAT(Ids({.sort = "loss"}), ElementsAre(1, 3, 4, 2));
  EXPECT_THAT(Ids({.sort = "-loss"}), ElementsAre(4, 3, 1, 2));
  EXPECT_THAT(Ids({.sort = "size"}), ElementsAre(2, 4, 1, 3));
  EXPECT_THAT(Ids({.sort = "-run", .limit = 2}), ElementsAre(4, 3));
}

TEST(RunFilterTest, AWordThatNothingHasIsToldWithWhatThereIs) {
  const auto message = [](const RunFilterWords& words) {
    return std::string(FilterRuns(Four(), words).status().message());
  };
  EXPECT_THAT(message({.states = {"broken"}}),
              HasSubstr("--state broken: allowed are waiting, running, done, failed, cancelled"));
  EXPECT_THAT(message({.sort = "date"}), HasSubstr("--sort date: allowed are run, size"));
  EXPECT_THAT(message({.sizes = {"41k"}}), HasSubstr("no run has size 41k; there are 40k, 5k"));
  EXPECT_THAT(message({.seeds = {"x"}}), HasSubstr("--seed 'x' is no number"));
  EXPECT_THAT(message({.rates = {"0.5"}}), HasSubstr("there are 0.003, 0.01"));
}

}  // namespace
}  // namespace allometry::cli
