// Whether a world model foresees rewards, told from the losses of classes of its outcome tokens:
// class 1 are the outcomes with a reward (data/outcome.h), class 0 everything else.
//
// A reward is foreseen where the model gives class 1 more than half. Of N positions,
//   recall     foreseen rewards / rewards
//   precision  foreseen rewards / positions where one is foreseen
#pragma once

#include <cmath>
#include <optional>

namespace allometry::trainer {

struct RewardDetection {
  double rewards = 0;
  double foreseen = 0;  // of those
  double claimed = 0;   // positions where one is foreseen

  // `loss` is -log of the probability of the position's class, which is class 1 where `reward`.
  void Add(bool reward, double loss) {
    const bool right = std::exp(-loss) > 0.5;
    rewards += reward ? 1 : 0;
    foreseen += reward && right ? 1 : 0;
    claimed += reward == right ? 1 : 0;
  }
  // Nothing where there is nothing to divide by.
  std::optional<double> Recall() const { return Ratio(foreseen, rewards); }
  std::optional<double> Precision() const { return Ratio(foreseen, claimed); }

 private:
  static std::optional<double> Ratio(double part, double whole) {
    if (whole == 0) return std::nullopt;
    return part / whole;
  }
};

}  // namespace allometry::trainer
