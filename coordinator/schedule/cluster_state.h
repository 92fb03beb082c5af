// What a scheduling decision reads: the rows of open runs and agents, and what only the
// coordinator's memory knows (which agents are alive).
//
// The coordinator keeps one ClusterState and updates it after each commit: an open run is put into
// `runs`, any other is removed. It can be rebuilt from the rows at any time. Plain values, no
// locking.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proto/types.pb.h"
#include "proto/worker.pb.h"
#include "run/device.h"

namespace allometry::schedule {

// What a worker must have for a run whose trainer is a command of the sweep file: leave to start
// it, and the dataset of that hash (empty: any has it).
inline std::string CommandsWith(const std::string& dataset_hash) {
  return "commands:" + dataset_hash;
}

// The kind of device of a slot, or that a run needs. Unset: a kind that this coordinator does not
// know. A slot of such a kind gets no run, and a run that needs one finds no slot.
using SlotKind = std::optional<run::DeviceKind>;

struct AgentState {
  std::string agent_id;
  std::string host;
  std::string run_root_id;
  std::vector<v1::Slot> slots;
  // Of the datasets that it has; where it runs commands also CommandsWith() of each.
  std::set<std::string> dataset_hashes;
  bool runs_commands = false;
  bool live = false;
  std::string drained;  // why it gets no new runs ("killed 3 runs in a row"); empty: it does
  // Not empty: on probation, for this reason: it gets one run at a time.
  std::string probation;
};

// Where a LEASED run runs.
struct Placement {
  int32_t attempt = 0;
  std::string agent_id;
  std::vector<v1::Slot> slots;  // in rank order
};

struct RunState {
  int64_t run_id = 0;
  int64_t sweep_id = 0;
  int32_t priority = 0;  // larger goes first
  bool ahead = false;    // a tuning run: other runs of its sweep wait for its result
  int32_t ranks = 1;
  SlotKind device = run::DeviceKind::kCpu;
  std::string dataset;
  std::string dataset_hash;        // empty: there everywhere (generated)
  bool is_command = false;         // then dataset_hash is CommandsWith() of it
  std::string checkpoint_root_id;  // run root of its newest checkpoint; empty: none
  // The run starts only on workers of that root. The caller sets this only while such a worker is
  // connected.
  bool bound_to_root = false;
  // Not empty: the run died on this host and starts on other hosts only. The caller sets this only
  // while another host could run it, or for a short time.
  std::string avoided_host;
  double flops_remaining = 0;
  // Expected time from the run's start (LEASED: from now) to its end. Seconds; while no throughput
  // is known, FLOPs a rank, for all runs alike. Decisions only compare these numbers.
  double duration = 0;
  // Not empty: the run cannot start yet. The text says why and follows "waiting: ", as in "needs
  // the checkpoint of run 7 at step 500". No slot is given, held or emptied for a blocked run.
  std::string blocked;
  // Peak of one rank, measured or else estimated; 0: not known, counted as nothing.
  int64_t memory_bytes = 0;
  // At most this many runs on its device together make more tokens a second than fewer would.
  int32_t max_sharers = std::numeric_limits<int32_t>::max();
  int64_t waiting_since_ns = 0;        // boot clock; of a run that waits
  int64_t started_ns = 0;              // boot clock; when its attempt started, of a LEASED run
  bool stopping = false;               // LEASED, and asked to stop: preempted or cancelled
  std::optional<Placement> placement;  // set: LEASED
};

struct ClusterState {
  std::map<std::string, AgentState> agents;  // by agent_id
  std::map<int64_t, RunState> runs;          // PENDING and LEASED, by run_id
};

inline SlotKind KindOf(const v1::Slot& slot) { return run::KindOfDevice(slot.device()); }

}  // namespace allometry::schedule
