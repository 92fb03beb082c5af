#include "coordinator/results/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/results/pixel_columns.h"

namespace allometry::coordinator {
namespace {

constexpr int kDefaultPixels = 800;
constexpr int kFewestPixels = 16;
constexpr int kMostPixels = 10'000;
constexpr int64_t kMostPoints = 400'000;  // of all curves together: 7 MB of a reply

enum class Axis { kFlops, kTokens, kSteps };

absl::StatusOr<Axis> ParseAxis(const std::string& name) {
  if (name.empty() || name == "flops") return Axis::kFlops;
  if (name == "tokens") return Axis::kTokens;
  if (name == "steps") return Axis::kSteps;
  return absl::InvalidArgumentError(
      absl::StrCat("x is '", name, "': flops, tokens and steps are the axes there are"));
}

absl::Status CheckPicture(const v1::GetCurvesRequest& request) {
  if (request.pixels() != 0 &&
      (request.pixels() < kFewestPixels || request.pixels() > kMostPixels)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "pixels is %d: allowed are %d to %d", request.pixels(), kFewestPixels, kMostPixels));
  }
  const bool is_range = std::isfinite(request.from_x()) && std::isfinite(request.to_x()) &&
                        request.from_x() >= 0 && request.from_x() <= request.to_x();
  if (is_range) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("the part of the axis from %g to %g: 0 <= from_x <= to_x is allowed, both 0 "
                      "for all of it",
                      request.from_x(), request.to_x()));
}

double XOf(Axis axis, const store::CurveExtent& run, int64_t step, int64_t tokens) {
  if (axis == Axis::kSteps) return static_cast<double>(step);
  const auto x = static_cast<double>(tokens);
  return axis == Axis::kTokens ? x : x * run.flops_per_token;
}

// Those that were asked for. Otherwise all but tokenizers, whose loss is another one, and of the
// loss those that train: a run that evaluates has only the loss on its own windows.
absl::StatusOr<std::vector<store::CurveExtent>> ChosenRuns(const store::Store& store,
                                                           const v1::GetCurvesRequest& request,
                                                           const std::string& series) {
  ALLO_ASSIGN_OR_RETURN(std::vector<store::CurveExtent> runs,
                        store.CurveExtents(request.sweep(), series));
  const std::set<int64_t> wanted(request.run_ids().begin(), request.run_ids().end());
  for (const int64_t run_id : wanted) {
    ALLO_ASSIGN_OR_RETURN(const store::RunRow row, store.GetRun(run_id));
    if (row.sweep == request.sweep()) continue;
    return absl::NotFoundError(absl::StrCat("run ", run_id, " is of sweep '", row.sweep,
                                            "', not of '", request.sweep(), "'"));
  }
  std::erase_if(runs, [&](const store::CurveExtent& run) {
    if (!wanted.empty()) return !wanted.contains(run.run_id);
    return run.stage == "tokenizer" || (run.stage == "evaluate" && series == "heldout");
  });
  return runs;
}

PixelColumns ColumnsOf(const v1::GetCurvesRequest& request, Axis axis,
                       const std::vector<store::CurveExtent>& runs) {
  PixelColumns columns{.from = std::numeric_limits<double>::infinity(),
                       .to = 0,
                       .count = request.pixels() == 0 ? kDefaultPixels : request.pixels(),
                       .log = request.log_x()};
  for (const store::CurveExtent& run : runs) {
    double first = XOf(axis, run, run.first_step, run.first_tokens);
    // A point before the first update has no place on a logarithmic axis.
    if (columns.log && first <= 0)
      first = XOf(axis, run, 1, run.last_tokens / std::max<int64_t>(1, run.last_step));
    columns.from = std::min(columns.from, first);
    columns.to = std::max(columns.to, XOf(axis, run, run.last_step, run.last_tokens));
  }
  columns.from = std::min(columns.from, columns.to);
  if (request.to_x() > 0) {
    columns.from = columns.log ? std::max(request.from_x(), columns.from) : request.from_x();
    columns.to = std::max(columns.from, request.to_x());
  }
  const int64_t most = kMostPoints / 2 / std::max<int64_t>(1, static_cast<int64_t>(runs.size()));
  columns.count = static_cast<int>(std::clamp<int64_t>(most, 2, columns.count));
  return columns;
}

}  // namespace

absl::StatusOr<v1::GetCurvesResponse> GetCurves(const store::Store& store,
                                                const v1::GetCurvesRequest& request) {
  ALLO_ASSIGN_OR_RETURN(const Axis axis, ParseAxis(request.x()));
  ALLO_RETURN_IF_ERROR(CheckPicture(request));
  const std::string series = request.series().empty() ? "heldout" : request.series();
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::CurveExtent> runs,
                        ChosenRuns(store, request, series));
  const PixelColumns columns = ColumnsOf(request, axis, runs);
  Frontier frontier(columns);
  v1::GetCurvesResponse response;
  for (const store::CurveExtent& run : runs) {
    CurveSampler sampler(columns);
    ALLO_RETURN_IF_ERROR(store.ReadCurve(run.run_id, series, [&](const store::CurvePoint& point) {
      if (point.value.has_value()) {
        sampler.Add(XOf(axis, run, point.step, point.tokens), *point.value);
      }
    }));
    sampler.Finish();
    if (sampler.points() == 0) continue;
    // The least of each column is among what was kept.
    for (size_t i = 0; run.stage.empty() && i < sampler.x().size(); ++i) {
      frontier.Add(run.run_id, sampler.x()[i], sampler.y()[i]);
    }
    v1::Curve& curve = *response.add_curves();
    curve.set_run_id(run.run_id);
    curve.set_size(run.size);
    curve.set_params(run.n_params);
    curve.set_seed(run.seed);
    curve.set_learning_rate(run.learning_rate);
    curve.set_stage(run.stage);
    curve.set_state(run.state);
    curve.mutable_x()->Add(sampler.x().begin(), sampler.x().end());
    curve.mutable_y()->Add(sampler.y().begin(), sampler.y().end());
    curve.set_points(sampler.points());
  }
  for (const Frontier::Point& point : frontier.Points()) {
    response.add_frontier_x(point.x);
    response.add_frontier_y(point.y);
    response.add_frontier_run_id(point.run_id);
  }
  const std::optional<int64_t> only_run =
      request.run_ids_size() == 1 ? std::optional<int64_t>(request.run_ids(0)) : std::nullopt;
  ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        store.SeriesOf(request.sweep(), only_run));
  response.mutable_series()->Add(names.begin(), names.end());
  return response;
}

}  // namespace allometry::coordinator
