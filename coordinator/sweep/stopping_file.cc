#include "coordinator/sweep/stopping_file.h"

#include "absl/strings/str_format.h"

namespace allometry::sweep {
namespace {

void CheckGrid(int line, const SweepFile& file, Mistakes& mistakes) {
  constexpr size_t kFewestBudgets = 3;
  if (file.budget_kind != BudgetKind::kFlops && !file.budgets.empty()) {
    mistakes.Add(line,
                 "stopping.frontier compares sizes at equal FLOPs: it needs budgets.flops, not "
                 "budgets in tokens");
  } else if (file.budgets.size() < kFewestBudgets) {
    mistakes.Add(line, absl::StrFormat("stopping.frontier decides from two budgets about the next "
                                       "one: it needs at least %d, and the file has %d",
                                       kFewestBudgets, file.budgets.size()));
  }
  if (file.schedule.kind != run::Schedule::kConstant) {
    mistakes.Add(line, absl::StrFormat("stopping.frontier goes with schedule constant, where a "
                                       "larger budget continues the run; the file has %s",
                                       run::NameOf(file.schedule.kind)));
  }
  if (file.ladder) {
    mistakes.Add(line,
                 "stopping.frontier does not go with a learning-rate ladder: sizes get their "
                 "budgets one after the other in either; give the rates that a ladder has found");
  }
}

}  // namespace

void ReadStopping(const Field& stopping, absl::Span<const Section> sections, SweepFile& file,
                  Mistakes& mistakes) {
  const Fields fields(stopping, "stopping", sections, mistakes);
  if (!stopping.node.IsMap()) return;
  StoppingChoice choice;
  bool frontier = false;
  if (const auto field =
          fields.Require("frontier", "true: small sizes stop when the frontier has passed them")) {
    frontier = ReadFlag(*field, mistakes).value_or(false);
  }
  fields.Real("margin", {0, 1}, &choice.margin);
  if (!frontier) return;
  CheckGrid(stopping.line, file, mistakes);
  file.stopping = choice;
}

}  // namespace allometry::sweep
