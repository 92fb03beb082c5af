#include "worker/trainer/curve_log.h"

#include <cstdio>

#include "absl/strings/str_format.h"

namespace allometry::trainer {

void CurveLog::Add(int64_t step, const std::string& series, double value) {
  if (spool_ == nullptr) return;
  spool_->Append(run::Point{step, step * batch_tokens_, series, value});
  if (series == "train") train_ = value;
  if (series == "heldout") heldout_ = value;
  if (series == "tokens_per_second") tokens_per_second_ = value;
}

absl::Status CurveLog::FlushIfDue(int64_t step) {
  if (spool_ == nullptr) return absl::OkStatus();
  if (Clock::now() - flushed_ < std::chrono::seconds(1) && step != steps_) return absl::OkStatus();
  if (progress_) PrintProgress(step);
  return Flush();
}

absl::Status CurveLog::Flush() {
  if (spool_ == nullptr) return absl::OkStatus();
  flushed_ = Clock::now();
  return spool_->Flush();
}

void CurveLog::PrintProgress(int64_t step) const {
  absl::FPrintF(stderr, "step %d/%d", step, steps_);
  if (train_ != 0) absl::FPrintF(stderr, "  train %.4f", train_);
  if (heldout_ != 0) absl::FPrintF(stderr, "  heldout %.4f", heldout_);
  if (tokens_per_second_ != 0) absl::FPrintF(stderr, "  %.0f tokens/s", tokens_per_second_);
  absl::FPrintF(stderr, "\n");
}

}  // namespace allometry::trainer
