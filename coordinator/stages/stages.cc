#include "coordinator/stages/stages.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/stages/stage.h"
#include "coordinator/stages/submission.h"
#include "coordinator/sweep/difference.h"
#include "coordinator/sweep/sweep_reader.h"

namespace allometry::coordinator {
namespace {

// A decision that another submission overtakes is taken anew; this many in a row do not happen.
constexpr int kTries = 10;
// A tuning cell inside a longer run is done before its run ends, which no commit of a run tells;
// and a store that could not write is tried again.
constexpr std::chrono::seconds kBetweenLooks(2);

bool HasEnded(const v1::Run& run) {
  return run.state() != v1::PENDING && run.state() != v1::LEASED;
}

}  // namespace

absl::StatusOr<sweep::Expansion> ExpandAgainst(const sweep::SweepFile& file,
                                               const data::Manifest& manifest,
                                               const store::StoredSweep& stored,
                                               absl::Span<const std::string> decisions,
                                               std::vector<v1::StageResult>& stages) {
  stages.clear();
  const StageRow* const stage = StageIn(file);
  if (stage == nullptr) return sweep::Expand(file, manifest);
  ALLO_ASSIGN_OR_RETURN(StageStep step,
                        stage->step({file, manifest, stored, decisions}, /*decide=*/false));
  stages.push_back(std::move(step.result));
  return std::move(step.expansion);
}

void Stages::Committed(absl::Span<const store::RunRow> rows) {
  MutexLock lock(mutex_);
  for (const store::RunRow& row : rows) {
    const auto state = states_.find(row.sweep);
    if (state == states_.end() || !HasEnded(row.run)) continue;
    // The thread asks the store, so it must not sleep through what this commit says.
    due_.insert(row.sweep);
    changed_.NotifyAll();
  }
}

absl::Status Stages::Start(store::Store& store, std::function<void()> submitted) {
  store_ = &store;
  submitted_ = std::move(submitted);
  ALLO_ASSIGN_OR_RETURN(const std::vector<v1::Sweep> sweeps, store.ListSweeps());
  for (const v1::Sweep& sweep : sweeps) {
    if (sweep.being_deleted()) continue;
    if (const absl::Status status = Advance(sweep.name()); !status.ok()) {
      // One sweep's trouble is said and shown with it; it does not keep the others from serving.
      std::cerr << "allo-coordinator: stages of sweep " << sweep.name() << ": " << status.message()
                << std::endl;
    }
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Stages::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Stages::Run() {
  for (;;) {
    std::set<std::string> sweeps;
    {
      MutexLock lock(mutex_);
      if (due_.empty() && !stopping_) changed_.WaitFor(lock, kBetweenLooks);
      if (stopping_) return;
      sweeps.swap(due_);
      for (const auto& [name, state] : states_) {
        if (state.is_active) sweeps.insert(name);
      }
    }
    for (const std::string& sweep : sweeps) Advance(sweep).IgnoreError();  // shown with the sweep
  }
}

absl::Status Stages::Advance(const std::string& sweep) {
  bool submitted = false;
  absl::Status status;
  {
    MutexLock deciding(deciding_);
    absl::StatusOr<State> state = Decide(sweep, submitted);
    status = state.status();
    MutexLock lock(mutex_);
    if (absl::IsNotFound(status)) {  // it was deleted
      states_.erase(sweep);
      parsed_.erase(sweep);
    } else if (!status.ok()) {
      // What it was stays, with what hinders it; the next look tries again.
      State& shown = states_[sweep];
      if (shown.results.empty()) shown.results.emplace_back().set_name("stage");
      v1::StageResult& result = shown.results.back();
      const std::string line = absl::StrCat("cannot go on: ", status.message());
      if (result.lines().empty() || *result.lines().rbegin() != line) result.add_lines(line);
    } else if (state->results.empty()) {
      states_.erase(sweep);
      parsed_.erase(sweep);
    } else {
      states_[sweep] = *std::move(state);
    }
  }
  if (submitted) submitted_();
  feed_.Announce();
  return status;
}

absl::StatusOr<const Stages::Parsed*> Stages::Parse(const std::string& sweep,
                                                    const store::SweepSource& source) {
  const auto known = parsed_.find(sweep);
  if (known != parsed_.end() && known->second.text == source.text &&
      known->second.manifest_json == source.manifest_json) {
    return &known->second;
  }
  Parsed parsed;
  parsed.text = source.text;
  parsed.manifest_json = source.manifest_json;
  ++files_parsed_;
  ALLO_ASSIGN_OR_RETURN(parsed.file, sweep::ParseSweepFile(source.text, source.file_name));
  if (StageIn(parsed.file) != nullptr) {
    ALLO_ASSIGN_OR_RETURN(parsed.manifest, data::ParseManifest(source.manifest_json));
  }
  return &(parsed_[sweep] = std::move(parsed));
}

absl::StatusOr<Stages::State> Stages::Decide(const std::string& sweep, bool& submitted) {
  for (int i = 0; i < kTries; ++i) {
    // The rows first: a submission between the two reads is found by `based_on`.
    ALLO_ASSIGN_OR_RETURN(const store::SweepSource source, store_->GetSource(sweep));
    // Most sweeps have no stage, and are not parsed to see that.
    const auto rows = StageRows();
    if (std::none_of(rows.begin(), rows.end(), [&](const StageRow* row) {
          return absl::StrContains(source.text, row->name);
        })) {
      return State();
    }
    ALLO_ASSIGN_OR_RETURN(const Parsed* parsed, Parse(sweep, source));
    const sweep::SweepFile& file = parsed->file;
    const data::Manifest& manifest = parsed->manifest;
    const StageRow* const stage = StageIn(file);
    if (stage == nullptr) return State();
    ALLO_ASSIGN_OR_RETURN(const store::StoredSweep stored, store_->GetSweep(sweep));
    if (stored.newest_text != source.text) continue;
    ALLO_ASSIGN_OR_RETURN(StageStep step,
                          stage->step({file, manifest, stored, source.decisions}, /*decide=*/true));
    ALLO_ASSIGN_OR_RETURN(sweep::Changes changes, DifferenceFrom(*store_, stored, step.expansion));
    const State state{{step.result}, step.is_active};
    const bool adds = !changes.new_runs.empty() || !changes.new_cells.empty();
    if (!adds && !step.decides) return state;

    step.sentences.insert(step.sentences.begin(), step.result.name());
    step.sentences.push_back(absl::StrCat(changes.new_runs.size(), " new runs, ",
                                          changes.new_cells.size(), " new cells"));
    store::Submission submission = ToSubmission(std::move(changes), stored.newest_expansion);
    submission.event = absl::StrJoin(step.sentences, ": ");
    submission.kind = store::ExpansionKind::kStage;
    submission.file_name = source.file_name;
    submission.text = std::move(step.text);
    submission.dataset = {manifest.hash, manifest.name, source.manifest_json,
                          manifest.unique_tokens};
    const absl::StatusOr<int64_t> id = store_->Submit(submission);
    if (absl::IsAborted(id.status())) continue;
    ALLO_RETURN_IF_ERROR(id.status());
    submitted = true;
    return state;
  }
  return absl::AbortedError(absl::StrCat("sweep '", sweep, "' is being changed by others"));
}

std::vector<v1::StageResult> Stages::Results(const std::string& sweep) const {
  MutexLock lock(mutex_);
  const auto state = states_.find(sweep);
  return state == states_.end() ? std::vector<v1::StageResult>() : state->second.results;
}

bool Stages::IsActive(const std::string& sweep) const {
  MutexLock lock(mutex_);
  const auto state = states_.find(sweep);
  return state != states_.end() && state->second.is_active;
}

}  // namespace allometry::coordinator
