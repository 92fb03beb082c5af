// Adds to Run.reason of each listed run: where its execution config changed, and, for a FAILED run,
// the failure log of its last attempt.
#pragma once

#include <string>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

absl::Status AddRemarks(const store::Store& store, const std::string& sweep,
                        google::protobuf::RepeatedPtrField<v1::Run>& runs);

}  // namespace allometry::coordinator
