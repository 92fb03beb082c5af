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
      .With(fit.fit_id, fit.sweep_id, run::NameOf(fit.kind), fit.options_json, fit.report_json,
            fit.report_text, fit.version, transaction.now_unix_us)
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

}  // namespace allometry::store
