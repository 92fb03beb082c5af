// Behaviour cloning through the real programs, from tokens and from images, on a generated world.
#include <chrono>
#include <cmath>
#include <thread>

#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"

namespace allometry {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kWorld[] = "strata:view=8,zo=16,library=16,frames=8,pixels=32";

std::string Yaml(const std::string& name, const std::string& family, int64_t tokens) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: \"%s\"\n"
      "model: {family: %s, frames: 2, shapes: [{layers: 1, heads: 2, width: 16}]}\n"
      "training: {objective: action, batch_sequences: 16, warmup_steps: 10, learning_rate: 1e-2}\n"
      "budgets: {tokens: [%d]}\n"
      "evaluation: {windows: 64}\n",
      name, kWorld, family, tokens);
}

TEST(FamiliesTest, BehaviourIsClonedFromTokensAndFromImages) {
  const data::Manifest manifest = *data::GeneratedManifest(kWorld);
  const int64_t frame = manifest.frames->tokens_per_frame();
  double chance = 0;
  const auto actions = data::ActionSegments(manifest);
  for (const data::VocabularySegment& segment : actions) {
    chance += std::log(static_cast<double>(segment.end - segment.begin)) /
              static_cast<double>(actions.size());
  }
  const testing::Deployment deployment;
  const std::string json = data::ManifestJson(manifest);
  // 100 updates each: a position is a token, or a frame.
  deployment.Submit(Yaml("tokens", "gpt", 100 * 32 * frame), json);
  deployment.Submit(Yaml("images", "bc-cnn-lite", 100 * 32), json);
  for (const char* name : {"tokens", "images"}) {
    v1::GetSweepResponse sweep = deployment.Get(name);
    for (int i = 0; i < 3000 && sweep.runs(0).state() != v1::RUN_SUCCEEDED; ++i) {
      ASSERT_NE(sweep.runs(0).state(), v1::RUN_FAILED) << deployment.Logs();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      sweep = deployment.Get(name);
    }
    ASSERT_EQ(sweep.runs(0).state(), v1::RUN_SUCCEEDED) << name << "\n" << deployment.Logs();
    EXPECT_LT(sweep.cells(0).loss(), chance) << name;
    EXPECT_THAT(deployment.Export(name, "points", "heldout/frame=2"),
                Contains(HasSubstr("heldout/frame=2")))
        << name;
  }
}

}  // namespace
}  // namespace allometry
