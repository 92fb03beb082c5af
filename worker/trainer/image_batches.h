// What a tokenizer's run reads: the images of a dataset of frames, without their tokens.
//
// Of a dataset of files every frame is a window of its own. Of a generated one, whose windows all
// begin an episode, windows of up to eight frames are read, so that images of later frames come
// too.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "run/run_spec.h"
#include "worker/trainer/batches.h"

namespace allometry::trainer {

// A sequence of the batches is an image. FailedPrecondition where the dataset is another one than
// the run was submitted with, or its images do not fit the shape.
absl::StatusOr<std::unique_ptr<Batches>> OpenImageBatches(const std::string& data_dir,
                                                          const run::RunSpec& spec);

}  // namespace allometry::trainer
