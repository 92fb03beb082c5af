// Notices: what happened, in sentences, for `allo watch` and for reading by hand.
#pragma once

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "coordinator/store/writer.h"

namespace allometry::store {

// sweep_id 0: about no sweep; run_id 0: about no run.
absl::Status InsertEvent(Transaction& transaction, int64_t sweep_id, int64_t run_id,
                         absl::string_view text);

}  // namespace allometry::store
