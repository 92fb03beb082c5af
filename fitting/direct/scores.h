// From a loss to a downstream score: what a benchmark will say of a model that is not trained yet.
//
// Scores hardly move over small models and then rise all at once; over the loss they follow a
// sigmoid, which lets small models say where (Dubey et al. 2024, "The Llama 3 Herd of Models",
// section 3.2.1; Gadre et al. 2024):
//
//   S(L) = chance + (ceiling - chance) / (1 + exp((L - m) / w)),   w > 0
//
// m is the loss at which the score is half way, w how sharply it rises. Least squares by Ceres from
// several starts; intervals are CR2 of the linearised problem, by sizes where the table has N,
// otherwise by rows. The score at a budget C is S(L*(C)); its interval adds the variance of the
// loss (of an `allo fit` of the same table) to that of the sigmoid.
//
// Residuals that follow a pattern along the loss (fewer changes of sign than chance has in one
// table of twenty) mean that chance or ceiling is wrong, or that the sigmoid is: predictions are
// then not usable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/observation.h"
#include "fitting/data/result.h"

namespace allometry::fitting {

struct ScoredRun {
  double loss = 0, score = 0;
  double params = 0;  // 0: not known
};

struct ScoreTable {
  std::vector<ScoredRun> runs;
  std::vector<Exclusion> exclusions;
  int64_t total = 0;
  ReadSummary read;
};

// Columns loss and score (accuracy, exact_match, ...), and N where there is one. Rows without a
// score are not listed as excluded.
absl::StatusOr<ScoreTable> ReadScores(const std::string& path, const CsvOptions& options);

struct ScoreOptions {
  double chance = 0, ceiling = 1;
};

struct ScoreFit {
  ScoreTable table;
  ScoreOptions options;
  Estimate half, width;  // m, w
  double rms = 0;        // of the score
  std::string interval;  // by what, or why there is none
  std::optional<std::string> refused, not_usable;
  double lowest_loss = 0;  // of the scored runs
  struct At {
    double flops = 0;
    Estimate loss, score;
  };
  std::vector<At> predictions;

  double Score(double loss) const;
};

// `losses`: L* at budgets with its intervals, as a fit of the same runs answers.
absl::StatusOr<ScoreFit> FitScores(const ScoreTable& table, const ScoreOptions& options,
                                   const std::vector<ScoreFit::At>& losses);

std::string ScoresText(const ScoreFit& fit);
std::string ScoresJson(const ScoreFit& fit);

}  // namespace allometry::fitting
