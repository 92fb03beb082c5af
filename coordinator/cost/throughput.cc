#include "coordinator/cost/throughput.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "proto/run_choices.h"

namespace allometry::cost {

double FlopsPerToken(const v1::Run& run, run::FlopsConvention convention) {
  const double trained = convention == run::FlopsConvention::kExact ? run.flops_per_token_exact()
                                                                    : run.flops_per_token_6n();
  return EvaluatedOf(run.spec()) == nullptr ? trained : trained * EvaluatedShare(run.spec());
}

double EvaluatedShare(const v1::RunSpec& spec) {
  const v1::RunIdentity& identity = spec.identity();
  int64_t videos = 0;
  const auto found = identity.settings().find("evaluation.videos");
  if (found == identity.settings().end() || !absl::SimpleAtoi(found->second, &videos)) return 0;
  const double generated = static_cast<double>(videos) * identity.shape().context() *
                           static_cast<double>(spec.evaluation_steps_size());
  const double trained =
      static_cast<double>(spec.steps()) * static_cast<double>(identity.batch_tokens());
  return kForwardShare * generated / trained;
}

int64_t FirstStep(const v1::Run& run) {
  const v1::RunInput* const trunk = TrunkOf(run.spec());
  return trunk == nullptr ? 0 : trunk->step();
}

double RemainingFlops(const v1::Run& run, run::FlopsConvention convention) {
  // An attempt under way has started where it could, which its step says.
  const int64_t from =
      run.state() == v1::LEASED ? run.step() : std::max(run.step(), FirstStep(run));
  const int64_t steps = std::max<int64_t>(0, run.spec().steps() - from);
  return static_cast<double>(steps) * static_cast<double>(run.spec().identity().batch_tokens()) *
         FlopsPerToken(run, convention);
}

Throughput::Throughput(std::vector<ThroughputSample> samples) {
  std::erase_if(samples, [](const ThroughputSample& sample) {
    return !(std::isfinite(sample.params) && sample.params > 0) ||
           !(std::isfinite(sample.flops_per_s) && sample.flops_per_s > 0);
  });
  std::stable_sort(samples.begin(), samples.end(),
                   [](const auto& a, const auto& b) { return a.params < b.params; });
  for (size_t begin = 0; begin < samples.size();) {
    double sum = 0;
    size_t end = begin;
    for (; end < samples.size() && samples[end].params == samples[begin].params; ++end) {
      sum += samples[end].flops_per_s;
    }
    samples_.push_back({samples[begin].params, sum / static_cast<double>(end - begin)});
    begin = end;
  }
}

std::optional<double> Throughput::FlopsPerSecond(double params) const {
  if (samples_.empty()) return std::nullopt;
  if (params <= samples_.front().params) return samples_.front().flops_per_s;
  if (params >= samples_.back().params) return samples_.back().flops_per_s;
  const auto above = std::upper_bound(
      samples_.begin(), samples_.end(), params,
      [](double value, const ThroughputSample& sample) { return value < sample.params; });
  const auto below = above - 1;
  const double weight = std::log(params / below->params) / std::log(above->params / below->params);
  return std::exp((1 - weight) * std::log(below->flops_per_s) +
                  weight * std::log(above->flops_per_s));
}

}  // namespace allometry::cost
