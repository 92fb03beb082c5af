// The actor and the critic of a policy run, as buffers that a checkpoint holds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/actor_critic.h"
#include "models/adamw.h"
#include "models/train_step.h"
#include "run/run_spec.h"

namespace allometry::trainer {

// What an agent is trained with: flat buffers, as of any run's checkpoint. Behind the trained
// parameters lies the state of what is no network (ParameterLayout).
struct PolicyAgent {
  models::ActorCriticShape shape;
  models::ParameterLayout networks;  // what AdamW trains
  models::ParameterLayout layout;    // with the state
  std::vector<float> parameters, gradient, exp_avg, exp_avg_sq;
  std::unique_ptr<models::ActorCritic> actor_critic;
  std::unique_ptr<models::AdamW> adamw;

  PolicyAgent(const models::ActorCriticShape& given, const run::Identity& identity,
              int64_t world_state);

  std::span<float> Trained(std::vector<float>& buffer) const {
    return std::span(buffer).first(static_cast<size_t>(networks.size));
  }
  float& return_scale() { return parameters[static_cast<size_t>(networks.size)]; }
  std::span<float> episodes() {
    return std::span(parameters).subspan(static_cast<size_t>(networks.size) + 1);
  }
  void Update(int64_t step, double rate) {
    double norm = 0;
    adamw->Step({Trained(parameters), Trained(gradient), Trained(exp_avg), Trained(exp_avg_sq)},
                step, rate, &norm);
  }
};

}  // namespace allometry::trainer
