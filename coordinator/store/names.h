// Enums and slots as the text in their columns, so that people can read the rows.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/store/rows.h"

namespace allometry::store {

// "PENDING", "LEASED", "SUCCEEDED", "FAILED", "CANCELLED".
absl::string_view RunStateName(v1::RunState state);
v1::RunState ParseRunState(absl::string_view name);

// "OOM"; "" for none.
std::string FailureName(v1::ExitReason reason);
v1::ExitReason ParseFailure(absl::string_view name);

absl::string_view AttemptStateName(AttemptState state);
AttemptState ParseAttemptState(absl::string_view name);

absl::string_view StopAskedName(StopAsked stop);
StopAsked ParseStopAsked(absl::string_view name);

// How often a run failed for each reason since its last new checkpoint: "BUG 2 KILLED 1".
int TriesFor(absl::string_view tries, v1::ExitReason reason);
std::string WithTries(absl::string_view tries, v1::ExitReason reason, int count);

// "host-a/cpu:0 host-a/cpu:1".
std::string SlotsText(absl::Span<const v1::Slot> slots);
std::vector<v1::Slot> ParseSlots(absl::string_view text);

}  // namespace allometry::store
