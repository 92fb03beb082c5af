#include "tests/coordinator/records.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::testing {

v1::Record PointAt(uint64_t sequence, int64_t step, const std::string& series, double value) {
  v1::Record record;
  record.set_sequence(sequence);
  v1::Point* point = record.mutable_point();
  point->set_step(step);
  point->set_tokens(step * kBatchTokens);
  point->set_series(series);
  point->set_value(value);
  return record;
}

v1::Record CheckpointAt(uint64_t sequence, int attempt, int64_t step, const std::string& root_id) {
  v1::Record record;
  record.set_sequence(sequence);
  v1::Checkpoint* checkpoint = record.mutable_checkpoint();
  checkpoint->set_attempt(attempt);
  checkpoint->set_step(step);
  checkpoint->set_file(absl::StrFormat("attempt-%d/checkpoint-%012d.safetensors", attempt, step));
  checkpoint->set_hash("0123456789abcdef");
  checkpoint->set_bytes(1000);
  checkpoint->set_root_id(root_id);
  return record;
}

v1::Record ExitWith(uint64_t sequence, v1::ExitReason reason, int64_t step,
                    const std::string& message) {
  v1::Record record;
  record.set_sequence(sequence);
  record.mutable_exit()->set_reason(reason);
  record.mutable_exit()->set_step(step);
  record.mutable_exit()->set_message(message);
  return record;
}

std::vector<v1::Record> WholeRun(const v1::RunSpec& spec, double params) {
  std::vector<v1::Record> records;
  for (const int64_t step : spec.evaluation_steps()) {
    const double tokens = static_cast<double>(step * spec.identity().batch_tokens());
    const double loss = 1.8 + 400 / std::pow(params, 0.35) + 400 / std::pow(tokens, 0.35);
    records.push_back(PointAt(records.size() + 1, step, "train", loss + 0.01));
    records.push_back(PointAt(records.size() + 1, step, "heldout", loss));
  }
  records.push_back(ExitWith(records.size() + 1, v1::SUCCEEDED, spec.steps()));
  return records;
}

}  // namespace allometry::testing
