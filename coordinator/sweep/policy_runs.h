// The runs that train a sweep's policies: for each trained model of the grid, each teacher and each
// seed of the section `imagine` one. Its world model is the checkpoint of the model's largest cell,
// which is among the run's inputs. A policy run has no cell, so no fit reads it.
#pragma once

#include <string>
#include <vector>

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// The text of the world that a Strata dataset is of; empty for others.
std::string StrataOf(const data::Manifest& manifest);

// Whether the section, the dataset and the models' window fit together; file.imagine is set.
// `manifest` is that of the tokens that the models read. Sets the environment where the file names
// none and the dataset is Strata.
void CheckImagine(const data::Manifest& manifest, SweepFile& file, Mistakes& mistakes);

// `model` is a run of the grid, as expanded.
std::vector<v1::Run> PolicyRuns(const SweepFile& file, const data::Manifest& manifest,
                                const v1::Run& model);

}  // namespace allometry::sweep
