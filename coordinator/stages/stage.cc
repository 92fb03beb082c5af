#include "coordinator/stages/stage.h"

namespace allometry::coordinator {

// Each is defined in its stage's file.
extern const StageRow kLadderStage, kStoppingStage;

namespace {

constexpr const StageRow* kRows[] = {&kLadderStage, &kStoppingStage};

}  // namespace

std::span<const StageRow* const> StageRows() { return kRows; }

const sweep::StageChoice* ChoiceIn(const sweep::SweepFile& file, const StageRow& row) {
  if (row.choice != nullptr) return row.choice(file);
  const auto found = file.stages.find(row.name);
  return found == file.stages.end() ? nullptr : found->second.get();
}

const StageRow* StageIn(const sweep::SweepFile& file) {
  for (const StageRow* row : kRows) {
    if (ChoiceIn(file, *row) != nullptr) return row;
  }
  return nullptr;
}

}  // namespace allometry::coordinator
