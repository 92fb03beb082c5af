// The longest texts and lists that any request may have, so that no client, worker or run can fill
// the coordinator's memory, its database, or the replies that others read.
#pragma once

#include "base/status.h"
#include "google/protobuf/message.h"

namespace allometry::coordinator {

// InvalidArgument names the field of the first text or list that is too long, its length and what
// is allowed. Batches of records have limits of their own (store/records.cc).
absl::Status CheckLimits(const google::protobuf::Message& request);

}  // namespace allometry::coordinator
