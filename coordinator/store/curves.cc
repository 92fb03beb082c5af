// What people, exports and fits read of the points.
#include <string>
#include <utility>

#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

absl::StatusOr<std::vector<CurvePoint>> LoadCurve(Connection& db, int64_t run_id,
                                                  absl::string_view series) {
  std::vector<CurvePoint> curve;
  Statement list = db.Prepare(
      "SELECT step, tokens, value, attempt FROM points WHERE run_id = ?1 AND series_id = "
      "(SELECT series_id FROM series WHERE name = ?2) ORDER BY step");
  list.With(run_id, series);
  while (list.Step()) {
    curve.push_back(
        {list.Int(0), list.Int(1), list.OptionalReal(2), static_cast<int32_t>(list.Int(3))});
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return curve;
}

ObservationRow ReadObservation(const Statement& row) {
  ObservationRow observation;
  observation.run_id = row.Int(0);
  observation.size = row.Text(1);
  observation.run_key = row.Text(2);
  observation.seed = row.Int(3);
  observation.learning_rate = row.Real(4);
  observation.params.set_blocks(row.Int(5));
  observation.params.set_token_embedding(row.Int(6));
  observation.params.set_position_embedding(row.Int(7));
  observation.params.set_head(row.Int(8));
  observation.params.set_extra(row.Int(9));
  observation.n_params = row.Int(10);
  observation.flops_per_token_6n = row.Real(11);
  observation.flops_per_token_exact = row.Real(12);
  observation.state = ParseRunState(row.Text(13));
  observation.failure = ParseFailure(row.Text(14));
  observation.step = row.Int(15);
  observation.tokens = row.Int(16);
  observation.loss = row.OptionalReal(17);
  observation.attempt = static_cast<int32_t>(row.Int(18));
  observation.epochs = static_cast<double>(observation.tokens) * row.Real(19);
  observation.ends_cell = row.Int(20) != 0;
  observation.schedule = run::Parse<run::Schedule>(row.Text(21));
  observation.trunk_run_id = row.Int(22);
  observation.stage = run::Parse<run::Stage>(row.Text(23));
  return observation;
}

absl::StatusOr<std::vector<ObservationRow>> LoadObservations(Connection& db,
                                                             absl::string_view sweep,
                                                             absl::string_view series) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::vector<ObservationRow> observations;
  // CROSS JOIN keeps the order of the loops: runs of the sweep, then each one's curve by its key.
  Statement list = db.Prepare(
      "SELECT r.run_id, r.size, r.run_key, r.seed, r.learning_rate, r.params_blocks, "
      "r.params_token_embedding, r.params_position_embedding, r.params_head, r.params_extra, "
      "r.n_params, r.flops_per_token_6n, r.flops_per_token_exact, r.state, r.failure, "
      "p.step, p.tokens, p.value, p.attempt, "
      // Epochs are exact in cells: of windows, with the tokens that the run really reads.
      "(SELECT c.epochs / c.tokens FROM cells AS c WHERE c.run_id = r.run_id "
      "ORDER BY c.step DESC LIMIT 1), "
      "EXISTS (SELECT 1 FROM cells AS c WHERE c.run_id = r.run_id AND c.step = p.step "
      "AND c.stage <> 'ladder'), "
      "r.schedule, (SELECT i.input_run_id FROM run_inputs AS i WHERE i.run_id = r.run_id "
      "AND i.kind = 'trunk'), r.stage "
      "FROM sweeps AS s "
      "CROSS JOIN runs AS r ON r.sweep_id = s.sweep_id AND r.stage <> 'tokenizer' AND NOT EXISTS "
      "(SELECT 1 FROM run_inputs AS b WHERE b.input_run_id = r.run_id AND b.kind = 'trunk') "
      "CROSS JOIN points AS p "
      "ON p.run_id = r.run_id AND p.series_id = (SELECT series_id FROM series WHERE name = ?2) "
      "AND p.step > r.warmup_steps AND (r.schedule = 'constant' OR p.step = r.steps) "
      "WHERE s.sweep_id = ?1 ORDER BY r.run_id, p.step");
  list.With(sweep_id, series);
  while (list.Step()) observations.push_back(ReadObservation(list));
  ALLO_RETURN_IF_ERROR(list.status());
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

}  // namespace

absl::StatusOr<std::vector<CurvePoint>> Store::Curve(int64_t run_id,
                                                     absl::string_view series) const {
  return parts_->readers->Run([&](Connection& db) { return LoadCurve(db, run_id, series); });
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
