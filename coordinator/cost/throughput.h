// How fast a model of N parameters trains on one device, from what was measured.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "proto/types.pb.h"
#include "run/flops_convention.h"

namespace allometry::cost {

// A forward pass is a third of an update's FLOPs.
inline constexpr double kForwardShare = 1.0 / 3;

// FLOPs a token of the run costs under the convention. A run that evaluates
// checkpoints counts the tokens of the run that trained them: of those EvaluatedShare.
double FlopsPerToken(const v1::Run& run, run::FlopsConvention convention);
// Of a run that evaluates: the FLOPs of generating its videos for each of its checkpoints, 2 N a
// token, as a part of those of the training.
double EvaluatedShare(const v1::RunSpec& spec);
// The update after which the run itself trains: 0, or for a branch the step of its trunk's
// checkpoint.
int64_t FirstStep(const v1::Run& run);
// FLOPs from the run's newest durable step, or its first one, to its last.
double RemainingFlops(const v1::Run& run, run::FlopsConvention convention);

struct ThroughputSample {
  double params = 0;
  double flops_per_s = 0;  // of one device, under the convention of the flops it is used with
};

// Piecewise linear in log N against log rate, constant outside the samples. Small models reach a
// small part of a device's rate, so one number for all sizes would be wrong by 10x and more.
class Throughput {
 public:
  Throughput() = default;
  // Samples that are not positive and finite are dropped; of several at one N the mean counts.
  explicit Throughput(std::vector<ThroughputSample> samples);

  bool known() const { return !samples_.empty(); }
  const std::vector<ThroughputSample>& samples() const { return samples_; }  // ascending in params
  // Unset when nothing was measured.
  std::optional<double> FlopsPerSecond(double params) const;

 private:
  std::vector<ThroughputSample> samples_;
};

}  // namespace allometry::cost
