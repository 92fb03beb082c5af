// One-line builders of a cluster's state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/cluster_state.h"

namespace allometry::schedule {

inline v1::Slot MakeSlot(const std::string& host, const std::string& device) {
  v1::Slot slot;
  slot.set_host(host);
  slot.set_device(device);
  return slot;
}

class ClusterBuilder {
 public:
  // A live worker "a" on host-a with that many CPU slots and dataset "aa11...".
  ClusterBuilder& Worker(const std::string& id, int slots,
                         run::DeviceKind kind = run::DeviceKind::kCpu) {
    AgentState agent;
    agent.agent_id = id;
    agent.host = "host-" + id;
    agent.run_root_id = "root-" + id;
    agent.dataset_hashes = {kDataset};
    agent.live = true;
    for (int i = 0; i < slots; ++i) {
      agent.slots.push_back(MakeSlot(agent.host, run::DeviceName(kind, i)));
    }
    state_.agents[id] = std::move(agent);
    return *this;
  }

  // A live worker "a" with so many CPU slots on each of its hosts "host-a-0", "host-a-1", ...
  ClusterBuilder& WorkerOnHosts(const std::string& id, const std::vector<int>& slots) {
    Worker(id, 0);
    AgentState& agent = state_.agents.at(id);
    for (size_t host = 0; host < slots.size(); ++host) {
      for (int i = 0; i < slots[host]; ++i) {
        agent.slots.push_back(
            MakeSlot(absl::StrCat("host-", id, "-", host), absl::StrCat("cpu:", i)));
      }
    }
    return *this;
  }

  // A waiting run; `duration` is its work divided by its ranks.
  RunState& Run(int64_t run_id, double work, int ranks = 1, int64_t sweep_id = 1) {
    RunState& run = state_.runs[run_id];
    run.run_id = run_id;
    run.sweep_id = sweep_id;
    run.ranks = ranks;
    run.dataset = "text";
    run.dataset_hash = kDataset;
    run.flops_remaining = work;
    run.duration = work / ranks;
    return run;
  }

  // A run that holds the worker's slots `places`.
  RunState& Running(int64_t run_id, double work, const std::string& worker,
                    const std::vector<int>& places, int64_t sweep_id = 1) {
    RunState& run = Run(run_id, work, static_cast<int>(places.size()), sweep_id);
    Placement placement;
    placement.attempt = 1;
    placement.agent_id = worker;
    for (const int place : places) {
      placement.slots.push_back(state_.agents.at(worker).slots.at(static_cast<size_t>(place)));
    }
    run.placement = std::move(placement);
    return run;
  }

  ClusterState& state() { return state_; }

  static constexpr char kDataset[] = "aa11bb22cc33dd44";

 private:
  ClusterState state_;
};

// Worker "a" with slots that take so many runs and have so much memory.
inline ClusterBuilder SharedWorker(int slots, int32_t runs, int64_t memory_bytes = 0) {
  ClusterBuilder cluster;
  cluster.Worker("a", slots);
  for (v1::Slot& slot : cluster.state().agents.at("a").slots) {
    slot.set_runs(runs);
    slot.set_memory_bytes(memory_bytes);
  }
  return cluster;
}

}  // namespace allometry::schedule
