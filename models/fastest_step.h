// Which training step is the fastest for a shape on this machine, found by timing them.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "models/train_step.h"

namespace allometry::models {

struct FastestStep {
  std::string name;  // a row of TrainStepBackends()
  std::string
      timing;  // how it was found, as a sentence's end; empty where only one takes the shape
};

// Times loss and gradient of `sequences` sequences (fewer where they need more than 128 MiB) by
// every CPU step that takes the shape and the precision, in turns: seconds of CPU time, the least
// of up to six each. They are wholly scratch: own parameters, gradients and random tokens, freed at
// the end. Takes about half a second, more only where three updates by each step do.
//
// Two starts of one run should choose alike although times vary, so a step is only preferred to one
// that is listed before it if it is faster by a clear margin, 1.15.
//
// Errors are those of CreateTrainStep("auto").
absl::StatusOr<FastestStep> FindFastestCpuStep(const Shape& shape, int64_t sequences,
                                               run::Precision precision = run::Precision::kFp32);

}  // namespace allometry::models
