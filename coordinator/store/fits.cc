// Fits and what they predicted, kept to be read again and to be scored.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "coordinator/store/parts.h"

namespace allometry::store {
namespace {

absl::Status PutFit(Transaction& transaction, const std::string& fit_id, const Fit& fit) {
  return transaction.db
      .Prepare(
          "INSERT INTO fits (fit_id, sweep_id, kind, options_json, report_json, report_text, "
          "version, created_unix_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
      .With(fit_id, fit.sweep_id, fit.kind, fit.options_json, fit.report_json, fit.report_text,
            fit.version, transaction.now_unix_us)
      .Run();
}

absl::Status PutPrediction(Connection& db, const std::string& fit_id, const Prediction& predicted) {
  return db
      .Prepare(
          "INSERT OR REPLACE INTO predictions (fit_id, flops, params, tokens, loss, "
          "report_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
      .With(fit_id, predicted.flops, predicted.params, predicted.tokens, predicted.loss,
            predicted.report_json)
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

}  // namespace

absl::StatusOr<std::string> Store::RecordFit(const Fit& fit,
                                             absl::Span<const Prediction> predictions) {
  const std::string fit_id = RandomHex128();
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    ALLO_RETURN_IF_ERROR(PutFit(transaction, fit_id, fit));
    for (const Prediction& predicted : predictions) {
      ALLO_RETURN_IF_ERROR(PutPrediction(transaction.db, fit_id, predicted));
    }
    return absl::OkStatus();
  }));
  return fit_id;
}

absl::StatusOr<Fit> Store::GetFit(absl::string_view fit_id) const {
  return parts_->readers->Run([&](Connection& db) { return LoadFit(db, fit_id); });
}

}  // namespace allometry::store
