#include "worker/trainer/policy_inputs.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/play.h"

namespace allometry::trainer {
namespace {

absl::StatusOr<const run::RunInput*> InputOf(const run::RunSpec& spec, run::InputKind kind) {
  for (const run::RunInput& input : spec.inputs) {
    if (input.kind == kind) return &input;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("run.json has no input of kind ", run::NameOf(kind)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyInputs>> ReadPolicyInputs(const TrainingParts& parts) {
  const run::RunSpec& spec = parts.spec;
  auto inputs = std::make_unique<PolicyInputs>();
  ALLO_ASSIGN_OR_RETURN(const run::RunInput* model, InputOf(spec, run::InputKind::kModel));
  ALLO_ASSIGN_OR_RETURN(inputs->model, ReadModelFile(parts.run_dir, *model));
  if (inputs->model.identity.shape != spec.identity.shape) {
    return absl::FailedPreconditionError("the world model has another shape than run.json says");
  }
  if (!spec.identity.tokenizer_key.empty()) {
    ALLO_ASSIGN_OR_RETURN(const run::RunInput* tokenizer,
                          InputOf(spec, run::InputKind::kTokenizer));
    ALLO_ASSIGN_OR_RETURN(inputs->tokenizer, ReadTokenizer(parts.run_dir, *tokenizer));
  }
  ALLO_ASSIGN_OR_RETURN(inputs->sources, OpenWindowsOf(parts.run_dir, parts.data_dir, spec));
  if (!inputs->sources.manifest.frames.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("dataset ", inputs->sources.manifest.name, " has no frames"));
  }
  inputs->returns = ReturnScale(spec.identity.policy.environment, inputs->sources.manifest);
  return inputs;
}

}  // namespace allometry::trainer
