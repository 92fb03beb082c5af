#include "coordinator/schedule/cluster_state.h"

namespace allometry::schedule {

std::string DeviceKind(const v1::Slot& slot) {
  return slot.device().substr(0, slot.device().find(':'));
}

}  // namespace allometry::schedule
