#include "models/fastest_step.h"

#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/split_mix.h"
#include "models/micro_batch.h"

namespace allometry::models {
namespace {

constexpr double kMargin = 1.15;
constexpr double kMostBytes = 128.0 * (1 << 20);
constexpr double kSeconds = 0.5;
constexpr int kRounds = 6;  // the first of which touches memory for the first time
constexpr int kFewestRounds = 2;
constexpr double kLongSeconds = 5;  // one round of so long has no second one

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Candidate {
  const char* name;
  std::unique_ptr<TrainStep> step;
  double seconds = std::numeric_limits<double>::infinity();  // of an update, the least so far
};

absl::StatusOr<std::vector<Candidate>> Candidates(const Shape& shape, const ParameterLayout& layout,
                                                  run::Precision precision) {
  std::vector<Candidate> candidates;
  for (const TrainStepBackend& row : TrainStepBackends()) {
    absl::StatusOr<std::unique_ptr<TrainStep>> step =
        row.create(shape, layout, Device(), precision);
    if (absl::IsUnimplemented(step.status())) continue;
    ALLO_RETURN_IF_ERROR(step.status());
    candidates.push_back({row.name, *std::move(step)});
  }
  return candidates;
}

int64_t TimedSequences(const Shape& shape, int64_t sequences, run::Precision precision) {
  const int fewer = MicroBatchFor(shape, sequences, kMostBytes, precision);
  return fewer == 0 ? sequences : fewer;
}

absl::Status Time(const Shape& shape, const ParameterLayout& layout, int64_t sequences,
                  std::vector<Candidate>& candidates) {
  // Any values of the usual size do: normal ones would take longer to draw than to use.
  std::vector<float> parameters(static_cast<size_t>(layout.size));
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i] = 0.04f * (0x1p-24f * static_cast<float>(SplitMix(i) >> 40)) - 0.02f;
  }
  std::vector<int32_t> tokens(static_cast<size_t>(sequences * shape.context));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(SplitMix(i) % static_cast<uint64_t>(shape.vocabulary));
  }
  const Batch batch = {sequences, shape.context, tokens, tokens};
  const double begin = CpuSeconds();
  for (int round = 0; round < kRounds; ++round) {
    const double spent = CpuSeconds() - begin;
    if (spent > (round < kFewestRounds ? kLongSeconds : kSeconds)) break;
    for (Candidate& candidate : candidates) {
      std::vector<float> gradient(static_cast<size_t>(candidate.step->gradient_size()));
      double loss = 0;
      const double start = CpuSeconds();
      candidate.step->RoundParameters(parameters);
      ALLO_RETURN_IF_ERROR(candidate.step->LossAndGradient(parameters, batch, 1, gradient, &loss));
      candidate.seconds = std::min(candidate.seconds, CpuSeconds() - start);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FastestStep> FindFastestCpuStep(const Shape& shape, int64_t sequences,
                                               run::Precision precision) {
  ALLO_ASSIGN_OR_RETURN(const ParameterLayout layout, LayoutOf(shape));
  ALLO_ASSIGN_OR_RETURN(std::vector<Candidate> candidates, Candidates(shape, layout, precision));
  if (candidates.size() < 2) {
    std::string chosen;
    ALLO_RETURN_IF_ERROR(
        CreateTrainStep("auto", shape, layout, Device(), &chosen, precision).status());
    return FastestStep{chosen, ""};
  }
  const int64_t timed = TimedSequences(shape, sequences, precision);
  ALLO_RETURN_IF_ERROR(Time(shape, layout, timed, candidates));
  const Candidate* fastest = &candidates[0];
  std::string timing;
  for (const Candidate& candidate : candidates) {
    absl::StrAppendFormat(&timing, "%s%s %.3g ms", timing.empty() ? "" : ", ", candidate.name,
                          1e3 * candidate.seconds);
    if (candidate.seconds * kMargin < fastest->seconds) fastest = &candidate;
  }
  return FastestStep{fastest->name,
                     absl::StrFormat("%s of CPU time for %d sequences", timing, timed)};
}

}  // namespace allometry::models
