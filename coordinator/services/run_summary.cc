#include "coordinator/services/run_summary.h"

#include "absl/strings/str_join.h"
#include "coordinator/cost/throughput.h"

namespace allometry::coordinator {
namespace {

std::string StateName(store::AttemptState state) {
  switch (state) {
    case store::AttemptState::kLeased:
      return "LEASED";
    case store::AttemptState::kExpired:
      return "EXPIRED";
    case store::AttemptState::kGivenBack:
      return "GIVEN_BACK";
    case store::AttemptState::kEnded:
      return "ENDED";
  }
  return "";
}

}  // namespace

v1::RunSummary SummaryOf(const v1::Run& run, run::FlopsConvention convention) {
  v1::RunSummary summary;
  summary.set_run_id(run.run_id());
  summary.set_size(run.size());
  summary.set_params(run.n_params());
  summary.set_seed(run.spec().identity().seed());
  summary.set_learning_rate(run.spec().identity().learning_rate());
  summary.set_stage(run.stage());
  summary.set_state(run.state());
  summary.set_failure(run.failure());
  summary.set_reason(run.reason());
  summary.set_attempt(run.attempt());
  summary.set_step(run.step());
  summary.set_first_step(cost::FirstStep(run));
  summary.set_steps(run.spec().steps());
  summary.set_batch_tokens(run.spec().identity().batch_tokens());
  summary.set_flops_per_token(cost::FlopsPerToken(run, convention));
  if (run.last_train_loss() != 0) summary.set_train_loss(run.last_train_loss());
  if (run.last_heldout_loss() != 0) summary.set_heldout_loss(run.last_heldout_loss());
  if (run.tokens_per_second() > 0) summary.set_tokens_per_second(run.tokens_per_second());
  summary.set_host(run.agent());
  summary.set_device_seconds(run.device_seconds());
  return summary;
}

v1::AttemptSummary SummaryOf(const store::Attempt& attempt) {
  v1::AttemptSummary summary;
  summary.set_attempt(attempt.lease.attempt());
  summary.set_host(attempt.host);
  summary.set_slots(absl::StrJoin(attempt.slots, " ", [](std::string* out, const v1::Slot& slot) {
    out->append(slot.device());
  }));
  summary.set_state(StateName(attempt.state));
  summary.set_exit_reason(attempt.exit_reason);
  summary.set_message(attempt.exit_message);
  summary.set_start_note(attempt.start_note);
  summary.set_start_step(attempt.spec.start().step());
  summary.set_exit_step(attempt.exit_step);
  summary.set_started_unix_us(attempt.started_unix_us);
  summary.set_ended_unix_us(attempt.ended_unix_us);
  *summary.mutable_numerics() = attempt.numerics;
  return summary;
}

}  // namespace allometry::coordinator
