// What people, exports and fits read of the points.
#include <string>
#include <utility>

#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

// What every observation of a run has in common; `epochs` is set to those of one token.
ObservationRow ReadRun(const Statement& row) {
  ObservationRow run;
  run.run_id = row.Int(0);
  run.size = row.Text(1);
  run.run_key = row.Text(2);
  run.seed = row.Int(3);
  run.learning_rate = row.Real(4);
  run.params.set_blocks(row.Int(5));
  run.params.set_token_embedding(row.Int(6));
  run.params.set_position_embedding(row.Int(7));
  run.params.set_head(row.Int(8));
  run.params.set_extra(row.Int(9));
  run.n_params = row.Int(10);
  run.flops_per_token_6n = row.Real(11);
  run.flops_per_token_exact = row.Real(12);
  run.state = ParseRunState(row.Text(13));
  run.failure = ParseFailure(row.Text(14));
  run.run.stage = run::Parse<run::Stage>(row.Text(15));
  run.run.schedule = run::Parse<run::Schedule>(row.Text(16));
  run.run.warmup_steps = row.Int(17);
  run.run.steps = row.Int(18);
  run.trunk_run_id = row.Int(19);
  run.run.is_trunk = row.Int(20) != 0;
  run.run.diverged = run.failure == v1::DIVERGED;
  run.run.cancelled = run.state == v1::RUN_CANCELLED;
  run.epochs = row.Real(21);
  return run;
}

absl::StatusOr<std::vector<ObservationRow>> LoadObservations(Connection& db,
                                                             absl::string_view sweep,
                                                             absl::string_view series) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::vector<ObservationRow> observations;
  Statement runs = db.Prepare(
      "SELECT r.run_id, r.size, r.run_key, r.seed, r.learning_rate, r.params_blocks, "
      "r.params_token_embedding, r.params_position_embedding, r.params_head, r.params_extra, "
      "r.n_params, r.flops_per_token_6n, r.flops_per_token_exact, r.state, r.failure, r.stage, "
      "r.schedule, r.warmup_steps, r.steps, "
      "(SELECT i.input_run_id FROM run_inputs AS i WHERE i.run_id = r.run_id "
      "AND i.kind = 'trunk'), "
      "EXISTS (SELECT 1 FROM run_inputs AS b WHERE b.input_run_id = r.run_id "
      "AND b.kind = 'trunk'), "
      // Epochs are exact in cells: of windows, with the tokens that the run really reads.
      "(SELECT c.epochs / c.tokens FROM cells AS c WHERE c.run_id = r.run_id "
      "ORDER BY c.step DESC LIMIT 1) "
      "FROM runs AS r WHERE r.sweep_id = ?1 ORDER BY r.run_id");
  runs.With(sweep_id);
  while (runs.Step()) {
    const ObservationRow run = ReadRun(runs);
    const run::StepRange steps = run::ObservedSteps(run.run);
    if (steps.last <= steps.after) continue;
    Statement points = db.Prepare(
        "SELECT p.step, p.tokens, p.value, p.attempt, "
        "EXISTS (SELECT 1 FROM cells AS c WHERE c.run_id = p.run_id AND c.step = p.step "
        "AND c.stage <> 'ladder') "
        "FROM points AS p WHERE p.run_id = ?1 "
        "AND p.series_id = (SELECT series_id FROM series WHERE name = ?2) "
        "AND p.step > ?3 AND p.step <= ?4 ORDER BY p.step");
    points.With(run.run_id, series, steps.after, steps.last);
    while (points.Step()) {
      ObservationRow& observation = observations.emplace_back(run);
      observation.step = points.Int(0);
      observation.tokens = points.Int(1);
      observation.loss = points.OptionalReal(2);
      observation.attempt = static_cast<int32_t>(points.Int(3));
      observation.ends_cell = points.Int(4) != 0;
      observation.epochs = static_cast<double>(observation.tokens) * run.epochs;
    }
    ALLO_RETURN_IF_ERROR(points.status());
  }
  ALLO_RETURN_IF_ERROR(runs.status());
  return observations;
}

absl::StatusOr<std::vector<ExportedPoint>> LoadPage(Connection& db, absl::string_view sweep,
                                                    absl::string_view series, const PointKey& after,
                                                    int limit) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::vector<ExportedPoint> page;
  // The row comparison is a range of the table's key, so a page costs its own rows only.
  Statement list = db.Prepare(
      "SELECT p.run_id, p.series_id, p.step, r.size, s.name, p.tokens, p.value, p.attempt "
      "FROM points AS p CROSS JOIN runs AS r USING (run_id) CROSS JOIN series AS s "
      "USING (series_id) "
      "WHERE (p.run_id, p.series_id, p.step) > (?2, ?3, ?4) AND r.sweep_id = ?1 "
      "AND p.run_id BETWEEN (SELECT min(run_id) FROM runs WHERE sweep_id = ?1) "
      "AND (SELECT max(run_id) FROM runs WHERE sweep_id = ?1) "
      "AND (?5 = '' OR s.name = ?5) ORDER BY p.run_id, p.series_id, p.step LIMIT ?6");
  list.With(sweep_id, after.run_id, after.series_id, after.step, series, limit);
  while (list.Step()) {
    ExportedPoint point;
    point.key = {list.Int(0), list.Int(1), list.Int(2)};
    point.size = list.Text(3);
    point.series = list.Text(4);
    point.point = {list.Int(2), list.Int(5), list.OptionalReal(6),
                   static_cast<int32_t>(list.Int(7))};
    page.push_back(std::move(point));
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return page;
}

absl::StatusOr<std::vector<CurveExtent>> LoadExtents(Connection& db, absl::string_view sweep,
                                                     absl::string_view series) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::vector<CurveExtent> extents;
  // Each end of a curve is one seek.
  Statement list = db.Prepare(
      "SELECT r.run_id, r.size, r.n_params, r.seed, r.learning_rate, r.stage, r.state, "
      "iif(s.flops_convention = 'exact', r.flops_per_token_exact, r.flops_per_token_6n), "
      "a.step, a.tokens, z.step, z.tokens "
      "FROM runs AS r JOIN sweeps AS s USING (sweep_id) "
      "JOIN points AS a ON a.run_id = r.run_id AND a.series_id = ?2 AND a.step = "
      "(SELECT min(step) FROM points WHERE run_id = r.run_id AND series_id = ?2) "
      "JOIN points AS z ON z.run_id = r.run_id AND z.series_id = ?2 AND z.step = "
      "(SELECT max(step) FROM points WHERE run_id = r.run_id AND series_id = ?2) "
      "WHERE r.sweep_id = ?1 ORDER BY r.run_id");
  Statement find = db.Prepare("SELECT series_id FROM series WHERE name = ?1");
  find.With(series);
  if (!find.Step()) {
    ALLO_RETURN_IF_ERROR(find.status());
    return extents;
  }
  list.With(sweep_id, find.Int(0));
  while (list.Step()) {
    CurveExtent& extent = extents.emplace_back();
    extent.run_id = list.Int(0);
    extent.size = list.Text(1);
    extent.n_params = list.Int(2);
    extent.seed = list.Int(3);
    extent.learning_rate = list.Real(4);
    extent.stage = list.Text(5);
    extent.state = ParseRunState(list.Text(6));
    extent.flops_per_token = list.Real(7);
    extent.first_step = list.Int(8);
    extent.first_tokens = list.Int(9);
    extent.last_step = list.Int(10);
    extent.last_tokens = list.Int(11);
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return extents;
}

absl::Status VisitCurve(Connection& db, int64_t run_id, absl::string_view series,
                        const std::function<void(const CurvePoint&)>& visit) {
  Statement list = db.Prepare(
      "SELECT step, tokens, value, attempt FROM points WHERE run_id = ?1 AND series_id = "
      "(SELECT series_id FROM series WHERE name = ?2) ORDER BY step");
  list.With(run_id, series);
  while (list.Step()) {
    visit({list.Int(0), list.Int(1), list.OptionalReal(2), static_cast<int32_t>(list.Int(3))});
  }
  return list.status();
}

absl::StatusOr<std::vector<std::string>> LoadSeries(Connection& db, absl::string_view sweep,
                                                    std::optional<int64_t> run_id) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::vector<std::string> names;
  Statement list = db.Prepare(
      run_id.has_value()
          ? "SELECT name FROM series AS s WHERE EXISTS (SELECT 1 FROM runs AS r CROSS JOIN points "
            "AS p ON p.run_id = r.run_id AND p.series_id = s.series_id "
            "WHERE r.run_id = ?2 AND r.sweep_id = ?1) ORDER BY series_id"
          : "SELECT name FROM series AS s WHERE EXISTS (SELECT 1 FROM runs AS r CROSS JOIN points "
            "AS p ON p.run_id = r.run_id AND p.series_id = s.series_id WHERE r.sweep_id = ?1) "
            "ORDER BY series_id");
  list.With(sweep_id);
  if (run_id.has_value()) list.With(sweep_id, *run_id);
  while (list.Step()) names.push_back(list.Text(0));
  ALLO_RETURN_IF_ERROR(list.status());
  return names;
}

}  // namespace

absl::StatusOr<std::vector<CurveExtent>> Store::CurveExtents(absl::string_view sweep,
                                                             absl::string_view series) const {
  return parts_->readers->Run([&](Connection& db) { return LoadExtents(db, sweep, series); });
}

absl::Status Store::ReadCurve(int64_t run_id, absl::string_view series,
                              const std::function<void(const CurvePoint&)>& visit) const {
  return parts_->readers->Run(
      [&](Connection& db) { return VisitCurve(db, run_id, series, visit); });
}

absl::StatusOr<std::vector<std::string>> Store::SeriesOf(absl::string_view sweep,
                                                         std::optional<int64_t> run_id) const {
  return parts_->readers->Run([&](Connection& db) { return LoadSeries(db, sweep, run_id); });
}

absl::StatusOr<std::vector<CurvePoint>> Store::Curve(int64_t run_id,
                                                     absl::string_view series) const {
  std::vector<CurvePoint> curve;
  ALLO_RETURN_IF_ERROR(
      ReadCurve(run_id, series, [&](const CurvePoint& point) { curve.push_back(point); }));
  return curve;
}

absl::StatusOr<std::vector<ObservationRow>> Store::Observations(absl::string_view sweep,
                                                                absl::string_view series) const {
  return parts_->readers->Run([&](Connection& db) { return LoadObservations(db, sweep, series); });
}

absl::StatusOr<std::vector<ExportedPoint>> Store::ExportPoints(absl::string_view sweep,
                                                               absl::string_view series,
                                                               const PointKey& after,
                                                               int limit) const {
  return parts_->readers->Run(
      [&](Connection& db) { return LoadPage(db, sweep, series, after, limit); });
}

}  // namespace allometry::store
