// Sizes of the presets against the specification's table and against the networks.
#include "models/twm/settings.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "models/twm/layout.h"
#include "models/twm/observation.h"
#include "tests/models/twm/networks.h"
#include "tests/testing/status_matchers.h"

namespace allometry::models::twm {
namespace {

TEST(TwmSettingsTest, ParametersAreThoseOfTheLayouts) {
  for (const Preset& preset : Presets()) {
    for (const bool reward_input : {true, false}) {
      run::TwmRecipe recipe = preset.recipe;
      recipe.reward_input = reward_input;
      const ParamCounts counts = CountParams(recipe, 18);
      EXPECT_EQ(counts.observation, ObservationLayout(recipe).size) << preset.name;
      EXPECT_EQ(counts.dynamics, DynamicsLayout(recipe, 18).size) << preset.name;
      EXPECT_EQ(counts.actor, ActorLayout(recipe, 18).size) << preset.name;
      EXPECT_EQ(counts.critic, CriticLayout(recipe).size) << preset.name;
    }
    EXPECT_THAT(CheckRecipe(preset.recipe), testing::IsOk());
  }
}

// An observation costs .51 GFLOP trained at the published size and .04 at the reduced one, a step
// of the dynamics .15 and .013, an imagined step .05 and .007 (.07 and .009 with its actor and
// critic): 1.4 TFLOP a train step and 1.7e17 for 125,000 (with each sequence's step of context 1.5
// and 1.9e17).
TEST(TwmSettingsTest, CostsOfThePresetsAreTheSpecified) {
  const auto expect_near = [](double value, double expected, double share) {
    EXPECT_NEAR(value, expected, share * expected);
  };
  const Preset& published = **FindPreset("published");
  const UpdateFlops large = FlopsOf(published.recipe, 18);
  expect_near(large.observation, 100 * 17 * .51e9, 0.02);
  expect_near(large.dynamics, 100 * 16 * .15e9, 0.15);
  expect_near(large.imagination, 400 * 15 * .07e9, 0.02);
  expect_near(large.train_step(), 1.4e12, 0.15);
  expect_near(RunFlops(published.recipe, 18, published.train_steps), 1.9e17, 0.15);
  const UpdateFlops small = FlopsOf((*FindPreset("reduced"))->recipe, 18);
  expect_near(small.observation, 24 * 17 * .043e9, 0.02);
  expect_near(small.dynamics, 24 * 16 * .013e9, 0.15);
  expect_near(small.imagination, 96 * 12 * .0091e9, 0.02);
}

TEST(TwmSettingsTest, AnUnknownPresetNamesTheKnown) {
  EXPECT_EQ(FindPreset("huge").status().message(),
            "preset 'huge' is not known: allowed are published, reduced, tiny");
}

TEST(TwmSettingsTest, SizesThatDoNotFitAreNamed) {
  run::TwmRecipe recipe;
  recipe.width = 6;
  EXPECT_EQ(CheckRecipe(recipe).message(), "width 6: allowed is a multiple of twice the heads, 4");
  recipe = {};
  recipe.random_steps = 39;
  EXPECT_EQ(CheckRecipe(recipe).message(),
            "random_steps 39: allowed is at least sequence + batch, 40, so that a first batch can "
            "be drawn");
  recipe = {};
  recipe.environment_steps = 5;
  EXPECT_EQ(CheckRecipe(recipe).message(),
            "environment_steps 5: allowed is at least random_steps, 2000");
}

TEST(TwmSettingsTest, ImagesGoThroughTheAutoencoderAtEverySize) {
  for (const Preset& preset : Presets()) {
    const Network network(ObservationLayout(preset.recipe), 1);
    const at::Tensor frames = at::zeros({2, kFrames, kSide, kSide}) + 0.25;
    const at::Tensor logits = Encode(preset.recipe, network.tensors, frames);
    EXPECT_EQ(logits.sizes().vec(),
              (std::vector<int64_t>{2, preset.recipe.groups, preset.recipe.classes}));
    const at::Tensor decoded = Decode(preset.recipe, network.tensors, ModeLatent(logits));
    EXPECT_EQ(decoded.sizes().vec(), frames.sizes().vec());
    // Before training every pixel is near the last bias.
    EXPECT_NEAR(decoded.mean().item<double>(), 0.5, 0.2) << preset.name;
  }
}

}  // namespace
}  // namespace allometry::models::twm
