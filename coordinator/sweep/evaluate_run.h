// Checkpoints that a run keeps, and the run that evaluates them.
//
// The steps kept are those of `keep` evaluations of the run, evenly spaced in their order, so
// log-spaced in steps, the last one among them: each has a held-out loss to compare with. The
// evaluating run's steps are those of the checkpoints. It has the recipe of the run that it
// evaluates in its identity, no cell, and waits until that run has SUCCEEDED.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// What keeps the file's section `evaluate` from working is a mistake: a GPU, a family of images, a
// dataset without frames, a window of one frame, episodes for models that do not act. `read` is the
// manifest of the tokens. Gives `evaluate.environment` its default, the dataset's world.
void CheckEvaluate(int64_t context, const data::Manifest& read, SweepFile& file,
                   Mistakes& mistakes);

// Sets checkpoint_steps and keep_checkpoints.
void KeepCheckpoints(int keep, v1::RunSpec& spec);

// The steps whose checkpoints can be evaluated: those kept, and the last one.
std::vector<int64_t> EvaluatedSteps(const v1::RunSpec& trained);

// file.evaluate is set.
v1::Run EvaluateRun(const SweepFile& file, const v1::Run& trained);

}  // namespace allometry::sweep
