#include "coordinator/sweep/run_names.h"

#include <charconv>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/schedule.h"
#include "proto/run_choices.h"

namespace allometry::sweep {

std::string Exact(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

std::string Plural(size_t count, absl::string_view word) {
  return absl::StrCat(count, " ", word, count == 1 ? "" : "s");
}

std::string CurveName(const v1::Run& run, absl::Span<const v1::Run> all) {
  const v1::RunIdentity& identity = run.spec().identity();
  bool other_seed = false;
  bool other_rate = false;
  for (const v1::Run& other : all) {
    if (other.size() != run.size()) continue;
    other_seed |= other.spec().identity().seed() != identity.seed();
    other_rate |= other.spec().identity().learning_rate() != identity.learning_rate();
  }
  std::string name = run.size();
  if (other_rate) {
    absl::StrAppend(&name, " learning rate ", Exact(identity.learning_rate()));
  }
  if (other_seed) absl::StrAppend(&name, " seed ", identity.seed());
  return name;
}

std::string RunName(const v1::Run& run, absl::Span<const v1::Run> all) {
  const std::string name = CurveName(run, all);
  if (StageOf(run) == run::Stage::kEvaluate) return absl::StrCat("evaluation of ", name);
  if (IsTrunk(run.spec())) return absl::StrCat("trunk ", name);
  const v1::RunIdentity& identity = run.spec().identity();
  if (ScheduleOf(identity) == run::Schedule::kConstant) return name;
  return absl::StrFormat("%s to step %d", name, identity.decay_end());
}

std::string BudgetText(const v1::Cell& cell) {
  return cell.asked_flops() > 0 ? absl::StrCat(FormatNumber(cell.asked_flops()), " FLOPs")
                                : absl::StrCat(FormatNumber(cell.asked_tokens()), " tokens");
}

}  // namespace allometry::sweep
