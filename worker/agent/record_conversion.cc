#include "worker/agent/record_conversion.h"

#include <type_traits>

#include "base/check.h"
#include "base/foreign_text.h"

namespace allometry::agent {
namespace {

constexpr size_t kLongestMessage = 16 << 10;

}  // namespace

v1::Lease ToProto(const Lease& lease) {
  v1::Lease to;
  to.set_run_id(lease.run_id);
  to.set_attempt(lease.attempt);
  to.set_token(lease.token);
  return to;
}

Lease FromProto(const v1::Lease& lease) { return {lease.run_id(), lease.attempt(), lease.token()}; }

v1::ExitReason ToProto(run::ExitReason reason) {
  // One numbering for files and messages (run/exit_reason.h).
  const int value = static_cast<int>(reason);
  ALLO_CHECK(v1::ExitReason_IsValid(value)) << value;
  return static_cast<v1::ExitReason>(value);
}

v1::Record ToProto(const run::Record& record, int attempt, const std::string& root_id) {
  v1::Record to;
  to.set_sequence(record.sequence);
  std::visit(
      [&](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, run::Point>) {
          v1::Point& point = *to.mutable_point();
          point.set_step(body.step);
          point.set_tokens(body.tokens);
          point.set_series(body.series);
          point.set_value(body.value.value_or(0));
          point.set_is_null(!body.value.has_value());
        } else if constexpr (std::is_same_v<Body, run::CheckpointRecord>) {
          v1::Checkpoint& checkpoint = *to.mutable_checkpoint();
          checkpoint.set_attempt(attempt);
          checkpoint.set_step(body.step);
          checkpoint.set_file(body.file);
          checkpoint.set_hash(body.hash);
          checkpoint.set_bytes(body.bytes);
          checkpoint.set_root_id(root_id);
        } else if constexpr (std::is_same_v<Body, run::ExecutionConfig>) {
          v1::Numerics& numerics = *to.mutable_numerics();
          numerics.set_ranks(body.ranks);
          numerics.set_hosts(body.hosts);
          numerics.set_micro_batch(body.micro_batch);
          numerics.set_device(body.device);
          numerics.set_device_model(body.device_model);
          numerics.set_trainer_build(body.trainer_build);
          numerics.set_step_backend(body.step_backend);
        } else if constexpr (std::is_same_v<Body, run::UnknownRecord>) {
          // Without a kind: the coordinator sets it aside.
        } else {
          static_assert(std::is_same_v<Body, run::ExitRecord>);
          v1::ExitRecord& exit = *to.mutable_exit();
          exit.set_reason(ToProto(body.reason));
          // A batch is a few hundred kilobytes; the coordinator keeps less.
          exit.set_message(Shortened(body.message, kLongestMessage));
          exit.set_step(body.step);
        }
      },
      record.body);
  return to;
}

}  // namespace allometry::agent
