#include "fitting/report/normalised_score.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {

absl::StatusOr<ScoreSummary> NormaliseScores(const std::vector<GameScore>& games) {
  if (games.empty()) return absl::InvalidArgumentError("no games to normalise scores of");
  ScoreSummary summary;
  for (size_t i = 0; i < games.size(); ++i) {
    const GameScore& game = games[i];
    if (!std::isfinite(game.score) || !std::isfinite(game.random) ||
        !std::isfinite(game.reference) || game.reference <= game.random) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "game %d: score %g, random %g, reference %g: finite numbers with the reference above "
          "random are needed",
          i + 1, game.score, game.random, game.reference));
    }
    const double s = (game.score - game.random) / (game.reference - game.random);
    summary.normalised.push_back(s);
    summary.mean += s / static_cast<double>(games.size());
    summary.above_reference += s > 1;
  }
  summary.median = Median(summary.normalised);
  return summary;
}

}  // namespace allometry::fitting
