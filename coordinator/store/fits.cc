// Fits and what they predicted, kept to be read again and to be scored.
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

absl::Status PutFit(Transaction& transaction, const Fit& fit) {
  return transaction.db
      .Prepare(
          "INSERT OR IGNORE INTO fits (fit_id, sweep_id, kind, options_json, report_json, "
          "report_text, "
          "version, created_unix_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
      .With(fit.fit_id, fit.sweep_id, fit.kind, fit.options_json, fit.report_json, fit.report_text,
            fit.version, transaction.now_unix_us)
      .Run();
}

absl::Status PutPrediction(Connection& db, const std::string& fit_id, const Prediction& predicted) {
  return db
      .Prepare(
          "INSERT OR IGNORE INTO predictions (fit_id, method, flops, params, tokens, loss, "
          "report_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .With(fit_id, predicted.method, predicted.flops, predicted.params, predicted.tokens,
            predicted.loss, predicted.report_json)
      .Run();
}

absl::StatusOr<Fit> LoadFit(Connection& db, absl::string_view fit_id) {
  Statement find = db.Prepare(
      "SELECT fit_id, sweep_id, kind, options_json, report_json, report_text, version, "
      "created_unix_us FROM fits WHERE fit_id = ?1");
  find.With(fit_id);
  if (!find.Step()) {
    ALLO_RETURN_IF_ERROR(find.status());
    return absl::NotFoundError(absl::StrCat("there is no fit '", fit_id, "'"));
  }
  Fit fit;
  fit.fit_id = find.Text(0);
  fit.sweep_id = find.Int(1);
  fit.kind = find.Text(2);
  fit.options_json = find.Text(3);
  fit.report_json = find.Text(4);
  fit.report_text = find.Text(5);
  fit.version = find.Text(6);
  fit.created_unix_us = find.Int(7);
  return fit;
}

absl::StatusOr<std::vector<StoredPrediction>> LoadPredictions(Connection& db, int64_t sweep_id) {
  Statement list = db.Prepare(
      "SELECT fit_id, options_json, created_unix_us, method, flops, params, tokens, loss, "
      "predictions.report_json FROM fits JOIN predictions USING (fit_id) WHERE sweep_id = ?1 "
      "ORDER BY created_unix_us, fit_id, flops, method");
  list.With(sweep_id);
  std::vector<StoredPrediction> predictions;
  while (list.Step()) {
    StoredPrediction& one = predictions.emplace_back();
    one.fit_id = list.Text(0);
    one.options_json = list.Text(1);
    one.created_unix_us = list.Int(2);
    one.prediction = {list.Text(3), list.Real(4), list.Real(5),
                      list.Real(6), list.Real(7), list.Text(8)};
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return predictions;
}

}  // namespace

absl::Status Store::RecordFit(const Fit& fit, absl::Span<const Prediction> predictions) {
  return parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    ALLO_RETURN_IF_ERROR(PutFit(transaction, fit));
    for (const Prediction& predicted : predictions) {
      ALLO_RETURN_IF_ERROR(PutPrediction(transaction.db, fit.fit_id, predicted));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<StoredPrediction>> Store::Predictions(absl::string_view sweep) const {
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<std::vector<StoredPrediction>> {
    ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
    return LoadPredictions(db, sweep_id);
  });
}

absl::StatusOr<Fit> Store::GetFit(absl::string_view fit_id) const {
  return parts_->readers->Run([&](Connection& db) { return LoadFit(db, fit_id); });
}

}  // namespace allometry::store
