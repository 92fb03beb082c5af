#include "cli/import_request.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/format.h"

namespace allometry::cli {
namespace {

using fitting::Observation;
using fitting::Observations;

constexpr double kRounding = 1e-6;   // relative: of a count that is no whole number
constexpr double kSameFlops = 1e-3;  // relative: C that was written with a few digits

absl::StatusOr<int64_t> Whole(double value, absl::string_view what, const std::string& place) {
  const double rounded = std::round(value);
  if (rounded >= 1 && rounded < 9e18 && std::abs(value - rounded) <= kRounding * value) {
    return static_cast<int64_t>(rounded);
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: %s is %.17g, which is no whole number of 1 or more (--unit says where a column is in "
      "millions or billions)",
      place, what, value));
}

struct Point {
  const Observation* observation;
  int64_t tokens;
};

// One label's points, ascending in D.
absl::Status Order(std::vector<Point>& points, const std::string& name, const PlaceOf& place) {
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& a, const Point& b) { return a.tokens < b.tokens; });
  for (size_t i = 1; i < points.size(); ++i) {
    if (points[i].tokens != points[i - 1].tokens) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: run '%s' has D = %d twice, first at %s: runs need names of their own "
                        "(--column run=none makes every row a run)",
                        place(points[i].observation->line), name, points[i].tokens,
                        place(points[i - 1].observation->line)));
  }
  return absl::OkStatus();
}

struct Counts {
  int64_t total = 0, non_embedding = 0;
};

absl::StatusOr<Counts> CountsOf(const Observations& observations, size_t i, const PlaceOf& place) {
  const Observation& point = observations.points()[i];
  Counts counts;
  ALLO_ASSIGN_OR_RETURN(counts.total, Whole(point.params, "N", place(point.line)));
  const bool without = observations.params_policy == "non-embedding";
  if (without) counts.non_embedding = counts.total;
  for (const fitting::Alternative& other : observations.alternatives()) {
    if (other.params_policy != (without ? "total" : "non-embedding")) continue;
    ALLO_ASSIGN_OR_RETURN(
        const int64_t count,
        Whole(other.params[i], absl::StrCat(other.params_policy, " N"), place(point.line)));
    (without ? counts.total : counts.non_embedding) = count;
  }
  return counts;
}

// FLOPs of a token where the table has C, and it is not 6 N D.
double FlopsPerToken(const Observation& point) {
  const double six = 6 * point.params * point.tokens;
  if (point.flops <= 0 || std::abs(point.flops - six) <= 1e-9 * six) return 0;
  return point.flops / point.tokens;
}

absl::StatusOr<v1::ImportedRun> ToRun(const Observations& observations, const std::string& name,
                                      const std::vector<Point>& points, bool mark_all,
                                      bool mark_last, const PlaceOf& place) {
  const auto index = [&](const Point& point) {
    return static_cast<size_t>(point.observation - observations.points().data());
  };
  const Observation& last = *points.back().observation;
  v1::ImportedRun run;
  run.set_name(name);
  ALLO_ASSIGN_OR_RETURN(const Counts counts, CountsOf(observations, index(points.back()), place));
  run.set_params(counts.total);
  run.set_params_non_embedding(counts.non_embedding);
  run.set_flops_per_token(FlopsPerToken(last));
  run.set_size(last.family >= 0 ? observations.families()[last.family] : Short(last.params));
  if (last.epochs > 0) run.set_epochs_per_token(last.epochs / last.tokens);
  for (const Point& point : points) {
    const Observation& row = *point.observation;
    if (row.params != last.params) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: run '%s' has N = %.17g, and %.17g at %s: a run has one size",
                          place(row.line), name, row.params, last.params, place(last.line)));
    }
    if (std::abs(FlopsPerToken(row) - run.flops_per_token()) > kSameFlops * run.flops_per_token()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: run '%s' has C / D = %.6g, and %.6g at %s: a run has one cost per token (--column "
          "C=none leaves C at 6 N D)",
          place(row.line), name, row.compute() / row.tokens, last.compute() / last.tokens,
          place(last.line)));
    }
    if (row.weight != 1) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: the row has weight %g, and a sweep has none (--column weight=none leaves it out)",
          place(row.line), row.weight));
    }
    run.add_tokens(point.tokens);
    run.add_losses(row.loss);
    run.add_ends_cell(mark_all || row.ends_cell);
  }
  const bool none =
      std::none_of(run.ends_cell().begin(), run.ends_cell().end(), [](bool ends) { return ends; });
  if (mark_last || none) run.set_ends_cell(run.ends_cell_size() - 1, true);
  return run;
}

// One label is one N: the shorter text of two sizes may be the same.
void TellSizesApart(v1::ImportSweepRequest& request) {
  std::map<std::string, std::map<int64_t, int>> by_label;
  for (const v1::ImportedRun& run : request.runs()) ++by_label[run.size()][run.params()];
  for (v1::ImportedRun& run : *request.mutable_runs()) {
    if (by_label[run.size()].size() > 1) {
      run.set_size(absl::StrCat(run.size(), " ", run.params()));
    }
  }
}

}  // namespace

absl::StatusOr<v1::ImportSweepRequest> ToImportRequest(const Observations& observations,
                                                       bool curves, const PlaceOf& place) {
  v1::ImportSweepRequest request;
  if (observations.params_policy == "non-embedding") request.set_params_policy("non-embedding");
  std::vector<std::pair<std::string, std::vector<Point>>> runs;  // in the order of their first rows
  std::map<int32_t, size_t> of_label;
  bool marked = false;
  for (const Observation& point : observations.points()) {
    ALLO_ASSIGN_OR_RETURN(const int64_t tokens, Whole(point.tokens, "D", place(point.line)));
    marked |= point.ends_cell;
    if (point.run < 0) {
      runs.push_back({absl::StrCat("line ", point.line), {{&point, tokens}}});
      continue;
    }
    const auto [found, added] = of_label.try_emplace(point.run, runs.size());
    if (added) runs.push_back({observations.runs()[point.run], {}});
    runs[found->second].second.push_back({&point, tokens});
  }
  for (auto& [name, points] : runs) {
    ALLO_RETURN_IF_ERROR(Order(points, name, place));
    ALLO_ASSIGN_OR_RETURN(v1::ImportedRun run, ToRun(observations, name, points, !curves && !marked,
                                                     curves && !marked, place));
    run.set_is_one_row(points.front().observation->run < 0);
    if (run.flops_per_token() > 0) request.set_flops_convention("exact");
    *request.add_runs() = std::move(run);
  }
  TellSizesApart(request);
  return request;
}

void AddTrainLosses(const Observations& observations, v1::ImportSweepRequest& request) {
  std::map<std::string, std::map<int64_t, double>> curves;
  for (const Observation& point : observations.points()) {
    if (point.run < 0) continue;
    curves[observations.runs()[point.run]][std::llround(point.tokens)] = point.loss;
  }
  for (v1::ImportedRun& run : *request.mutable_runs()) {
    for (const auto& [tokens, loss] : curves[run.name()]) {
      if (tokens < 1) continue;
      run.add_train_tokens(tokens);
      run.add_train_losses(loss);
    }
  }
}

}  // namespace allometry::cli
