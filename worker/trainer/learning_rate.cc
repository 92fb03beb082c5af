#include "worker/trainer/learning_rate.h"

#include <cmath>
#include <numbers>

namespace allometry::trainer {
namespace {

// Of the peak, after the warm-up of a schedule that ends.
double FallingFraction(const run::Identity& identity, int64_t step) {
  const double final_fraction = identity.final_rate_fraction;
  if (step <= identity.decay_begin) return 1;
  if (step >= identity.decay_end) return final_fraction;
  const double length = static_cast<double>(identity.decay_end - identity.decay_begin);
  const double gone = static_cast<double>(step - identity.decay_begin);
  if (identity.schedule == run::Schedule::kCosine) {
    const double wave = (1 + std::cos(std::numbers::pi * gone / length)) / 2;
    return final_fraction + (1 - final_fraction) * wave;
  }
  return ((length - gone) + final_fraction * gone) / length;
}

}  // namespace

double LearningRateAt(const run::Identity& identity, int64_t step) {
  if (step < identity.warmup_steps) {
    return identity.learning_rate * static_cast<double>(step) /
           static_cast<double>(identity.warmup_steps);
  }
  if (identity.schedule == run::Schedule::kConstant) return identity.learning_rate;
  return identity.learning_rate * FallingFraction(identity, step);
}

}  // namespace allometry::trainer
