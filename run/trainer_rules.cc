#include "run/trainer_rules.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "run/json_fields.h"
#include "run/placeholders.h"

namespace allometry::run {
namespace {

constexpr size_t kNamedSteps = 5;

bool IsLoss(const std::string& series) { return series == "train" || series == "heldout"; }

}  // namespace

bool CanDo(const Trainer& trainer, absl::string_view what) {
  if (trainer.capabilities.empty()) return true;
  const auto named = StringsOf(trainer.capabilities);
  return named.ok() && std::find(named->begin(), named->end(), what) != named->end();
}

TrainerRules::TrainerRules(RunSpec spec) : spec_(std::move(spec)) {
  const int64_t start = spec_.start.has_value() ? spec_.start->step : 0;
  if (CanDo(spec_.identity.trainer, "evaluation_steps")) {
    awaited_.insert(spec_.evaluation_steps.begin(), spec_.evaluation_steps.end());
  } else if (!spec_.evaluation_steps.empty()) {
    awaited_.insert(spec_.evaluation_steps.back());
  }
  awaited_.erase(awaited_.begin(), awaited_.upper_bound(start));
  const Json size =
      Json::parse(spec_.identity.trainer.size.text, nullptr, /*allow_exceptions=*/false);
  if (!size.is_object()) return;
  if (const auto params = size.find("params");
      params != size.end() && params->is_number_integer()) {
    params_ = params->get<int64_t>();
  }
}

std::optional<ExitRecord> TrainerRules::Check(const Record& record) {
  diverged_ = false;
  const std::string problem =
      std::visit([this](const auto& body) { return Problem(body); }, record.body);
  if (problem.empty()) return std::nullopt;
  return ExitRecord{
      diverged_ ? ExitReason::kDiverged : ExitReason::kBug,
      diverged_ ? problem : absl::StrFormat("record %d: %s", record.sequence, problem), 0};
}

std::string TrainerRules::Problem(const ExecutionConfig& numerics) const {
  const std::string& contract = numerics.contract;
  if (!contract.empty() && contract != kContractMajor &&
      !absl::StartsWith(contract, absl::StrCat(kContractMajor, "."))) {
    return absl::StrFormat(
        "the trainer follows version %s of the trainer's contract; known here "
        "is %s, and any %s.x",
        contract, kContractVersion, kContractMajor);
  }
  if (numerics.params != 0 && params_ != 0 && numerics.params != params_) {
    return absl::StrFormat(
        "the trainer counts %d parameters in its model, and the sweep file says "
        "%d: one of them is wrong",
        numerics.params, params_);
  }
  return "";
}

std::string TrainerRules::Problem(const Point& point) {
  if (point.step < 0 || point.step > spec_.steps) {
    return absl::StrFormat("%s at step %d: allowed are 0 to %d, the run's last", point.series,
                           point.step, spec_.steps);
  }
  const auto [last, first] = last_step_.emplace(point.series, point.step);
  if (!first && point.step <= last->second) {
    return absl::StrFormat("%s at step %d after step %d: the steps of a series ascend",
                           point.series, point.step, last->second);
  }
  last->second = point.step;
  if (!IsLoss(point.series)) return "";
  const int64_t tokens = point.step * spec_.identity.batch_tokens;
  if (point.tokens != tokens) {
    return absl::StrFormat("%s at step %d has %d tokens: %d updates of batch_tokens %d are %d",
                           point.series, point.step, point.tokens, point.step,
                           spec_.identity.batch_tokens, tokens);
  }
  if (!point.value.has_value()) {
    diverged_ = true;
    return absl::StrFormat("the %s loss at step %d is not finite", point.series, point.step);
  }
  if (point.series == "heldout") awaited_.erase(point.step);
  return "";
}

std::string TrainerRules::Problem(const CheckpointRecord& checkpoint) const {
  if (checkpoint.step < 1 || checkpoint.step > spec_.steps) {
    return absl::StrFormat("a checkpoint at step %d: allowed are 1 to %d", checkpoint.step,
                           spec_.steps);
  }
  const std::string folder = absl::StrFormat("attempt-%d/", spec_.attempt);
  if (!IsCheckpointFile(checkpoint.file) || !absl::StartsWith(checkpoint.file, folder)) {
    return absl::StrFormat(
        "a checkpoint's file '%s': allowed is %scheckpoint-STEP, with an ending "
        "if you like",
        checkpoint.file, folder);
  }
  const std::string& hash = checkpoint.hash;
  if ((hash.size() != 8 && hash.size() != 16) ||
      hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::StrFormat(
        "a checkpoint's hash '%s': allowed are 8 hexadecimal digits (CRC-32) or "
        "16 (XXH3)",
        hash);
  }
  return "";
}

std::string TrainerRules::Problem(const ExitRecord& exit) const {
  if (exit.reason != ExitReason::kSucceeded) return "";
  if (exit.step != spec_.steps) {
    return absl::StrFormat("it ended as SUCCEEDED at step %d: the run's last is %d", exit.step,
                           spec_.steps);
  }
  if (awaited_.empty()) return "";
  std::vector<int64_t> named(awaited_.begin(), awaited_.end());
  const size_t more = named.size() > kNamedSteps ? named.size() - kNamedSteps : 0;
  named.resize(named.size() - more);
  return absl::StrFormat("it ended as SUCCEEDED without the held-out loss at step %s%s",
                         absl::StrJoin(named, ", "),
                         more > 0 ? absl::StrFormat(" and %d more", more) : "");
}

}  // namespace allometry::run
