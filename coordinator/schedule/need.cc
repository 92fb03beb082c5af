#include "coordinator/schedule/need.h"

#include <bit>

namespace allometry::schedule {

Need NeedOf(const RunState& run) {
  Need need;
  need.ahead = run.ahead;
  need.ranks = run.ranks;
  need.device = run.device;
  need.dataset_hash = run.dataset_hash;
  need.memory_bytes = RoundedMemory(run.memory_bytes);
  need.max_sharers = run.ranks == 1 ? run.max_sharers : 1;
  if (run.bound_to_root) need.root_id = run.checkpoint_root_id;
  need.avoided_host = run.avoided_host;
  return need;
}

int64_t RoundedMemory(int64_t bytes) {
  if (bytes < 8) return bytes > 0 ? bytes : 0;
  const int64_t step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes))) / 8;
  return (bytes + step - 1) / step * step;
}

}  // namespace allometry::schedule
