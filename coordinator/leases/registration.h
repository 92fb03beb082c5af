// Checks of a registration before anything else reads it.
#pragma once

#include "base/status.h"
#include "proto/worker.pb.h"

namespace allometry::coordinator {

inline constexpr int kMaxSlots = 4096;  // of one agent

// InvalidArgument: a name that is empty or too long, no slot, too many, or one listed twice.
absl::Status CheckRegistration(const v1::RegisterRequest& request);

}  // namespace allometry::coordinator
