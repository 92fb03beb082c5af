#include "coordinator/results/observations.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/cost/quantity.h"
#include "coordinator/results/csv_field.h"
#include "coordinator/stages/stopping/stopping_stage.h"
#include "proto/run_choices.h"
#include "run/choices.h"

namespace allometry::coordinator {
namespace {

constexpr models::ParamPolicy kPolicies[] = {
    models::ParamPolicy::kPaper, models::ParamPolicy::kTotal, models::ParamPolicy::kNonEmbedding,
    models::ParamPolicy::kActive};

constexpr int64_t kNoCurve = 0;  // run ids begin at 1

int64_t CountUnder(const v1::ParamCounts& stored, models::ParamPolicy policy) {
  models::ParamCounts counts;
  counts.blocks = stored.blocks();
  counts.token_embedding = stored.token_embedding();
  counts.position_embedding = stored.position_embedding();
  counts.head = stored.head();
  counts.extra = stored.extra();
  return models::CountN(counts, policy);
}

// Why a fit does not read the point.
std::optional<std::string> Excluded(const store::ObservationRow& row, const v1::Sweep& sweep,
                                    bool allow_repeat) {
  using run::Exclusion;
  const std::string run = absl::StrFormat("run %d (%s)", row.run_id, row.size);
  switch (run::ExclusionOf(row.run, {row.step, row.epochs, row.loss.has_value()},
                           allow_repeat ? 0 : sweep.max_epochs())) {
    case Exclusion::kNone:
      return std::nullopt;
    case Exclusion::kNotItsStep:
      return absl::StrCat(run, ": not a step that fits read");
    case Exclusion::kLadder:
      return "tuning runs of the learning-rate ladder";
    case Exclusion::kDiverged:
      return absl::StrCat(run, " diverged");
    case Exclusion::kCancelled:
      return absl::StrCat(run, " was cancelled");
    case Exclusion::kNotFinite:
      return absl::StrCat(run, " has a loss that is not finite");
    case Exclusion::kRepeated:
      return absl::StrFormat(
          "%s: its tokens are beyond %g epochs of the dataset (allow_repeat would read them)", run,
          sweep.max_epochs());
  }
  return std::nullopt;
}

// run_id -> the run by whose id its curve goes. A constant run is its own curve. Of falling rates
// every run gives one point, and the points of one (size, rate, seed) are a curve: they share the
// trunk that they branch off, or at least seed and initial weights. It goes by the trunk's id,
// under cosine by the first run's.
// Imported runs share nothing that is known; those that came without a name have no curve.
std::map<int64_t, int64_t> CurveOfRuns(const std::vector<store::ObservationRow>& rows,
                                       bool imported) {
  std::map<int64_t, int64_t> curves;
  std::map<std::tuple<std::string, double, int64_t>, int64_t> first;
  for (const store::ObservationRow& row : rows) {
    int64_t& curve = curves[row.run_id];
    if (imported) {
      curve = absl::StartsWith(row.run_key, run::kUnlabelledKey) ? kNoCurve : row.run_id;
      continue;
    }
    if (row.run.schedule == run::Schedule::kConstant) {
      curve = row.run_id;
    } else if (row.trunk_run_id != 0) {
      curve = row.trunk_run_id;
    } else {
      curve = first.try_emplace({row.size, row.learning_rate, row.seed}, row.run_id).first->second;
    }
  }
  return curves;
}

// Which of the runs read were made under more than one numerics; empty: none.
std::string ExecutionConfigNote(const std::vector<store::ObservationRow>& rows,
                                const std::vector<store::ExecutionConfigChange>& changes) {
  constexpr size_t kListed = 5;
  std::set<int64_t> read, changed;
  for (const store::ObservationRow& row : rows) read.insert(row.run_id);
  std::vector<std::string> list;
  for (const store::ExecutionConfigChange& change : changes) {
    if (read.count(change.run_id) == 0) continue;
    changed.insert(change.run_id);
    list.push_back(absl::StrFormat("run %d (%s) at step %d: %s", change.run_id, change.size,
                                   change.step, change.what));
  }
  if (list.empty()) return "";
  const std::string more =
      list.size() > kListed ? absl::StrFormat("; and %d more", list.size() - kListed) : "";
  list.resize(std::min(list.size(), kListed));
  return absl::StrFormat(
      "%d of %d runs were trained under more than one numerics, so their losses hold to the stated "
      "tolerance and not to the bit: %s%s",
      changed.size(), read.size(), absl::StrJoin(list, "; "), more);
}

bool Equal(const std::vector<double>& counts, const std::vector<fitting::Observation>& points) {
  return std::equal(counts.begin(), counts.end(), points.begin(), points.end(),
                    [](double count, const auto& point) { return count == point.params; });
}

std::string CurveLabel(int64_t curve) { return curve == kNoCurve ? "" : absl::StrCat(curve); }

std::string Number(double value) { return absl::StrFormat("%.17g", value); }

// A damaged decision keeps its sweep from going on (stages.h); it does not keep what is there from
// being fitted.
std::string StoppingNote(absl::Span<const std::string> decisions) {
  const auto stopped = StoppedSizes(decisions);
  if (!stopped.ok() || stopped->empty()) return "";
  return absl::StrCat("sizes that were stopped early have no points beyond: ",
                      absl::StrJoin(*stopped, ", ", [](std::string* out, const auto& size) {
                        absl::StrAppendFormat(out, "%s %s FLOPs", size.first,
                                              cost::FlopsText(size.second));
                      }));
}

}  // namespace

absl::StatusOr<GatheredObservations> GatherObservations(const store::Store& store,
                                                        absl::string_view sweep,
                                                        const ObservationChoice& choice) {
  GatheredObservations gathered;
  ALLO_ASSIGN_OR_RETURN(const store::StoredSweep stored, store.GetSweep(sweep));
  gathered.sweep = stored.sweep;
  ALLO_ASSIGN_OR_RETURN(
      gathered.params_policy,
      models::ParseParamPolicy(choice.params_policy.empty() ? stored.sweep.params_policy()
                                                            : choice.params_policy));
  gathered.flops_convention = ConventionOf(stored.sweep);
  if (!choice.flops_convention.empty()) {
    const auto asked = run::Parse<run::FlopsConvention>(choice.flops_convention);
    if (!asked) {
      return absl::InvalidArgumentError(
          absl::StrFormat("flops_convention '%s' is not known: 6nd and exact are allowed",
                          choice.flops_convention));
    }
    gathered.flops_convention = *asked;
  }
  const bool exact = gathered.flops_convention == run::FlopsConvention::kExact;
  const std::string series = choice.series.empty() ? "heldout" : choice.series;
  if (series != "heldout" && series != "train" && !absl::StartsWith(series, "heldout_")) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "series '%s' is no loss: heldout, train and those of parts of the held-out windows, as "
        "heldout_MEMBER of a union, are allowed",
        series));
  }
  ALLO_ASSIGN_OR_RETURN(std::vector<store::ObservationRow> rows, store.Observations(sweep, series));

  const std::map<int64_t, int64_t> curves = CurveOfRuns(rows, !gathered.sweep.imported().empty());
  gathered.points.params_policy = std::string(models::ParamPolicyName(gathered.params_policy));
  gathered.points.Reserve(rows.size());
  std::map<std::string, int64_t> excluded;
  for (store::ObservationRow& row : rows) {
    if (auto reason = Excluded(row, gathered.sweep, choice.allow_repeat); reason.has_value()) {
      ++excluded[*std::move(reason)];
      continue;
    }
    fitting::Observation point;
    point.params = static_cast<double>(CountUnder(row.params, gathered.params_policy));
    point.tokens = static_cast<double>(row.tokens);
    point.flops =
        exact ? row.flops_per_token_exact * point.tokens : 6 * point.params * point.tokens;
    point.loss = *row.loss;
    point.epochs = row.epochs;
    point.ends_cell = row.ends_cell;
    point.line = static_cast<int64_t>(gathered.rows.size()) + 2;  // after the header, from 1
    if (!gathered.points.Add(point, CurveLabel(curves.at(row.run_id)), row.size)) continue;
    gathered.curves.push_back(curves.at(row.run_id));
    gathered.rows.push_back(std::move(row));
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::ExecutionConfigChange> changes,
                        store.ExecutionConfigChanges(sweep));
  if (std::string note = ExecutionConfigNote(gathered.rows, changes); !note.empty()) {
    gathered.points.AddNote(std::move(note));
  }
  ALLO_ASSIGN_OR_RETURN(const store::SweepSource source, store.GetSource(sweep));
  if (std::string note = StoppingNote(source.decisions); !note.empty()) {
    gathered.points.AddNote(std::move(note));
  }
  for (const auto& [reason, points] : excluded) gathered.points.Exclude(0, reason, points);
  for (const models::ParamPolicy policy : kPolicies) {
    if (policy == gathered.params_policy || gathered.rows.empty()) continue;
    std::vector<double> counts;
    counts.reserve(gathered.rows.size());
    for (const store::ObservationRow& row : gathered.rows) {
      counts.push_back(static_cast<double>(CountUnder(row.params, policy)));
    }
    // Of imported runs one count may be all that is known.
    if (!gathered.sweep.imported().empty() && Equal(counts, gathered.points.points())) continue;
    gathered.points.AddAlternative(std::string(models::ParamPolicyName(policy)), std::move(counts));
  }
  return gathered;
}

std::string ObservationsCsvHeader(const GatheredObservations& gathered) {
  std::string header =
      "sweep,size,run_id,params,tokens,flops,loss,epochs,step,ends_cell,seed,"
      "learning_rate,attempt,run_key,run";
  for (const fitting::Alternative& other : gathered.points.alternatives()) {
    absl::StrAppend(&header, ",params_",
                    other.params_policy == "non-embedding" ? "non_embedding" : other.params_policy);
  }
  return header + "\n";
}

std::string ObservationsCsvRow(const GatheredObservations& gathered, size_t i) {
  const store::ObservationRow& row = gathered.rows[i];
  const fitting::Observation& point = gathered.points.points()[i];
  std::string line = absl::StrCat(CsvField(gathered.sweep.name()), ",", CsvField(row.size), ",",
                                  row.run_id, ",", Number(point.params), ",", Number(point.tokens),
                                  ",", Number(point.flops), ",", Number(point.loss), ",");
  absl::StrAppend(&line, Number(point.epochs), ",", row.step, ",", row.ends_cell ? 1 : 0, ",",
                  row.seed, ",", Number(row.learning_rate), ",", row.attempt, ",", row.run_key, ",",
                  CurveLabel(gathered.curves[i]));
  for (const fitting::Alternative& other : gathered.points.alternatives()) {
    absl::StrAppend(&line, ",", Number(other.params[i]));
  }
  return line + "\n";
}

}  // namespace allometry::coordinator
