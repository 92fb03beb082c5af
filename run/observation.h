// Which points of a run's curve are observations: one (N, D, L) each, as fits read them. The only
// rule. The store asks it which steps to load, the gate of `allo fit` which points to leave out and
// why, and `allo plan` which points a fit will have.
//
// A point is an observation when
//   - its run trains a model of the grid, and no other run branches off it;
//   - it lies after the warm-up and, where the learning rate falls, at the run's last update;
//   - its run neither diverged nor was cancelled, and its loss is finite;
//   - its tokens are within the sweep's max_epochs: a token that is seen a fifth time is worth less
//     than a fresh one (Muennighoff et al. 2023).
#pragma once

#include <cstdint>
#include <optional>

#include "run/choices.h"

namespace allometry::run {

// Of a run that was trained elsewhere: its kind, which no trainer is given, and how the key of one
// begins that came without a name, so that its points make a curve with those of its size.
// Stored: do not change.
inline constexpr char kImportedKind[] = "external";
inline constexpr char kUnlabelledKey[] = "row-";

// What the rule reads of a run.
struct ObservedRun {
  std::optional<RunKind> kind = RunKind::kTrain;  // unset: none that is known here, as below
  std::optional<Stage> stage = Stage::kGrid;
  std::optional<Schedule> schedule = Schedule::kConstant;
  bool is_trunk = false;  // another run branches off it
  int64_t warmup_steps = 0;
  int64_t steps = 0;  // the last update that the run is asked for
  bool diverged = false;
  bool cancelled = false;
};

// And of one point of its curve.
struct ObservedPoint {
  int64_t step = 0;
  double epochs = 0;      // passes over the dataset; 0: not known
  bool is_finite = true;  // its loss, where that is known already
};

// Steps `after` < step <= `last`; none where last <= after.
struct StepRange {
  int64_t after = 0;
  int64_t last = 0;
  bool Contains(int64_t step) const { return after < step && step <= last; }
};

// The steps at which the run's curve has observations, as far as its schedule decides.
StepRange ObservedSteps(const ObservedRun& run);

enum class Exclusion {
  kNone,
  kNotItsStep,  // of no curve that fits read, in the warm-up, or before a falling rate's last
                // update
  kLadder,      // of a tuning run alone
  kDiverged,
  kCancelled,
  kNotFinite,
  kRepeated,  // beyond max_epochs
};

// The first that holds, in the order above. `max_epochs` 0: repeats are allowed.
Exclusion ExclusionOf(const ObservedRun& run, const ObservedPoint& point, double max_epochs);

}  // namespace allometry::run
