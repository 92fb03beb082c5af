#include "coordinator/submission.h"

#include <map>
#include <utility>

#include "coordinator/grid/difference.h"
#include "coordinator/grid/expansion.h"
#include "coordinator/grid/sweep_file.h"
#include "data/manifest.h"

namespace allometry::coordinator {
namespace {

// A submission that another one overtakes is compared anew; this many in a row do not happen.
constexpr int kTries = 10;

struct Asked {
  grid::Expansion expansion;
  data::Manifest manifest;
};

absl::StatusOr<Asked> Read(const v1::CreateSweepRequest& request) {
  const std::string& name = request.file_name().empty() ? "sweep" : request.file_name();
  ALLO_ASSIGN_OR_RETURN(const grid::SweepFile file,
                        grid::ParseSweepFile(request.sweep_yaml(), name));
  if (request.manifest_json().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ":", file.dataset_line, ": dataset ", file.dataset,
                     ": its dataset.json must be sent along, and none was"));
  }
  Asked asked;
  ALLO_ASSIGN_OR_RETURN(asked.manifest, data::ParseManifest(request.manifest_json()));
  ALLO_ASSIGN_OR_RETURN(asked.expansion, grid::Expand(file, asked.manifest));
  return asked;
}

store::Submission ToSubmission(const v1::CreateSweepRequest& request, const Asked& asked,
                               const store::StoredSweep& stored, grid::Changes changes) {
  store::Submission submission;
  submission.sweep = std::move(changes.sweep);
  submission.based_on = stored.newest_expansion;
  submission.file_name = request.file_name();
  submission.text = request.sweep_yaml();
  submission.dataset = {asked.manifest.hash, asked.manifest.name, request.manifest_json(),
                        asked.manifest.unique_tokens};
  submission.new_runs = std::move(changes.new_runs);
  for (grid::NewCell& cell : changes.new_cells) {
    submission.new_cells.push_back({std::move(cell.run_key), std::move(cell.cell)});
  }
  for (grid::ChangedRun& run : changes.changed_runs) {
    submission.changed_runs.push_back({run.run_id, std::move(run.spec)});
  }
  return submission;
}

void Fill(const store::StoredSweep& stored, v1::CreateSweepResponse& response) {
  *response.mutable_sweep() = stored.sweep;
  response.mutable_runs()->Add(stored.runs.begin(), stored.runs.end());
  response.mutable_cells()->Add(stored.cells.begin(), stored.cells.end());
}

void FillAsIfDone(const store::StoredSweep& stored, const grid::Changes& changes,
                  v1::CreateSweepResponse& response) {
  std::map<int64_t, const v1::RunSpec*> changed;
  for (const grid::ChangedRun& run : changes.changed_runs) changed[run.run_id] = &run.spec;
  *response.mutable_sweep() = changes.sweep;
  for (const v1::Run& run : stored.runs) {
    v1::Run* shown = response.add_runs();
    *shown = run;
    if (const auto found = changed.find(run.run_id()); found != changed.end()) {
      *shown->mutable_spec() = *found->second;
    }
  }
  // Ids that no run has, so that each new cell says which new run it is of.
  std::map<std::string, int64_t> new_ids;
  for (const v1::Run& run : changes.new_runs) {
    v1::Run* shown = response.add_runs();
    *shown = run;
    shown->set_run_id(-1 - static_cast<int64_t>(new_ids.size()));
    new_ids[run.key()] = shown->run_id();
  }
  response.mutable_cells()->Add(stored.cells.begin(), stored.cells.end());
  for (const grid::NewCell& cell : changes.new_cells) {
    v1::Cell* shown = response.add_cells();
    *shown = cell.cell;
    const auto of_new_run = new_ids.find(cell.run_key);
    if (of_new_run != new_ids.end()) shown->set_run_id(of_new_run->second);
  }
}

}  // namespace

absl::StatusOr<v1::CreateSweepResponse> CreateSweep(store::Store& store,
                                                    const v1::CreateSweepRequest& request) {
  ALLO_ASSIGN_OR_RETURN(const Asked asked, Read(request));
  const std::string& name = asked.expansion.sweep.name();
  for (int i = 0; i < kTries; ++i) {
    store::StoredSweep stored;
    std::map<int64_t, std::vector<int64_t>> checkpoints;
    if (absl::StatusOr<store::StoredSweep> found = store.GetSweep(name); found.ok()) {
      stored = *std::move(found);
      ALLO_ASSIGN_OR_RETURN(checkpoints, store.CheckpointSteps(name));
    } else if (!absl::IsNotFound(found.status())) {
      return found.status();
    }
    ALLO_ASSIGN_OR_RETURN(
        grid::Changes changes,
        grid::Difference({stored.sweep, stored.runs, stored.cells, std::move(checkpoints)},
                         asked.expansion));

    v1::CreateSweepResponse response;
    response.set_existed(stored.sweep.sweep_id() != 0);
    response.mutable_changes()->Add(changes.lines.begin(), changes.lines.end());
    if (changes.empty()) {
      Fill(stored, response);
      return response;
    }
    if (request.dry_run()) {
      FillAsIfDone(stored, changes, response);
      return response;
    }
    const absl::StatusOr<int64_t> id =
        store.Submit(ToSubmission(request, asked, stored, std::move(changes)));
    if (absl::IsAborted(id.status()) || absl::IsAlreadyExists(id.status())) continue;
    ALLO_RETURN_IF_ERROR(id.status());
    ALLO_ASSIGN_OR_RETURN(const store::StoredSweep after, store.GetSweep(name));
    Fill(after, response);
    return response;
  }
  return absl::AbortedError(
      absl::StrCat("sweep '", name, "' is being changed by others at this moment: submit again"));
}

}  // namespace allometry::coordinator
