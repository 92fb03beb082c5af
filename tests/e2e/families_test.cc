// Behaviour cloning through the real programs, from tokens and from images, on a generated world.
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

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

void WaitForEnd(const testing::Deployment& deployment, const std::string& sweep) {
  v1::GetSweepResponse now;
  ASSERT_TRUE(testing::Eventually([&] {
    now = deployment.Get(sweep);
    return std::none_of(now.runs().begin(), now.runs().end(), [](const v1::Run& run) {
      return run.state() == v1::PENDING || run.state() == v1::LEASED;
    });
  })) << sweep
      << " did not end\n"
      << deployment.Logs();
  for (const v1::Run& run : now.runs()) {
    ASSERT_EQ(run.state(), v1::RUN_SUCCEEDED) << run.reason() << "\n" << deployment.Logs();
  }
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
    WaitForEnd(deployment, name);
    const v1::GetSweepResponse sweep = deployment.Get(name);
    EXPECT_LT(sweep.cells(0).loss(), chance) << name;
    EXPECT_THAT(deployment.Export(name, "points", "heldout/frame=2"),
                Contains(HasSubstr("heldout/frame=2")))
        << name;
  }
}

// TARGETS row 12, its part for the test suite: a cloning model that sees images, an input a frame,
// is within 2 % of its plateau for a tenth of the FLOPs of one that reads tokens, or less (Pearce
// et al. 2025, section 5.2). C = 6 N D with D in inputs, as the paper counts.
TEST(FamiliesTest, ImagesReachTheirPlateauForATenthOfTheFlopsOfTokens) {
  constexpr char kExpert[] = "strata:policy=expert,view=8,zo=64,library=16,frames=4,pixels=32";
  const data::Manifest manifest = *data::GeneratedManifest(kExpert);
  const std::string json = data::ManifestJson(manifest);
  const testing::Deployment deployment;
  const auto submit = [&](const char* name, const char* family, int small, int large,
                          int64_t tokens) {
    deployment.Submit(
        absl::StrFormat("name: %s\n"
                        "dataset: \"%s\"\n"
                        "model:\n"
                        "  family: %s\n"
                        "  frames: 2\n"
                        "  shapes:\n"
                        "    - {layers: 1, heads: 2, width: %d, label: small}\n"
                        "    - {layers: 1, heads: 2, width: %d, label: large}\n"
                        "training: {objective: action, batch_sequences: 16, warmup_steps: 20, "
                        "learning_rate: 5e-3}\n"
                        "budgets: {tokens: [%d]}\n"
                        "evaluation: {windows: 512}\n",
                        name, kExpert, family, small, large, tokens),
        json);
  };
  // Of about the same sizes: widths differ, for the CNN counts too.
  constexpr int64_t kFrames = 400 * 32;  // 400 updates each
  submit("bc-token", "gpt", 40, 56, kFrames * manifest.frames->tokens_per_frame());
  submit("bc-cnn", "bc-cnn-lite", 16, 32, kFrames);
  WaitForEnd(deployment, "bc-token");
  WaitForEnd(deployment, "bc-cnn");
  const std::string study =
      deployment.Write("plateau.yaml",
                       "name: plateau\n"
                       "sweeps: [bc-cnn, bc-token]\n"
                       "rows:\n"
                       "  - {quantity: plateau_flops, sweep: bc-cnn, over: {sweep: bc-token}}\n");
  std::cout << deployment.Allo({"runs", "bc-token"}) << deployment.Allo({"runs", "bc-cnn"})
            << deployment.Allo({"report", study});
  const auto report = nlohmann::json::parse(deployment.Allo({"report", study, "--json"}));
  const auto& row = report[0]["rows"][0];
  ASSERT_TRUE(row["ours"]["estimate"].is_number()) << row;
  EXPECT_LE(row["ours"]["estimate"].get<double>(), 0.1) << row;
}

}  // namespace
}  // namespace allometry
