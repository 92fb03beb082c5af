// One-line builders of what a coordinator says to an agent.
#pragma once

#include <unistd.h>

#include <string>
#include <vector>

#include "base/host_name.h"
#include "proto/worker.pb.h"
#include "worker/agent/record_conversion.h"
#include "worker/agent/state_dir.h"

namespace allometry::testing {

inline agent::Lease LeaseOf(int64_t run_id, int attempt, const std::string& token = "token") {
  return {run_id, attempt, token};
}

// A spec that rundir accepts; `script` is what tests/agent/fake_trainer.cc is told to do.
inline v1::RunSpec SpecOf(const std::string& script, int64_t steps, int ranks = 1) {
  v1::RunSpec spec;
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.mutable_shape()->set_family("gpt");
  identity.mutable_shape()->set_layers(1);
  identity.mutable_shape()->set_heads(1);
  identity.mutable_shape()->set_width(8);
  identity.mutable_shape()->set_context(8);
  identity.mutable_shape()->set_vocabulary(16);
  identity.set_dataset("tiny");
  identity.set_batch_tokens(16);
  identity.set_schedule("constant");
  identity.set_learning_rate(0.001);
  identity.mutable_optimizer()->set_beta1(0.9);
  identity.mutable_optimizer()->set_beta2(0.95);
  identity.mutable_optimizer()->set_epsilon(1e-8);
  spec.set_steps(steps);
  spec.set_log_every(1);
  spec.set_checkpoint_every_s(60);
  spec.set_evaluation_windows(1);
  spec.set_ranks(ranks);
  spec.set_device("cpu");
  spec.set_step_backend(script);
  return spec;
}

inline v1::Hold HoldOf(const agent::Lease& lease, const v1::RunSpec& spec,
                       const std::vector<std::string>& devices, int64_t lease_ms = 30'000) {
  v1::Hold hold;
  *hold.mutable_lease() = agent::ToProto(lease);
  hold.set_lease_ms(lease_ms);
  *hold.mutable_spec() = spec;
  for (const std::string& device : devices) {
    v1::Slot& slot = *hold.add_slots();
    slot.set_host(HostName());
    slot.set_device(device);
  }
  return hold;
}

}  // namespace allometry::testing
