// What an evaluation measures of a checkpoint beside its loss: the quality of the videos that it
// generates, or what it gets in an environment. Each is a function of (parameters, identity,
// dataset): a step has the same numbers whatever was measured before.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/window_source.h"
#include "run/run_spec.h"
#include "worker/trainer/curve_log.h"

namespace allometry::trainer {

class CheckpointMeasure {
 public:
  virtual ~CheckpointMeasure() = default;

  // Adds its series of `step`. `go_on` is asked now and then: where it says no, the result is false
  // and nothing was added. Errors carry their exit reason (worker/trainer/outcome.h).
  virtual absl::StatusOr<bool> Log(int64_t step, std::span<const float> parameters,
                                   const std::function<bool()>& go_on, CurveLog& curve) = 0;
};

// Real windows [windows, K, frame tokens] of the held-out split: those that are generated again,
// and as many others, disjoint from them (may be empty).
struct RealVideos {
  std::vector<int32_t> windows, others;
};

// Token and cell errors by horizon and Fréchet distances (docs/sweep-file.md). `sources` are of
// windows of `frames` frames; `sources` and `real` outlive it.
absl::StatusOr<std::unique_ptr<CheckpointMeasure>> CreateVideoQuality(
    const std::string& run_dir, const run::RunSpec& spec, const data::WindowSources& sources,
    int64_t frames, const RealVideos& real);

// The returns of a model of objective `action` (clone_player.h) over whole episodes, in groups of
// 128. `manifest` outlives it.
absl::StatusOr<std::unique_ptr<CheckpointMeasure>> CreateCloneReturns(
    const std::string& run_dir, const run::RunSpec& spec, const data::Manifest& manifest);

}  // namespace allometry::trainer
