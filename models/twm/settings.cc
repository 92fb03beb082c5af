#include "models/twm/settings.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::models::twm {
namespace {

run::TwmRecipe Published() {
  run::TwmRecipe recipe;
  recipe.channels = 48;
  recipe.hidden = 512;
  recipe.hidden_layers = 2;
  recipe.layers = 10;
  recipe.width = 256;
  recipe.heads = 4;
  recipe.head_layers = 4;
  recipe.dropout = 0.1;
  recipe.agent_layers = 4;
  recipe.agent_width = 512;
  recipe.batch = 100;
  recipe.starts = 400;
  recipe.horizon = 15;
  recipe.critic_rate = 1e-5;
  recipe.random_steps = 5000;
  recipe.environment_steps = 100'000;
  // In samples: 30 million observations, 15 million of the dynamics, 5 million of the critic; a
  // batch has 1600, a roll-out 6000.
  recipe.pretrain_observation = 18'750;
  recipe.pretrain_dynamics = 9'375;
  recipe.pretrain_critic = 833;
  recipe.episodes = 100;
  return recipe;
}

run::TwmRecipe Tiny() {
  run::TwmRecipe recipe;
  recipe.channels = 4;
  recipe.hidden = 32;
  recipe.groups = 8;
  recipe.classes = 8;
  recipe.layers = 2;
  recipe.width = 32;
  recipe.sequence = 6;
  recipe.memory = 6;
  recipe.agent_width = 32;
  recipe.batch = 8;
  recipe.starts = 16;
  recipe.horizon = 4;
  recipe.random_steps = 200;
  recipe.environment_steps = 400;
  recipe.pretrain_observation = 10;
  recipe.pretrain_dynamics = 10;
  recipe.pretrain_critic = 2;
  recipe.episodes = 4;
  return recipe;
}

// Multiply-adds of a chain of linear layers, and its parameters.
struct Size {
  double macs = 0;
  int64_t params = 0;
};

void AddLinear(int64_t in, int64_t out, Size* size) {
  size->macs += static_cast<double>(in * out);
  size->params += in * out + out;
}

void AddChain(int64_t in, int64_t width, int64_t layers, int64_t out, Size* size) {
  for (int64_t i = 0; i < layers; ++i) AddLinear(i == 0 ? in : width, width, size);
  AddLinear(layers == 0 ? in : width, out, size);
}

int64_t Latent(const run::TwmRecipe& recipe) { return recipe.groups * recipe.classes; }

Size Encoder(const run::TwmRecipe& recipe) {
  Size size;
  int64_t in = kFrames, side = kSide;
  for (int i = 0; i < 4; ++i) {
    const int64_t out = recipe.channels << i;
    side = (side - 4) / 2 + 1;
    size.macs += static_cast<double>(side * side * in * out * 16);
    size.params += in * out * 16 + out;
    in = out;
  }
  AddChain(in * side * side, recipe.hidden, recipe.hidden_layers, Latent(recipe), &size);
  return size;
}

Size Decoder(const run::TwmRecipe& recipe) {
  Size size;
  int64_t in = 16 * recipe.channels, side = 1;
  AddLinear(Latent(recipe), in, &size);
  const int64_t kernels[] = {5, 5, 6, 6};
  for (int i = 0; i < 4; ++i) {
    const int64_t out = i == 3 ? kFrames : (recipe.channels * 4) >> i;
    size.macs += static_cast<double>(side * side * in * out * kernels[i] * kernels[i]);
    size.params += in * out * kernels[i] * kernels[i] + out;
    side = (side - 1) * 2 + kernels[i];
    in = out;
  }
  return size;
}

// Of a step.
Size Dynamics(const run::TwmRecipe& recipe, int64_t actions) {
  const int64_t w = recipe.width;
  Size size;
  AddLinear(Latent(recipe), w, &size);
  size.params += actions * w;
  if (recipe.reward_input) AddLinear(1, w, &size);
  size.macs += static_cast<double>(TokensPerStep(recipe) * recipe.layers * 12 * w * w);
  // q, k, v, positions, out: 5 w^2; two biases of scores; up and down; two norms.
  size.params += recipe.layers * (5 * w * w + 2 * w + 8 * w * w + 5 * w + 4 * w);
  AddChain(w, 2 * w, recipe.head_layers, Latent(recipe), &size);
  AddChain(w, w, recipe.head_layers, 1, &size);
  AddChain(w, w, recipe.head_layers, 1, &size);
  return size;
}

Size Agent(const run::TwmRecipe& recipe, int64_t outputs) {
  Size size;
  AddChain(Latent(recipe), recipe.agent_width, recipe.agent_layers, outputs, &size);
  return size;
}

}  // namespace

std::span<const Preset> Presets() {
  static const auto* const presets = new std::vector<Preset>{
      {"published", "the paper's sizes, by its code", Published(), 1e-4, 125'000},
      {"reduced", "sizes for a CPU", run::TwmRecipe(), 3e-4, 3000},
      {"tiny", "sizes for tests", Tiny(), 1e-3, 40},
  };
  return *presets;
}

absl::StatusOr<const Preset*> FindPreset(const std::string& name) {
  for (const Preset& preset : Presets()) {
    if (name == preset.name) return &preset;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("preset '", name, "' is not known: allowed are ",
                   absl::StrJoin(Presets(), ", ", [](std::string* out, const Preset& preset) {
                     absl::StrAppend(out, preset.name);
                   })));
}

absl::Status CheckRecipe(const run::TwmRecipe& recipe) {
  if (recipe.width % (2 * recipe.heads) != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "width %d: allowed is a multiple of twice the heads, %d", recipe.width, 2 * recipe.heads));
  }
  if (recipe.environment_steps < recipe.random_steps) {
    return absl::InvalidArgumentError(
        absl::StrFormat("environment_steps %d: allowed is at least random_steps, %d",
                        recipe.environment_steps, recipe.random_steps));
  }
  const int64_t least = recipe.sequence + recipe.batch;
  if (recipe.random_steps < least) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "random_steps %d: allowed is at least sequence + batch, %d, so that a first batch can be "
        "drawn",
        recipe.random_steps, least));
  }
  return absl::OkStatus();
}

ParamCounts CountParams(const run::TwmRecipe& recipe, int64_t actions) {
  ParamCounts counts;
  counts.observation = Encoder(recipe).params + Decoder(recipe).params;
  counts.dynamics = Dynamics(recipe, actions).params;
  counts.actor = Agent(recipe, actions).params;
  counts.critic = Agent(recipe, 1).params;
  return counts;
}

UpdateFlops FlopsOf(const run::TwmRecipe& recipe, int64_t actions) {
  const auto images = static_cast<double>(recipe.batch * (recipe.sequence + 1));
  const auto steps = static_cast<double>(recipe.batch * recipe.sequence);
  const auto imagined = static_cast<double>(recipe.starts * recipe.horizon);
  const double encoder = Encoder(recipe).macs, dynamics = Dynamics(recipe, actions).macs;
  UpdateFlops flops;
  flops.observation = 6 * images * (encoder + Decoder(recipe).macs);
  flops.encoder = 2 * images * encoder;
  flops.dynamics = 6 * steps * dynamics;
  // Forward in the roll-out (dynamics and actor), forward and backward on what it gave.
  const double actor = Agent(recipe, actions).macs, critic = Agent(recipe, 1).macs;
  flops.imagination = imagined * (2 * (dynamics + actor) + 6 * (actor + critic));
  return flops;
}

int64_t UpdatesOf(const run::TwmRecipe& recipe, int64_t train_steps) {
  return recipe.pretrain_observation + recipe.pretrain_dynamics + recipe.pretrain_critic +
         train_steps;
}

double RunFlops(const run::TwmRecipe& recipe, int64_t actions, int64_t train_steps) {
  const UpdateFlops flops = FlopsOf(recipe, actions);
  return static_cast<double>(recipe.pretrain_observation) * flops.observation +
         static_cast<double>(recipe.pretrain_dynamics) * (flops.encoder + flops.dynamics) +
         static_cast<double>(recipe.pretrain_critic) * (flops.encoder + flops.imagination) +
         static_cast<double>(train_steps) * flops.train_step();
}

}  // namespace allometry::models::twm
