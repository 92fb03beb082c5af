#include "worker/trainer/step_choice.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>
#include <optional>
#include <variant>
#include <vector>

#include "absl/strings/str_format.h"
#include "models/fastest_step.h"
#include "models/train_step.h"
#include "run/spool.h"

namespace allometry::trainer {
namespace {

// Nothing where the attempt recorded none, or its spool cannot be read.
std::optional<run::ExecutionConfig> ExecutionConfigOf(const std::string& run_dir, int attempt) {
  run::SpoolReader reader(run::AttemptDir(run_dir, attempt));
  // They are the first record of an attempt that came as far as its first update.
  const absl::StatusOr<std::vector<run::Record>> records = reader.Read(1);
  if (!records.ok() || records->empty()) return std::nullopt;
  const auto* numerics = std::get_if<run::ExecutionConfig>(&records->front().body);
  if (numerics == nullptr) return std::nullopt;
  return *numerics;
}

struct Earlier {
  run::ExecutionConfig numerics;
  std::string attempt;  // for the log
};

std::optional<Earlier> FindEarlier(const std::string& run_dir, const run::RunSpec& spec) {
  if (spec.start.has_value()) {
    const run::StartCheckpoint& start = *spec.start;
    const std::string dir =
        start.run_id == 0 ? run_dir : absl::StrCat(run_dir, "/../run-", start.run_id);
    if (const auto numerics = ExecutionConfigOf(dir, start.attempt)) {
      return Earlier{*numerics, start.run_id == 0 ? absl::StrCat("attempt ", start.attempt)
                                                  : absl::StrFormat("attempt %d of run %d",
                                                                    start.attempt, start.run_id)};
    }
  }
  for (int attempt = spec.attempt - 1; attempt >= 1; --attempt) {
    if (const auto numerics = ExecutionConfigOf(run_dir, attempt)) {
      return Earlier{*numerics, absl::StrCat("attempt ", attempt)};
    }
  }
  return std::nullopt;
}

bool IsKnown(const std::string& step_backend) {
  const auto rows = models::TrainStepBackends();
  return std::any_of(rows.begin(), rows.end(),
                     [&](const models::TrainStepBackend& row) { return row.name == step_backend; });
}

}  // namespace

absl::StatusOr<StepChoice> ChooseStep(const std::string& run_dir, const run::RunSpec& spec,
                                      const ComputeDevice& device) {
  if (const std::optional<Earlier> earlier = FindEarlier(run_dir, spec);
      earlier.has_value() && earlier->numerics.device_model == device.model &&
      IsKnown(earlier->numerics.step_backend)) {
    return StepChoice{earlier->numerics.step_backend,
                      absl::StrCat("as ", earlier->attempt, " on the same device model")};
  }
  const int64_t sequences = spec.identity.batch_tokens / spec.identity.shape.context;
  const int64_t share = (sequences + spec.ranks - 1) / spec.ranks;
  const int64_t at_once =
      spec.micro_batch == 0 ? share : std::min<int64_t>(spec.micro_batch, share);
  ALLO_ASSIGN_OR_RETURN(
      models::FastestStep fastest,
      models::FindFastestCpuStep(spec.identity.shape, at_once, spec.identity.precision));
  return StepChoice{std::move(fastest.name), fastest.timing.empty()
                                                 ? "the only one that takes the shape"
                                                 : std::move(fastest.timing)};
}

absl::Status AgreeOnStep(comm::Collective& collective, const std::string& run_dir,
                         const run::RunSpec& spec, const ComputeDevice& device, bool log,
                         std::string* step_backend) {
  std::array<char, 64> name = {};
  if (collective.rank() == 0) {
    const absl::StatusOr<StepChoice> choice = ChooseStep(run_dir, spec, device);
    ForgetPeakHostBytes();
    if (choice.ok()) {
      if (log) {
        std::cerr << "training step " << choice->step_backend << ": " << choice->why << std::endl;
      }
      choice->step_backend.copy(name.data(), name.size() - 1);
    }
  }
  ALLO_RETURN_IF_ERROR(collective.Broadcast(std::as_writable_bytes(std::span(name)), 0));
  if (name[0] != '\0') *step_backend = name.data();
  return absl::OkStatus();
}

}  // namespace allometry::trainer
