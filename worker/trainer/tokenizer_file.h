// The artifact of a tokenizer run: its last checkpoint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/shape.h"
#include "models/vq_step.h"
#include "run/run_spec.h"

namespace allometry::trainer {

struct TokenizerFile {
  models::Shape shape;
  std::string hash;
  std::vector<float> codebook;  // [codes, code_width]
  int code_width = 0;
  std::unique_ptr<models::ImageTokenizer> tokenizer;
};

// Reads RUN_DIR/../run-<input.run_id>/<input.file>. DataLoss where its hash is another one than the
// input's or it cannot be read, FailedPrecondition where it is of no tokenizer.
absl::StatusOr<TokenizerFile> ReadTokenizer(const std::string& run_dir, const run::RunInput& input);

}  // namespace allometry::trainer
