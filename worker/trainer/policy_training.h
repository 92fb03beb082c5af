// The training of a policy (run kind `policy`): an actor and a critic (models/actor_critic.h) on
// the features of what is seen, updated by roll-outs, and its evaluations in the real environment.
//
// By identity.policy.teacher an update learns from
//
//   imagination  roll-outs in a world model, the checkpoint among the inputs
//   real         roll-outs of the same size in the real environment: what a perfect model would
//                teach
//   cloning      the actions of as many frames of the same dataset: what the data alone teach
//   random       nothing: the policy stays uniform
//
// Series: of every log_every-th update `imagined_return` (of a roll-out, the undiscounted sum of
// the rewards' signs until it ends; `real` names it so too), `rollout_reward` (the same a step),
// `entropy` (of the policy, nats) and `value_loss`; of cloning `train` (cross-entropy) alone. At
// evaluation steps, from `episodes` whole episodes with sampled actions: `return` and `return_se`
// (its standard error), `real_reward` (of its rewards the mean sign a step, to be held against
// `rollout_reward`), and, where the dataset says what an expert and random play get,
// `s_ern` = (return - random) / (expert - random).
//
// A policy in imagination is not trained in a model that foresees no rewards (reward_gate.h), but
// ends as UNFIT_MODEL.
//
// Everything is a function of the identity and the inputs. Checkpoints hold parameters, moments,
// the scale of returns and, of `real`, where its episodes are: a resumed run has the same bits. One
// rank, on a CPU.
#pragma once

#include <memory>

#include "worker/trainer/training.h"

namespace allometry::trainer {

absl::StatusOr<std::unique_ptr<Training>> CreatePolicyTraining(TrainingParts parts);

}  // namespace allometry::trainer
