#include "worker/agent/reconcile.h"

#include <algorithm>
#include <map>
#include <set>

#include "worker/agent/record_conversion.h"

namespace allometry::agent {
namespace {

// Whether something that goes away stands in the way of `hold`.
bool MustWait(const v1::Hold& hold, const std::vector<Held>& held, const std::set<Lease>& dropped) {
  return std::any_of(held.begin(), held.end(), [&](const Held& other) {
    if (!other.running || (!other.dropped && dropped.count(other.lease) == 0)) return false;
    if (other.lease.run_id == hold.lease().run_id()) return true;
    return std::any_of(hold.slots().begin(), hold.slots().end(), [&](const v1::Slot& slot) {
      return std::find(other.devices.begin(), other.devices.end(),
                       HostDevice{slot.host(), slot.device()}) != other.devices.end();
    });
  });
}

}  // namespace

Actions Reconcile(const std::vector<Held>& held, const v1::HeartbeatResponse& reply) {
  std::map<Lease, const v1::Hold*> wanted;
  for (const v1::Hold& hold : reply.hold()) wanted.emplace(FromProto(hold.lease()), &hold);

  Actions actions;
  std::set<Lease> known;
  std::set<Lease> dropped;
  for (const Held& attempt : held) {
    known.insert(attempt.lease);
    if (attempt.dropped) continue;
    const auto found = wanted.find(attempt.lease);
    if (found == wanted.end()) {
      actions.drop.push_back(attempt.lease);
      dropped.insert(attempt.lease);
      continue;
    }
    const v1::Hold& hold = *found->second;
    actions.renew.push_back({attempt.lease, hold.lease_ms()});
    const Stop stop = {attempt.lease, hold.stop_within_ms()};
    const bool sooner = stop.within_ms > 0 && stop.within_ms < attempt.told_within_ms;
    if (hold.cancel()) {
      if (!attempt.told_cancel || sooner) actions.cancel.push_back(stop);
    } else if (hold.preempt() && !attempt.told_cancel) {
      if (!attempt.told_preempt || sooner) actions.preempt.push_back(stop);
    }
  }
  for (const auto& [lease, hold] : wanted) {
    if (known.count(lease) > 0 || !hold->has_spec() || hold->preempt() || hold->cancel()) continue;
    if (!MustWait(*hold, held, dropped)) actions.start.push_back(*hold);
  }
  return actions;
}

}  // namespace allometry::agent
