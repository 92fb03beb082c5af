// The window that a sweep's models read: how the dataset and the file's `context` or `frames`,
// `objective` and batch fit together.
//
//   text     context tokens
//   frames   K frames of d_z + d_a tokens: context = K (d_z + d_a); of a family that sees images
//            context = K, and the vocabulary is that of the actions
#pragma once

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"
#include "data/manifest.h"
#include "models/shape.h"

namespace allometry::sweep {

// The keys objective, objective_seed, batch_tokens and batch_sequences of `training`. What a preset
// has set stays where the key is not there.
void ReadWindowTraining(const Fields& training, SweepFile& file, Mistakes& mistakes);

// A shape without layers, heads and width: what all sizes of the sweep share. Fills in the file's
// context, batch_tokens and objective ("" for dense, "action" for families that see images).
// Mistakes where dataset, family, window, objective and batch do not fit together.
models::Shape ResolveWindow(const data::Manifest& manifest, SweepFile& file, Mistakes& mistakes);

// Windows of a run's batch in the dataset's tokens: what epochs are counted in.
double EpochsOf(const SweepFile& file, const data::Manifest& manifest, int64_t tokens);

}  // namespace allometry::sweep
