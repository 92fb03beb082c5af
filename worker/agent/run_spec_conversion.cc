#include "worker/agent/run_spec_conversion.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "data/manifest.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "worker/agent/run_root.h"

namespace allometry::agent {
namespace {

bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::StatusOr<run::StartCheckpoint> ToStartCheckpoint(const v1::Checkpoint& from,
                                                       const std::string& root_id) {
  if (!run::IsCheckpointFile(from.file())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "start checkpoint: '", from.file(), "' is not of the form attempt-K/checkpoint-STEP"));
  }
  if (!from.root_id().empty() && from.root_id() != root_id) {
    return absl::FailedPreconditionError(absl::StrCat("start checkpoint: ", from.file(),
                                                      " is under run root ", from.root_id(),
                                                      ", and this agent's run root is ", root_id));
  }
  return run::StartCheckpoint{from.attempt(), from.step(), from.file(), from.hash(), from.run_id()};
}

}  // namespace

absl::StatusOr<run::RunSpec> ToRunDirSpec(const v1::RunSpec& spec, int attempt,
                                          const std::string& root_id) {
  const std::string& dataset = spec.identity().dataset();
  if (!IsPlainName(dataset) && !data::IsGenerated(dataset)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset: '", spec.identity().dataset(),
                     "' is not a name of letters, digits, '-', '_' and '.'"));
  }
  ALLO_ASSIGN_OR_RETURN(run::RunSpec to, ToRunSpec(spec));
  to.attempt = attempt;
  if (spec.has_start()) {
    ALLO_ASSIGN_OR_RETURN(to.start, ToStartCheckpoint(spec.start(), root_id));
  }
  for (const v1::RunInput& input : spec.inputs()) {
    const std::optional<run::InputKind> kind = KindOf(input);
    if (kind == run::InputKind::kTrunk) continue;  // that is the start
    if (!kind.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("input kind '", input.kind(), "' is none of ",
                                                     run::NamesOf<run::InputKind>()));
    }
    if (!run::IsCheckpointFile(input.file())) {
      return absl::InvalidArgumentError(
          absl::StrCat("input ", input.kind(), ": '", input.file(),
                       "' is not of the form attempt-K/checkpoint-STEP"));
    }
    to.inputs.push_back(
        {*kind, input.run_key(), input.run_id(), input.file(), input.hash(), input.step()});
  }
  return to;
}

}  // namespace allometry::agent
