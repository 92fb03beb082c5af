#include "worker/trainer/policy_agent.h"

#include "worker/trainer/learner.h"

namespace allometry::trainer {

PolicyAgent::PolicyAgent(const models::ActorCriticShape& given, const run::Identity& identity,
                         int64_t world_state)
    : shape(given), networks(models::ActorCriticLayout(given)), layout(networks) {
  const auto add = [&](const char* name, int64_t size) {
    if (size == 0) return;
    layout.views.push_back({.name = name, .shape = {size}, .offset = layout.size, .size = size});
    layout.size += size;
  };
  add("state.return_scale", 1);
  add("state.episodes", world_state);
  for (std::vector<float>* buffer : {&parameters, &gradient, &exp_avg, &exp_avg_sq}) {
    buffer->assign(static_cast<size_t>(layout.size), 0.0f);
  }
  models::InitializeActorCritic(networks, identity.seed, Trained(parameters));
  actor_critic =
      std::make_unique<models::ActorCritic>(shape, Trained(parameters), Trained(gradient));
  adamw = models::CreateAdamW(networks, ToAdamWOptions(identity.optimizer), {});
}

}  // namespace allometry::trainer
