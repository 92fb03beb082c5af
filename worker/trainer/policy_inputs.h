// What a policy run reads: the dataset, the world model, the tokenizer, the scale of returns.
#pragma once

#include <memory>
#include <optional>

#include "base/status.h"
#include "data/manifest.h"
#include "data/window_source.h"
#include "worker/trainer/model_file.h"
#include "worker/trainer/tokenizer_file.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {

struct PolicyInputs {
  data::WindowSources sources;
  std::optional<TokenizerFile> tokenizer;
  ModelFile model;
  std::optional<data::Returns> returns;
};

// Errors as of the readers of each; FailedPrecondition where run.json lacks one, or the model has
// another shape than it says.
absl::StatusOr<std::unique_ptr<PolicyInputs>> ReadPolicyInputs(const TrainingParts& parts);

}  // namespace allometry::trainer
