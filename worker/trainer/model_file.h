// A checkpoint of another run, read as what it made: its identity and its parameters.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "models/train_step.h"
#include "run/run_spec.h"

namespace allometry::trainer {

struct ModelFile {
  run::Identity identity;
  std::string hash;
  models::ParameterLayout layout;
  std::vector<float> parameters;  // of layout.size
};

// Reads RUN_DIR/../run-<input.run_id>/<input.file>. DataLoss where its hash is another one than the
// input's or it cannot be read.
absl::StatusOr<ModelFile> ReadModelFile(const std::string& run_dir, const run::RunInput& input);

}  // namespace allometry::trainer
