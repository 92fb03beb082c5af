#include "worker/agent/run_spec_conversion.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "data/manifest.h"
#include "worker/agent/run_root.h"

namespace allometry::agent {
namespace {

bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

run::Identity ToRunDirIdentity(const v1::RunIdentity& from) {
  run::Identity to;
  to.shape.family = from.shape().family();
  to.shape.layers = from.shape().layers();
  to.shape.heads = from.shape().heads();
  to.shape.width = from.shape().width();
  to.shape.context = from.shape().context();
  to.shape.vocabulary = from.shape().vocabulary();
  to.shape.image_height = from.shape().image_height();
  to.shape.image_width = from.shape().image_width();
  to.shape.image_channels = from.shape().image_channels();
  to.dataset = from.dataset();
  to.dataset_hash = from.dataset_hash();
  to.tokenizer_hash = from.tokenizer_hash();
  to.batch_tokens = from.batch_tokens();
  to.schedule = from.schedule();
  to.warmup_steps = from.warmup_steps();
  to.learning_rate = from.learning_rate();
  to.seed = from.seed();
  to.optimizer.beta1 = from.optimizer().beta1();
  to.optimizer.beta2 = from.optimizer().beta2();
  to.optimizer.weight_decay = from.optimizer().weight_decay();
  to.optimizer.epsilon = from.optimizer().epsilon();
  to.optimizer.clip_norm = from.optimizer().clip_norm();
  to.objective = from.objective();
  to.objective_seed = from.objective_seed();
  to.decay_begin = from.decay_begin();
  to.decay_end = from.decay_end();
  to.final_rate_fraction = from.final_rate_fraction();
  to.tokenizer_key = from.tokenizer_key();
  return to;
}

absl::StatusOr<run::StartCheckpoint> ToStartCheckpoint(const v1::Checkpoint& from,
                                                          const std::string& root_id) {
  if (!IsCheckpointFile(from.file())) {
    return absl::InvalidArgumentError(
        absl::StrCat("start checkpoint: '", from.file(),
                     "' is not of the form attempt-K/checkpoint-S.safetensors"));
  }
  if (!from.root_id().empty() && from.root_id() != root_id) {
    return absl::FailedPreconditionError(absl::StrCat("start checkpoint: ", from.file(),
                                                      " is under run root ", from.root_id(),
                                                      ", and this agent's run root is ", root_id));
  }
  return run::StartCheckpoint{from.attempt(), from.step(), from.file(), from.hash(),
                                 from.run_id()};
}

}  // namespace

absl::StatusOr<run::RunSpec> ToRunDirSpec(const v1::RunSpec& spec, int attempt,
                                             const std::string& root_id) {
  const std::string& dataset = spec.identity().dataset();
  if (!IsPlainName(dataset) && !data::IsGenerated(dataset)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset: '", spec.identity().dataset(),
                     "' is not a name of letters, digits, '-', '_' and '.'"));
  }
  run::RunSpec to;
  to.attempt = attempt;
  to.identity = ToRunDirIdentity(spec.identity());
  to.steps = spec.steps();
  to.evaluation_steps.assign(spec.evaluation_steps().begin(), spec.evaluation_steps().end());
  to.log_every = spec.log_every();
  to.checkpoint_every_s = spec.checkpoint_every_s();
  to.evaluation_windows = spec.evaluation_windows();
  to.ranks = spec.ranks();
  to.micro_batch = spec.micro_batch();
  to.device = spec.device();
  to.deterministic = spec.deterministic();
  to.step_backend = spec.step_backend();
  if (spec.has_start()) {
    ALLO_ASSIGN_OR_RETURN(to.start, ToStartCheckpoint(spec.start(), root_id));
  }
  to.checkpoint_steps.assign(spec.checkpoint_steps().begin(), spec.checkpoint_steps().end());
  if (!spec.kind().empty()) to.kind = spec.kind();
  for (const v1::RunInput& input : spec.inputs()) {
    if (input.kind() == "trunk") continue;  // that is the start
    if (!IsCheckpointFile(input.file())) {
      return absl::InvalidArgumentError(
          absl::StrCat("input ", input.kind(), ": '", input.file(),
                       "' is not of the form attempt-K/checkpoint-S.safetensors"));
    }
    to.inputs.push_back(
        {input.kind(), input.run_key(), input.run_id(), input.file(), input.hash()});
  }
  return to;
}

}  // namespace allometry::agent
