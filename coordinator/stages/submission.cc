#include "coordinator/stages/submission.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/stages/stage.h"
#include "coordinator/stages/stages.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/sweep_reader.h"
#include "coordinator/sweep/tokenizer_run.h"
#include "data/manifest.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

// A submission that another one overtakes is compared anew; this many in a row do not happen.
constexpr int kTries = 10;

struct Asked {
  sweep::SweepFile file;
  std::string manifest_json;
  data::Manifest manifest;
  std::string taken_from;  // a line where the manifest did not come with the request; or empty
};

// The manifest that earlier sweeps pinned for a dataset of this name. NotFound where none did,
// FailedPrecondition where they pinned several.
absl::StatusOr<std::string> PinnedManifest(const store::Store& store, const std::string& dataset,
                                           std::string* sweep) {
  constexpr int kMostLookedAt = 100;
  ALLO_ASSIGN_OR_RETURN(const std::vector<v1::Sweep> sweeps, store.ListSweeps());
  std::string pinned;
  int looked_at = 0;
  for (const v1::Sweep& other : sweeps) {
    if (other.dataset() != dataset || ++looked_at > kMostLookedAt) continue;
    const absl::StatusOr<store::SweepSource> source = store.GetSource(other.name());
    if (!source.ok() || source->manifest_json.empty() || source->manifest_json == pinned) continue;
    if (!pinned.empty()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("sweeps %s and %s have different datasets of that name: send the "
                          "dataset.json of the one that is meant",
                          *sweep, other.name()));
    }
    pinned = source->manifest_json;
    *sweep = other.name();
  }
  if (pinned.empty()) return absl::NotFoundError("no sweep of this coordinator has it");
  return pinned;
}

absl::StatusOr<Asked> Read(const store::Store& store, const v1::CreateSweepRequest& request) {
  const std::string& name = request.file_name().empty() ? "sweep" : request.file_name();
  Asked asked;
  ALLO_ASSIGN_OR_RETURN(asked.file, sweep::ParseSweepFile(request.sweep_yaml(), name));
  if (asked.file.trainer && asked.file.trainer->trainer.working_dir.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ":", asked.file.trainer->line,
        ": a file with a trainer is submitted by 'allo submit', which adds the section "
        "submitted: the folder and the hashes of its files"));
  }
  asked.manifest_json = request.manifest_json();
  if (asked.manifest_json.empty()) {
    std::string sweep;
    absl::StatusOr<std::string> pinned = PinnedManifest(store, asked.file.dataset, &sweep);
    if (!pinned.ok()) {
      return absl::Status(
          absl::IsNotFound(pinned.status()) ? absl::StatusCode::kInvalidArgument
                                            : pinned.status().code(),
          absl::StrCat(name, ":", asked.file.dataset_line, ": dataset ", asked.file.dataset,
                       ": its dataset.json was not sent along, and ", pinned.status().message()));
    }
    asked.manifest_json = *std::move(pinned);
    asked.taken_from = absl::StrFormat(
        "dataset %s is taken from the coordinator: as sweep %s has it", asked.file.dataset, sweep);
  }
  ALLO_ASSIGN_OR_RETURN(asked.manifest, data::ParseManifest(asked.manifest_json));
  return asked;
}

// The sweep's rows and decisions; empty of a new one.
struct Known {
  store::StoredSweep stored;
  std::vector<std::string> decisions;
};

absl::StatusOr<Known> Load(const store::Store& store, const std::string& name) {
  Known known;
  // The decisions first: one that comes in between is found by `based_on`.
  if (absl::StatusOr<store::SweepSource> source = store.GetSource(name); source.ok()) {
    known.decisions = std::move(source->decisions);
  } else if (absl::IsNotFound(source.status())) {
    return known;
  } else {
    return source.status();
  }
  ALLO_ASSIGN_OR_RETURN(known.stored, store.GetSweep(name));
  return known;
}

void Fill(const store::StoredSweep& stored, v1::CreateSweepResponse& response) {
  *response.mutable_sweep() = stored.sweep;
  response.mutable_runs()->Add(stored.runs.begin(), stored.runs.end());
  response.mutable_cells()->Add(stored.cells.begin(), stored.cells.end());
}

void FillAsIfDone(const store::StoredSweep& stored, const sweep::Changes& changes,
                  v1::CreateSweepResponse& response) {
  std::map<int64_t, const v1::RunSpec*> changed;
  for (const sweep::ChangedRun& run : changes.changed_runs) changed[run.run_id] = &run.spec;
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
  for (const sweep::NewCell& cell : changes.new_cells) {
    v1::Cell* shown = response.add_cells();
    *shown = cell.cell;
    const auto of_new_run = new_ids.find(cell.run_key);
    if (of_new_run != new_ids.end()) shown->set_run_id(of_new_run->second);
  }
}

// A stage's rule lives in the stored text alone: where it changed, the text must be stored though
// nothing is added yet. Says which.
std::string OtherRule(const sweep::SweepFile& file, const store::StoredSweep& stored) {
  if (stored.sweep.sweep_id() == 0) return "";
  const absl::StatusOr<sweep::SweepFile> before =
      sweep::ParseSweepFile(stored.newest_text, "stored");
  if (!before.ok()) return StageIn(file) != nullptr ? "changes the rule of its stage" : "";
  for (const StageRow* row : StageRows()) {
    const sweep::StageChoice* const old = ChoiceIn(*before, *row);
    const sweep::StageChoice* const now = ChoiceIn(file, *row);
    const bool same = old == nullptr || now == nullptr ? old == now : old->SameAs(*now);
    if (!same) return row->changed_rule;
  }
  return "";
}

// A tokenizer that another sweep trains or has trained is taken from there: it joins the stored
// runs, and its evaluations and checkpoints are that sweep's affair.
absl::Status ShareTokenizer(const store::Store& store, store::StoredSweep& stored,
                            sweep::Expansion& expansion) {
  if (expansion.runs.empty() || StageOf(expansion.runs.front()) != run::Stage::kTokenizer) {
    return absl::OkStatus();
  }
  v1::Run& wanted = expansion.runs.front();
  if (stored.sweep.sweep_id() == 0) {
    ALLO_ASSIGN_OR_RETURN(std::optional<store::TokenizerRun> found,
                          store.FindTokenizer(wanted.key()));
    if (!found.has_value()) return absl::OkStatus();
    stored.runs.push_back(std::move(found->run));
    stored.tokenizer_of = std::move(found->sweep);
  }
  if (!stored.tokenizer_of.empty() && stored.runs.front().key() == wanted.key()) {
    *wanted.mutable_spec() = stored.runs.front().spec();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<sweep::Changes> DifferenceFrom(const store::Store& store,
                                              const store::StoredSweep& known,
                                              const sweep::Expansion& wanted) {
  store::StoredSweep stored = known;
  sweep::Expansion expansion = wanted;
  ALLO_RETURN_IF_ERROR(ShareTokenizer(store, stored, expansion));
  std::map<int64_t, std::vector<int64_t>> checkpoints;
  if (stored.sweep.sweep_id() != 0) {
    ALLO_ASSIGN_OR_RETURN(checkpoints, store.CheckpointSteps(stored.sweep.name()));
  }
  std::string shares;
  if (stored.tokenizer_of != known.tokenizer_of) {
    shares = absl::StrFormat("reads the tokenizer of sweep %s, run %d: it has the same recipe",
                             stored.tokenizer_of, stored.runs.front().run_id());
  }
  ALLO_ASSIGN_OR_RETURN(sweep::Changes changes,
                        sweep::Difference({std::move(stored.sweep), std::move(stored.runs),
                                           std::move(stored.cells), std::move(checkpoints)},
                                          expansion));
  if (!shares.empty()) changes.lines.insert(changes.lines.begin(), std::move(shares));
  return changes;
}

store::Submission ToSubmission(sweep::Changes changes, int64_t based_on) {
  store::Submission submission;
  submission.sweep = std::move(changes.sweep);
  submission.based_on = based_on;
  submission.new_runs = std::move(changes.new_runs);
  for (sweep::NewCell& cell : changes.new_cells) {
    submission.new_cells.push_back({std::move(cell.run_key), std::move(cell.cell)});
  }
  for (sweep::ChangedRun& run : changes.changed_runs) {
    submission.changed_runs.push_back({run.run_id, std::move(run.spec)});
  }
  return submission;
}

absl::StatusOr<v1::CreateSweepResponse> CreateSweep(store::Store& store,
                                                    const v1::CreateSweepRequest& request,
                                                    const store::User& user) {
  ALLO_ASSIGN_OR_RETURN(const Asked asked, Read(store, request));
  const std::string& name = asked.file.name;
  for (int i = 0; i < kTries; ++i) {
    ALLO_ASSIGN_OR_RETURN(const Known known, Load(store, name));
    const store::StoredSweep& stored = known.stored;
    if (!stored.sweep.imported().empty()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "sweep '%s' is imported (%s): its runs were trained elsewhere; choose another name", name,
          stored.sweep.imported()));
    }
    std::vector<v1::StageResult> stages;
    ALLO_ASSIGN_OR_RETURN(
        const sweep::Expansion expansion,
        ExpandAgainst(asked.file, asked.manifest, stored, known.decisions, stages));
    ALLO_ASSIGN_OR_RETURN(sweep::Changes changes, DifferenceFrom(store, stored, expansion));

    v1::CreateSweepResponse response;
    response.set_existed(stored.sweep.sweep_id() != 0);
    const std::string other_rule = OtherRule(asked.file, stored);
    if (!other_rule.empty()) changes.lines.push_back(other_rule);
    if (!changes.lines.empty() && !asked.taken_from.empty()) {
      changes.lines.insert(changes.lines.begin(), asked.taken_from);
    }
    response.mutable_changes()->Add(changes.lines.begin(), changes.lines.end());
    if (changes.empty() && other_rule.empty()) {
      Fill(stored, response);
      return response;
    }
    if (request.dry_run()) {
      FillAsIfDone(stored, changes, response);
      response.mutable_sweep()->mutable_stages()->Add(stages.begin(), stages.end());
      return response;
    }
    store::Submission submission = ToSubmission(std::move(changes), stored.newest_expansion);
    submission.file_name = request.file_name();
    submission.text = request.sweep_yaml();
    submission.user = user;
    submission.dataset = {asked.manifest.hash, asked.manifest.name, asked.manifest_json,
                          asked.manifest.unique_tokens};
    const absl::StatusOr<int64_t> id = store.Submit(submission);
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
