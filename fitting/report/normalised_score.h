// Scores of agents over many games, on one scale a game.
//
//   s = (score - random) / (reference - random)
//
// With a person's score as the reference s is the human-normalised score of Atari 100k; with the
// expert's that made the dataset it is s_ern, the expert-random-normalised one. They are different
// numbers: a scripted expert may be far above or below a person.
#pragma once

#include <vector>

#include "base/status.h"

namespace allometry::fitting {

struct GameScore {
  double score = 0;
  double random = 0;
  double reference = 0;  // a person's, or an expert's
};

struct ScoreSummary {
  std::vector<double> normalised;  // in the order of the games
  double mean = 0;
  double median = 0;
  int above_reference = 0;  // games with s > 1
};

// INVALID_ARGUMENT: no games, a number that is not finite, or a reference that is not above random
// (s would change sign or have no scale); the message counts games from 1.
absl::StatusOr<ScoreSummary> NormaliseScores(const std::vector<GameScore>& games);

}  // namespace allometry::fitting
