// The choices (run/choices.h) of a run, of the text that messages and rows hold. Unset where the
// text is no name that this program knows. An empty text is the default.
#pragma once

#include <optional>

#include "proto/types.pb.h"
#include "run/choices.h"
#include "run/flops_convention.h"

namespace allometry {

inline std::optional<run::Schedule> ScheduleOf(const v1::RunIdentity& identity) {
  if (identity.schedule().empty()) return run::Schedule::kConstant;
  return run::Parse<run::Schedule>(identity.schedule());
}
inline std::optional<run::DeviceKind> DeviceOf(const v1::RunSpec& spec) {
  if (spec.device().empty()) return run::DeviceKind::kCpu;
  return run::Parse<run::DeviceKind>(spec.device());
}
inline std::optional<run::RunKind> KindOf(const v1::RunSpec& spec) {
  if (spec.kind().empty()) return run::RunKind::kTrain;
  return run::Parse<run::RunKind>(spec.kind());
}
inline std::optional<run::InputKind> KindOf(const v1::RunInput& input) {
  return run::Parse<run::InputKind>(input.kind());
}
// What a sweep stores is a name or nothing, which is the default.
inline run::FlopsConvention ConventionOf(const v1::Sweep& sweep) {
  return run::Parse<run::FlopsConvention>(sweep.flops_convention())
      .value_or(run::FlopsConvention::k6nd);
}
inline std::optional<run::Stage> StageOf(const v1::Run& run) {
  return run::Parse<run::Stage>(run.stage());
}
inline std::optional<run::Stage> StageOf(const v1::Cell& cell) {
  return run::Parse<run::Stage>(cell.stage());
}

// The trunk that the run branches off; nullptr: it is no branch.
inline const v1::RunInput* TrunkOf(const v1::RunSpec& spec) {
  for (const v1::RunInput& input : spec.inputs()) {
    if (KindOf(input) == run::InputKind::kTrunk) return &input;
  }
  return nullptr;
}

// Whether others start from the run's checkpoints.
inline bool IsTrunk(const v1::RunSpec& spec) {
  return spec.checkpoint_steps_size() > 0 && !spec.keep_checkpoints();
}

// The run whose checkpoints this one evaluates; nullptr: it evaluates none.
inline const v1::RunInput* EvaluatedOf(const v1::RunSpec& spec) {
  if (KindOf(spec) != run::RunKind::kEvaluate) return nullptr;
  for (const v1::RunInput& input : spec.inputs()) {
    if (KindOf(input) == run::InputKind::kCheckpoint) return &input;
  }
  return nullptr;
}

}  // namespace allometry
