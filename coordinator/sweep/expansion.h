// From a sweep file to runs and cells. Pure: the same file and manifest give the same expansion,
// whatever was submitted before. Difference (difference.h) compares it with a stored sweep.
//
//   D asked    budgets.tokens; budgets.flops / (FLOPs per token under the convention);
//              budgets.tokens_per_param * N
//   steps      round(D asked / batch_tokens), at least 1
//   D          steps * batch_tokens
//   C          D * (FLOPs per token under the convention)
//   epochs     windows of D / windows of an epoch (data/manifest.h)
//
// Under a constant learning rate one run for each (size, seed): its cells are points of one curve.
// It trains to its last cell and is evaluated at its cells' steps and at round(10^(k/per_decade)),
// k = 0, 1, ..., of those after the warm-up: a grid that does not depend on the budget, so that a
// larger one only adds steps.
//
// A rank whose share of a batch would keep more than 2 GiB of activations (24 GiB on a GPU) takes
// it in micro-batches (models/micro_batch.h).
//
// Under wsd one trunk for each (size, seed): the constant run (and key) up to the last branching
// point, without a cell, with a checkpoint at every branching point; and a branch for each cell,
// whose identity is its whole recipe and whose input is the trunk's checkpoint at decay_begin.
// Of a file with a tokenizer, the tokenizer's run comes first (tokenizer_run.h). The other runs
// have its key in their identity, have it as an input, and read its tokens: vocabulary, context and
// epochs are those of the tokenised dataset. No cell's C includes the cost of the tokenizer.
//
// With `evaluation.keep` every run with a cell keeps checkpoints; with `evaluate` a run for each of
// those measures their quality (evaluate_run.h). Such runs come last and have no cell.
//
// Under cosine one run for each cell. Both are evaluated at their last step and at those of the
// grid while the rate falls.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

struct Expansion {
  // name, dataset, params_policy, flops_convention, max_epochs, priority, runs, cells and left_out;
  // a sentence in left_out for each cell, and for each run without a cell, that is not made:
  //   "320k at 3e10 FLOPs: 4 steps, within the warm-up of 100 steps"
  v1::Sweep sweep;
  ScheduleChoice schedule;
  // The tokenizer, then in the order of the file's sizes and seeds, a trunk before its branches.
  // key, size, spec (start unset), params, n_params and the FLOPs per token are set; run_id is the
  // place here, from 1.
  std::vector<v1::Run> runs;
  // By run, then ascending in tokens. run_id is that of `runs`; cell_id is the place here, from 1.
  std::vector<v1::Cell> cells;
};

// InvalidArgument has one line for each mistake, as ParseSweepFile: a manifest of another dataset,
// a size that cannot be built, two sizes of the same shape, a sweep without a cell. A cell is left
// out, with its reason, when it needs more than max_epochs (unless allow_repeat), ends (wsd: begins
// to decay) within the warm-up, or falls on the same step as a smaller budget. Of a file with a
// ladder: its first tuning runs, which is all that is known before they have ended.
absl::StatusOr<Expansion> Expand(const SweepFile& asked, const data::Manifest& source);

}  // namespace allometry::sweep
