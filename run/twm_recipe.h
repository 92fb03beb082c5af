// The settings of an agent that learns in a transformer world model which it trains on what it
// plays (TWM: Robine et al. 2023; run kind `twm`). The defaults are the preset "reduced"
// (models/twm/settings.h).
#pragma once

#include <cstdint>
#include <string>

namespace allometry::run {

struct TwmRecipe {
  std::string environment;  // where it plays (environments/environment.h); empty: no such run

  // Observation model: images of 64 x 64 to latents and back.
  int64_t channels = 12;  // of the first convolution; the second has twice as many, and so on
  int64_t hidden = 128;   // of the layers between convolutions and latents
  int64_t hidden_layers = 1;
  int64_t groups = 32;   // a latent is `groups` categoricals
  int64_t classes = 32;  // of `classes` classes each

  // Dynamics: a Transformer-XL, with heads of 2 width (latent) and width (reward, discount).
  int64_t layers = 3;
  int64_t width = 128;
  int64_t heads = 2;
  int64_t head_layers = 1;
  double dropout = 0;
  int64_t sequence = 16;     // steps of a training sequence, beside one of context
  int64_t memory = 16;       // earlier steps that a roll-out remembers
  bool reward_input = true;  // rewards are fed back into the dynamics

  // Actor and critic, on the latent.
  int64_t agent_layers = 2;
  int64_t agent_width = 256;

  // A train step.
  int64_t batch = 24;          // sequences
  int64_t starts = 96;         // imagined roll-outs
  int64_t horizon = 12;        // of each
  double temperature = 20;     // of balanced sampling; 0: uniform, as an infinite one would be
  double critic_rate = 1e-4;   // learning rate of the critic; the others': identity.learning_rate
  double discount = 0.99;      // target of the discount's head where an episode goes on
  double lambda = 0.95;        // of the advantages
  double entropy = 0.01;       // weight of the policy's entropy below the least
  double least_entropy = 0.1;  // as a share of ln(actions)

  // The run: its updates are the pretraining's, then train steps.
  int64_t random_steps = 2000;        // of the environment, before the first update
  int64_t environment_steps = 20000;  // in all, the others spread over the train steps
  int64_t pretrain_observation = 300;
  int64_t pretrain_dynamics = 300;
  int64_t pretrain_critic = 0;
  int64_t episodes = 32;  // of an evaluation

  friend bool operator==(const TwmRecipe&, const TwmRecipe&) = default;
};

}  // namespace allometry::run
