#include "coordinator/stages/imported_sweep.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "coordinator/sweep/sweep_file.h"
#include "run/choices.h"
#include "run/flops_convention.h"
#include "run/observation.h"
#include "run/run_spec.h"

namespace allometry::coordinator {
namespace {

using google::protobuf::RepeatedField;

// A submission that another one overtakes is compared anew; this many in a row do not happen.
constexpr int kTries = 10;
constexpr double kMostFlopsPerToken = 1e18;

const std::string& Or(const std::string& text, const std::string& otherwise) {
  return text.empty() ? otherwise : text;
}

absl::Status Wrong(const v1::ImportedRun& run, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrFormat("run '%s': %s", run.name(), what));
}

absl::Status CheckSeries(const v1::ImportedRun& run, absl::string_view series,
                         const RepeatedField<int64_t>& tokens, int losses) {
  if (tokens.size() != losses) {
    return Wrong(run, absl::StrFormat("%s has %d tokens and %d losses: as many are needed", series,
                                      tokens.size(), losses));
  }
  int64_t before = 0;
  for (const int64_t at : tokens) {
    if (at <= before) {
      return Wrong(run, absl::StrFormat("%s has D = %d after %d: tokens ascend, from 1", series, at,
                                        before));
    }
    before = at;
  }
  return absl::OkStatus();
}

absl::Status CheckRun(const v1::ImportedRun& run) {
  if (run.name().empty()) return absl::InvalidArgumentError("a run has no name");
  if (run.params() < 1 || run.params_non_embedding() < 0 ||
      run.params_non_embedding() > run.params()) {
    return Wrong(run, absl::StrFormat("N is %d, without embeddings %d: allowed are at least 1, and "
                                      "no more without embeddings than with them",
                                      run.params(), run.params_non_embedding()));
  }
  if (!(run.flops_per_token() >= 0) || !(run.flops_per_token() <= kMostFlopsPerToken)) {
    return Wrong(run, absl::StrFormat("it has %g FLOPs per token: 0 to %g are allowed",
                                      run.flops_per_token(), kMostFlopsPerToken));
  }
  if (!(run.epochs_per_token() >= 0) || !(run.epochs_per_token() <= 1)) {
    return Wrong(run, absl::StrFormat("it has %g epochs per token: 0 to 1 are allowed",
                                      run.epochs_per_token()));
  }
  if (run.tokens().empty()) return Wrong(run, "it has no held-out loss");
  ALLO_RETURN_IF_ERROR(CheckSeries(run, "heldout", run.tokens(), run.losses_size()));
  ALLO_RETURN_IF_ERROR(CheckSeries(run, "train", run.train_tokens(), run.train_losses_size()));
  if (run.ends_cell_size() != run.tokens_size() ||
      std::none_of(run.ends_cell().begin(), run.ends_cell().end(),
                   [](bool ends) { return ends; })) {
    return Wrong(run, "ends_cell is as long as its tokens, with one true at least");
  }
  return absl::OkStatus();
}

absl::Status Check(const v1::ImportSweepRequest& request) {
  if (!sweep::IsName(request.name())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("'%s' is not a name: %s", absl::CHexEscape(request.name().substr(0, 80)),
                        sweep::kAllowedNames));
  }
  if (request.source().empty()) return absl::InvalidArgumentError("the import has no source");
  const std::string policy = Or(request.params_policy(), "total");
  if (policy != "total" && policy != "non-embedding") {
    return absl::InvalidArgumentError(absl::StrFormat(
        "params_policy '%s' is not known here: total and non-embedding are allowed", policy));
  }
  if (!request.flops_convention().empty() &&
      !run::Parse<run::FlopsConvention>(request.flops_convention())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("flops_convention '%s' is not known: 6nd and exact are allowed",
                        request.flops_convention()));
  }
  if (!request.schedule().empty() && !run::Parse<run::Schedule>(request.schedule())) {
    return absl::InvalidArgumentError(absl::StrFormat("schedule '%s' is not known: allowed are %s",
                                                      request.schedule(),
                                                      run::NamesOf<run::Schedule>()));
  }
  if (!request.dataset().empty() && !sweep::IsName(request.dataset())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset '%s' is not a name: %s",
                        absl::CHexEscape(request.dataset().substr(0, 80)), sweep::kAllowedNames));
  }
  if (request.runs().empty()) return absl::InvalidArgumentError("the import has no run");
  std::set<std::string> names;
  for (const v1::ImportedRun& run : request.runs()) {
    ALLO_RETURN_IF_ERROR(CheckRun(run));
    if (!names.insert(run.name()).second) return Wrong(run, "it is there twice");
  }
  return absl::OkStatus();
}

std::string KeyOf(const v1::ImportedRun& run) {
  return absl::StrCat(run.is_one_row() ? run::kUnlabelledKey : "",
                      HashHex(absl::StrCat("imported\n", run.name())));
}

v1::Run ToRun(const v1::ImportSweepRequest& request, const v1::ImportedRun& imported) {
  v1::Run run;
  run.set_key(KeyOf(imported));
  run.set_size(imported.size());
  v1::ParamCounts& counts = *run.mutable_params();
  const int64_t blocks =
      imported.params_non_embedding() > 0 ? imported.params_non_embedding() : imported.params();
  counts.set_blocks(blocks);
  counts.set_token_embedding(imported.params() - blocks);
  run.set_n_params(request.params_policy() == "non-embedding" ? blocks : imported.params());
  run.set_flops_per_token_6n(6.0 * static_cast<double>(run.n_params()));
  run.set_flops_per_token_exact(imported.flops_per_token() > 0 ? imported.flops_per_token()
                                                               : run.flops_per_token_6n());
  v1::RunSpec& spec = *run.mutable_spec();
  spec.set_kind(run::kImportedKind);
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.mutable_shape()->set_family(run::kExternalFamily);
  identity.mutable_shape()->set_context(1);
  identity.set_dataset(Or(request.dataset(), "external"));
  identity.set_batch_tokens(1);
  identity.set_schedule(request.schedule());
  (*identity.mutable_settings())["name"] = imported.name();
  spec.set_ranks(1);
  return run;
}

// The points of a series that are not stored yet. FailedPrecondition: one is, with another loss.
absl::StatusOr<std::vector<store::CurvePoint>> NewPoints(const store::Store& store,
                                                         const v1::ImportedRun& run, int64_t run_id,
                                                         const char* series,
                                                         const RepeatedField<int64_t>& tokens,
                                                         const RepeatedField<double>& losses) {
  std::map<int64_t, std::optional<double>> stored;
  if (run_id > 0) {
    ALLO_ASSIGN_OR_RETURN(const std::vector<store::CurvePoint> curve, store.Curve(run_id, series));
    for (const store::CurvePoint& point : curve) stored[point.step] = point.value;
  }
  std::vector<store::CurvePoint> added;
  for (int i = 0; i < tokens.size(); ++i) {
    const std::optional<double> loss =
        std::isfinite(losses[i]) ? std::optional(losses[i]) : std::nullopt;
    const auto found = stored.find(tokens[i]);
    if (found == stored.end()) {
      added.push_back({tokens[i], tokens[i], loss, 0});
    } else if (found->second != loss) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "run '%s' is stored with the %s loss %.17g at D = %d, not %.17g: an import never changes "
          "what is stored; choose another name for the sweep",
          run.name(), series, found->second.value_or(NAN), tokens[i], losses[i]));
    }
  }
  return added;
}

// The stored sweep by what an import compares.
struct Known {
  std::map<std::string, const v1::Run*> runs;           // by key
  std::map<int64_t, std::map<int64_t, int64_t>> cells;  // run_id -> step -> cell_id
};

absl::Status AddRun(const store::Store& store, const v1::ImportSweepRequest& request,
                    const v1::ImportedRun& imported, const Known& known,
                    store::Submission& submission, v1::ImportSweepResponse& response) {
  v1::Run run = ToRun(request, imported);
  const auto found = known.runs.find(run.key());
  const v1::Run* const stored = found == known.runs.end() ? nullptr : found->second;
  if (stored != nullptr &&
      (stored->params().SerializeAsString() != run.params().SerializeAsString() ||
       stored->flops_per_token_exact() != run.flops_per_token_exact())) {
    return absl::FailedPreconditionError(
        absl::StrFormat("run '%s' is stored with N = %d and %.17g FLOPs per token, not %d and "
                        "%.17g: an import never "
                        "changes what is stored; choose another name for the sweep",
                        imported.name(), stored->n_params(), stored->flops_per_token_exact(),
                        run.n_params(), run.flops_per_token_exact()));
  }
  const int64_t run_id = stored == nullptr ? 0 : stored->run_id();
  ALLO_ASSIGN_OR_RETURN(
      std::vector<store::CurvePoint> heldout,
      NewPoints(store, imported, run_id, "heldout", imported.tokens(), imported.losses()));
  ALLO_ASSIGN_OR_RETURN(std::vector<store::CurvePoint> train,
                        NewPoints(store, imported, run_id, "train", imported.train_tokens(),
                                  imported.train_losses()));
  v1::RunSpec spec = stored == nullptr ? run.spec() : stored->spec();
  spec.set_steps(std::max(spec.steps(), *imported.tokens().rbegin()));
  const bool exact =
      run::Parse<run::FlopsConvention>(request.flops_convention()) == run::FlopsConvention::kExact;
  bool new_cell = false;
  for (int i = 0; i < imported.tokens_size(); ++i) {
    const int64_t tokens = imported.tokens(i);
    if (!imported.ends_cell(i)) continue;
    if (run_id > 0 && known.cells.count(run_id) > 0 && known.cells.at(run_id).count(tokens) > 0) {
      continue;
    }
    new_cell = true;
    spec.add_evaluation_steps(tokens);
    store::NewCell& cell = submission.new_cells.emplace_back();
    cell.run_key = run.key();
    cell.cell.set_size(run.size());
    cell.cell.set_params(run.n_params());
    cell.cell.set_asked_tokens(static_cast<double>(tokens));
    cell.cell.set_tokens(tokens);
    cell.cell.set_step(tokens);
    cell.cell.set_flops((exact ? run.flops_per_token_exact() : run.flops_per_token_6n()) *
                        static_cast<double>(tokens));
    cell.cell.set_epochs(imported.epochs_per_token() * static_cast<double>(tokens));
  }
  const int64_t points = static_cast<int64_t>(heldout.size() + train.size());
  response.set_new_points(response.new_points() + points);
  if (stored == nullptr) {
    response.set_new_runs(response.new_runs() + 1);
    *run.mutable_spec() = std::move(spec);
    const std::string key = run.key();
    submission.new_runs.push_back(std::move(run));
    submission.imported_points.push_back({key, false, std::move(heldout)});
    submission.imported_points.push_back({key, true, std::move(train)});
    return absl::OkStatus();
  }
  if (points == 0 && !new_cell) return absl::OkStatus();
  std::sort(spec.mutable_evaluation_steps()->begin(), spec.mutable_evaluation_steps()->end());
  submission.changed_runs.push_back({run_id, std::move(spec)});
  submission.imported_points.push_back({run.key(), false, std::move(heldout)});
  submission.imported_points.push_back({run.key(), true, std::move(train)});
  return absl::OkStatus();
}

// What an import may not change of its sweep.
absl::Status CheckSame(const v1::Sweep& stored, const v1::Sweep& asked) {
  if (stored.imported().empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "sweep '%s' is trained here, of its sweep file: choose another name for what "
        "is imported",
        stored.name()));
  }
  if (stored.params_policy() == asked.params_policy() &&
      stored.flops_convention() == asked.flops_convention() &&
      stored.dataset() == asked.dataset()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "sweep '%s' is stored with params %s, flops %s and dataset %s, not %s, %s and %s: choose "
      "another name for the sweep",
      stored.name(), stored.params_policy(), stored.flops_convention(), stored.dataset(),
      asked.params_policy(), asked.flops_convention(), asked.dataset()));
}

absl::StatusOr<store::StoredSweep> Load(const store::Store& store, const std::string& name) {
  absl::StatusOr<store::StoredSweep> stored = store.GetSweep(name);
  if (absl::IsNotFound(stored.status())) return store::StoredSweep();
  return stored;
}

}  // namespace

absl::StatusOr<v1::ImportSweepResponse> ImportSweep(store::Store& store,
                                                    const v1::ImportSweepRequest& request,
                                                    const store::User& user) {
  ALLO_RETURN_IF_ERROR(Check(request));
  v1::Sweep asked;
  asked.set_name(request.name());
  asked.set_dataset(Or(request.dataset(), "external"));
  asked.set_params_policy(Or(request.params_policy(), "total"));
  asked.set_flops_convention(
      Or(request.flops_convention(), run::NameOf(run::FlopsConvention::k6nd)));
  asked.set_imported(request.source());
  *asked.mutable_left_out() = request.left_out();
  for (int i = 0; i < kTries; ++i) {
    ALLO_ASSIGN_OR_RETURN(const store::StoredSweep stored, Load(store, request.name()));
    v1::ImportSweepResponse response;
    response.set_existed(stored.sweep.sweep_id() != 0);
    if (response.existed()) ALLO_RETURN_IF_ERROR(CheckSame(stored.sweep, asked));
    Known known;
    for (const v1::Run& run : stored.runs) known.runs[run.key()] = &run;
    for (const v1::Cell& cell : stored.cells) {
      known.cells[cell.run_id()][cell.step()] = cell.cell_id();
    }
    store::Submission submission;
    submission.sweep = asked;
    submission.sweep.set_sweep_id(stored.sweep.sweep_id());
    submission.based_on = stored.newest_expansion;
    submission.file_name = request.source();
    submission.user = user;
    submission.dataset = {HashHex(absl::StrCat("imported\n", asked.dataset())), asked.dataset(), "",
                          0};
    for (const v1::ImportedRun& run : request.runs()) {
      ALLO_RETURN_IF_ERROR(AddRun(store, request, run, known, submission, response));
    }
    submission.event =
        absl::StrFormat("imported: %d new runs, %d new points (%s)", response.new_runs(),
                        response.new_points(), request.source());
    const bool adds = !submission.imported_points.empty();
    *response.mutable_sweep() = adds ? submission.sweep : stored.sweep;
    if (!adds || request.dry_run()) return response;
    const absl::StatusOr<int64_t> id = store.Submit(submission);
    if (absl::IsAborted(id.status()) || absl::IsAlreadyExists(id.status())) continue;
    ALLO_RETURN_IF_ERROR(id.status());
    ALLO_ASSIGN_OR_RETURN(store::StoredSweep after, store.GetSweep(request.name()));
    *response.mutable_sweep() = std::move(after.sweep);
    return response;
  }
  return absl::AbortedError(absl::StrCat(
      "sweep '", request.name(), "' is being changed by others at this moment: import again"));
}

}  // namespace allometry::coordinator
