#include "coordinator/stages/stage.h"

#include "coordinator/stages/ladder/ladder_stage.h"
#include "coordinator/stages/stopping/stopping_stage.h"

namespace allometry::coordinator {
namespace {

constexpr StageRow kRows[] = {
    {run::Stage::kLadder, "changes the rule of the learning-rate ladder",
     [](const sweep::SweepFile& file) { return file.ladder.has_value(); },
     [](const sweep::SweepFile& a, const sweep::SweepFile& b) {
       return a.ladder.has_value() == b.ladder.has_value() &&
              (!a.ladder.has_value() || a.ladder->SameAs(*b.ladder));
     },
     &LadderStep},
    {run::Stage::kStopping, "changes the rule of early stopping",
     [](const sweep::SweepFile& file) { return file.stopping.has_value(); },
     [](const sweep::SweepFile& a, const sweep::SweepFile& b) { return a.stopping == b.stopping; },
     &StoppingStep},
};

}  // namespace

std::span<const StageRow> StageRows() { return kRows; }

const StageRow* StageIn(const sweep::SweepFile& file) {
  for (const StageRow& row : kRows) {
    if (row.is_in(file)) return &row;
  }
  return nullptr;
}

}  // namespace allometry::coordinator
