// A study: which sweeps it takes to repeat a published finding, and what of them is compared with
// what was published. `allo report` fits the sweeps and prints both columns (docs/study-file.md).
//
// A row asks one of three things: a quantity of trained sweeps, a plan (what the published scale
// would cost), or why it cannot be run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::sweep {

enum class StudyQuantity {
  kFitted,        // a coefficient of a fit, by its name in the report: a, b, alpha, beta, E, c
  kAtBudget,      // loss, params or tokens of the optimum at `at` FLOPs
  kExtrapolated,  // log10_params, log10_tokens, loss_gap of the withheld size
  kPredicted,    // predicted_gap: loss at `at` FLOPs, less what was predicted before it was trained
  kPlateau,      // plateau_flops: FLOPs until curves are within 2 % of their plateau
  kRegime,       // regime: a word
  kWorstRise,    // worst_rise: the largest increase of loss from a size to the next
  kLadder,       // ladder: how the tuned learning rate goes with size, a word
  kCorrelation,  // correlation: r of the loss of evaluated checkpoints with a measure of quality
  kLast,         // last: a series' last value, the mean over the seeds of one size
};

struct StudyTerm {
  std::string quantity;  // as written
  StudyQuantity kind = StudyQuantity::kFitted;
  std::string sweep;
  std::string method = "parametric";
  std::string objective = "huber";
  std::string law = "standard";
  std::string params, flops, series;  // empty: the sweep's; the held-out loss
  bool allow_repeat = false;
  std::string metric;                 // of kCorrelation and kLast: a series of the runs
  double floor = 0;                   // E of the law fixed-floor, nats
  double at = 0;                      // FLOPs, of kAtBudget and kPredicted
  double budget_tokens = 0;           // of kRegime, kWorstRise: which cells; 0: the largest
  std::vector<std::string> sizes;     // of kPlateau: which curves; empty: all. Of kLast: one
  std::vector<std::string> withhold;  // of kExtrapolated: the first is reported
};

// One model of a plan row, at the scale that was published.
struct StudyPlan {
  std::string preset;
  double tokens = 0;
  double params = 0;       // N as the tables count it
  double flops_6nd = 0;    // of all the tokens
  double flops_exact = 0;  // every matmul, attention included
};

struct StudyRow {
  int line = 0;
  std::string what;    // names the row for people
  std::string target;  // number in the list of targets; may be empty
  std::string source;  // where the published value is from
  std::string paper;   // that value as written; empty: none
  std::string note;

  std::optional<StudyTerm> term;
  std::optional<StudyTerm> minus, over;  // what is taken off it, or what it is divided by
  std::optional<double> low, high;       // the band; neither: nothing is judged
  std::vector<std::string> words;        // of kRegime and kLadder: those that are expected

  std::vector<StudyPlan> plan;
  std::string cannot;  // why it cannot be run
};

struct Study {
  std::string name;
  std::string title;
  std::vector<std::string> datasets;  // arguments of `allo data` that make them
  // Files sweeps/NAME.yaml that are trained before the others: the beginnings of sweeps, with their
  // names. Then `predict`, arguments of `allo predict`; then what was predicted is trained.
  std::vector<std::string> first, predict;
  std::vector<std::string> sweeps;  // names; their files are sweeps/NAME.yaml
  std::vector<StudyRow> rows;
};

// InvalidArgument with a line "FILE:LINE: text" for every mistake.
absl::StatusOr<Study> ParseStudyFile(absl::string_view yaml, absl::string_view file_name);

}  // namespace allometry::sweep
