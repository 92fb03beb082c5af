// Sweeps as a store would hold them after submissions.
#pragma once

#include <algorithm>
#include <string>

#include "coordinator/sweep/difference.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {

// What a store does with changes, in memory.
inline void Apply(const Changes& changes, StoredSweep& stored) {
  stored.sweep = changes.sweep;
  stored.sweep.set_sweep_id(7);
  for (v1::Run run : changes.new_runs) {
    EXPECT_EQ(run.run_id(), 0);
    run.set_run_id(100 + static_cast<int64_t>(stored.runs.size()));
    stored.runs.push_back(std::move(run));
  }
  for (const ChangedRun& change : changes.changed_runs) {
    for (v1::Run& run : stored.runs) {
      if (run.run_id() != change.run_id) continue;
      EXPECT_EQ(run.key(), change.key);
      *run.mutable_spec() = change.spec;
      if (change.raised) run.set_state(v1::PENDING);
    }
  }
  for (const NewCell& added : changes.new_cells) {
    v1::Cell cell = added.cell;
    const auto run = std::find_if(stored.runs.begin(), stored.runs.end(),
                                  [&](const v1::Run& r) { return r.key() == added.run_key; });
    ASSERT_NE(run, stored.runs.end());
    EXPECT_TRUE(cell.run_id() == 0 || cell.run_id() == run->run_id());
    EXPECT_EQ(cell.cell_id(), 0);
    cell.set_run_id(run->run_id());
    cell.set_cell_id(1000 + static_cast<int64_t>(stored.cells.size()));
    stored.cells.push_back(std::move(cell));
  }
}

inline StoredSweep Stored(absl::string_view yaml) {
  StoredSweep stored;
  const auto expansion = ExpandText(yaml);
  EXPECT_OK(expansion);
  const auto changes = Difference(stored, *expansion);
  EXPECT_OK(changes);
  Apply(*changes, stored);
  return stored;
}

inline absl::StatusOr<Changes> Submit(const StoredSweep& stored, absl::string_view yaml,
                                      const data::Manifest& manifest = Words()) {
  ALLO_ASSIGN_OR_RETURN(const Expansion expansion, ExpandText(yaml, manifest));
  return Difference(stored, expansion);
}

}  // namespace allometry::sweep
