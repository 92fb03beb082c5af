// What a list of runs says of each beside its state, in sentences of Run.reason: where its numerics
// changed, and, under a FAILED run's first line, the last words of its last attempt.
#pragma once

#include <string>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

absl::Status AddRemarks(const store::Store& store, const std::string& sweep,
                        google::protobuf::RepeatedPtrField<v1::Run>& runs);

}  // namespace allometry::coordinator
