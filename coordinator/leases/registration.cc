#include "coordinator/leases/registration.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"

namespace allometry::coordinator {
namespace {

constexpr size_t kMaxName = 256;

}  // namespace

absl::Status CheckRegistration(const v1::RegisterRequest& request) {
  for (const auto& [what, value] :
       {std::pair("agent_id", &request.agent_id()), std::pair("host", &request.host()),
        std::pair("run_root_id", &request.run_root_id())}) {
    if (value->empty() || value->size() > kMaxName) {
      return absl::InvalidArgumentError(absl::StrFormat("%s has %d characters; 1 to %d are allowed",
                                                        what, value->size(), kMaxName));
    }
  }
  if (request.slots().empty() || request.slots_size() > kMaxSlots) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "an agent has 1 to %d slots, and this one has %d", kMaxSlots, request.slots_size()));
  }
  std::set<std::pair<std::string, std::string>> seen;
  for (const v1::Slot& slot : request.slots()) {
    if (slot.host().empty() || slot.device().empty() || slot.host().size() > kMaxName ||
        slot.device().size() > kMaxName) {
      return absl::InvalidArgumentError("a slot needs a host and a device such as cpu:0");
    }
    if (!seen.emplace(slot.host(), slot.device()).second) {
      return absl::InvalidArgumentError(
          absl::StrFormat("slot %s on %s is listed twice", slot.device(), slot.host()));
    }
  }
  return absl::OkStatus();
}

}  // namespace allometry::coordinator
