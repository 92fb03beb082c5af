#include "coordinator/sweep/stopping_expansion.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace allometry::sweep {
namespace {

void Shorten(int64_t last, v1::RunSpec& spec) {
  spec.set_steps(last);
  auto& steps = *spec.mutable_evaluation_steps();
  steps.erase(std::upper_bound(steps.begin(), steps.end(), last), steps.end());
}

}  // namespace

Expansion UpTo(const Expansion& whole, const std::map<std::string, double>& most_flops) {
  Expansion part;
  part.sweep = whole.sweep;
  part.schedule = whole.schedule;
  std::map<int64_t, std::vector<const v1::Cell*>> cells_of;  // by run
  for (const v1::Cell& cell : whole.cells) cells_of[cell.run_id()].push_back(&cell);
  for (v1::Run run : whole.runs) {
    const auto most = most_flops.find(run.size());
    const std::vector<const v1::Cell*>& cells = cells_of[run.run_id()];
    if (cells.empty()) {  // a tokenizer, which the others read
      run.set_run_id(static_cast<int64_t>(part.runs.size()) + 1);
      part.runs.push_back(std::move(run));
      continue;
    }
    int64_t last = 0;
    for (const v1::Cell* wanted : cells) {
      if (most == most_flops.end() || wanted->asked_flops() > most->second) continue;
      v1::Cell cell = *wanted;
      last = std::max(last, cell.step());
      cell.set_run_id(static_cast<int64_t>(part.runs.size()) + 1);
      cell.set_cell_id(static_cast<int64_t>(part.cells.size()) + 1);
      part.cells.push_back(std::move(cell));
    }
    if (last == 0) continue;
    run.set_run_id(static_cast<int64_t>(part.runs.size()) + 1);
    Shorten(last, *run.mutable_spec());
    part.runs.push_back(std::move(run));
  }
  part.sweep.set_runs(static_cast<int>(part.runs.size()));
  part.sweep.set_cells(static_cast<int>(part.cells.size()));
  return part;
}

}  // namespace allometry::sweep
