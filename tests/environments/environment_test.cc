#include "environments/environment.h"

#include <optional>
#include <vector>

#include "data/strata/episode.h"
#include "data/strata/tokens.h"
#include "environments/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::environments {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Stub(const std::string& game) {
  return std::string("process:") + ALLO_STUB_ENVIRONMENT + ":" + game;
}

struct StepOutcome {
  absl::Status status;
  std::vector<float> rewards;
  std::vector<uint8_t> flags;
  Observations seen;
};

StepOutcome StepAll(Environment& environment, const std::vector<uint8_t>& actions) {
  StepOutcome outcome;
  outcome.rewards.resize(actions.size());
  outcome.flags.resize(actions.size());
  outcome.status = environment.Step(actions, outcome.rewards, outcome.flags, &outcome.seen);
  return outcome;
}

TEST(EnvironmentTest, NamesAreCheckedBeforeAnythingStarts) {
  EXPECT_OK(CheckName("strata:view=8,zo=16"));
  EXPECT_OK(CheckName("process:serve.py:boxing"));
  EXPECT_THAT(CheckName("atari:boxing"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("allowed are names that begin with strata: or"),
                             HasSubstr(" or process:"))));
  EXPECT_THAT(CheckName("strata:zo=17"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("zo=17")));
  EXPECT_THAT(CheckName("process:"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("process:PROGRAM")));
  EXPECT_THAT(Create("strata:view=8,zo=16", 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 copies")));
}

// Copies are episodes of their own, and what they show and give is the world's.
TEST(EnvironmentTest, StrataPlaysTheMeasuredEpisodes) {
  constexpr char kName[] = "strata:view=8,zo=16,library=16,frames=12";
  ASSERT_OK_AND_ASSIGN(const auto environment, Create(kName, 3));
  EXPECT_EQ(environment->interface().actions, 8);
  EXPECT_EQ(environment->interface().tokens, 16);
  const strata::World world(*strata::ParseSpec(kName));
  const auto tokenizer = *strata::Tokenizer::Create(8, 16);
  std::vector<std::optional<strata::Episode>> episodes(3);
  const std::vector<int64_t> numbers = {0, 7, 1};
  for (size_t i = 0; i < 3; ++i) {
    episodes[i].emplace(world, strata::kMeasuredEpisodes + static_cast<uint64_t>(numbers[i]));
  }
  Observations seen;
  ASSERT_OK(environment->Reset(numbers, &seen));
  const auto expect_views = [&](const Observations& shown) {
    for (size_t i = 0; i < episodes.size(); ++i) {
      std::vector<int32_t> tokens(16);
      tokenizer.Encode(episodes[i]->view(), tokens);
      EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(),
                             shown.tokens.begin() + static_cast<ptrdiff_t>(16 * i)));
    }
  };
  expect_views(seen);
  for (int t = 0; t < 12; ++t) {
    std::vector<uint8_t> actions;
    for (const auto& episode : episodes) {
      actions.push_back(static_cast<uint8_t>(episode->Demonstrate()));
    }
    const StepOutcome outcome = StepAll(*environment, actions);
    ASSERT_OK(outcome.status);
    for (size_t i = 0; i < episodes.size(); ++i) {
      EXPECT_EQ(outcome.rewards[i], episodes[i]->Step(actions[i])) << t;
      EXPECT_EQ(outcome.flags[i], t == 11 ? kCutOff : 0);
    }
    expect_views(outcome.seen);
  }
  // Over: nothing more is given, and one is started again alone.
  const StepOutcome over = StepAll(*environment, {5, 5, 5});
  EXPECT_THAT(over.rewards, ElementsAre(0, 0, 0));
  expect_views(over.seen);
  ASSERT_OK(environment->Reset(std::vector<int64_t>{kLeave, 0, kLeave}, &seen));
  episodes[1].emplace(world, strata::kMeasuredEpisodes);
  expect_views(seen);
}

TEST(EnvironmentTest, AProgramIsSpokenToByTheProtocol) {
  ASSERT_OK_AND_ASSIGN(const auto environment, Create(Stub("count"), 2));
  EXPECT_EQ(environment->interface().actions, 3);
  EXPECT_EQ(environment->interface().image_bytes(), 1);
  Observations seen;
  ASSERT_OK(environment->Reset(std::vector<int64_t>{10, 20}, &seen));
  EXPECT_THAT(seen.images, ElementsAre(10, 20));
  for (uint8_t t = 1; t <= 5; ++t) {
    const StepOutcome outcome = StepAll(*environment, {0, 2});
    ASSERT_OK(outcome.status);
    EXPECT_THAT(outcome.rewards, ElementsAre(-1, 1));
    EXPECT_THAT(outcome.flags, ElementsAre(t == 5 ? kEnded : 0, t == 5 ? kEnded : 0));
    EXPECT_THAT(outcome.seen.images, ElementsAre(10 + t, 20 + t));
  }
  ASSERT_OK(environment->Reset(std::vector<int64_t>{kLeave, 30}, &seen));
  EXPECT_THAT(seen.images, ElementsAre(15, 30));
}

TEST(EnvironmentTest, AProgramThatFailsIsUnavailableWithItsLastWords) {
  EXPECT_THAT(Create(Stub("refuses"), 1).status(),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("ended, 0 of the 9 bytes of its answer to I were there"),
                             HasSubstr("it said: no such game"))));
  EXPECT_THAT(Create(Stub("huge"), 1).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("offers 1000 actions")));
  EXPECT_THAT(Create("process:/no/such/program", 1).status(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("cannot start /no/such/program: No such file")));
  const struct {
    const char* game;
    int steps;  // that go well
    const char* why;
  } kCases[] = {
      {"dies", 2, "it said: the third step is too much"},
      {"short", 1, "ended, 8 of the 12 bytes of its answer to S were there"},
      {"hangs", 1, "did not answer S within 0.3 s"},
      {"talks", 1, "too early"},
  };
  for (const auto& failing : kCases) {
    SCOPED_TRACE(failing.game);
    ASSERT_OK_AND_ASSIGN(const auto environment, StartProcess(Stub(failing.game), 2, 300));
    Observations seen;
    ASSERT_OK(environment->Reset(std::vector<int64_t>{0, 1}, &seen));
    for (int i = 0; i < failing.steps; ++i) ASSERT_OK(StepAll(*environment, {1, 1}).status);
    // What comes too early may be seen one call later.
    absl::Status status = StepAll(*environment, {1, 1}).status;
    if (status.ok()) status = StepAll(*environment, {1, 1}).status;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr(failing.why)));
  }
}

}  // namespace
}  // namespace allometry::environments
