#include "worker/trainer/outcome.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/foreign_text.h"

namespace allometry::trainer {

using run::ExitReason;

namespace {

constexpr char kReasonKey[] = "allometry/exit_reason";

bool SaysOutOfMemory(absl::string_view what) {
  return absl::StrContains(what, "out of memory") || absl::StrContains(what, "not enough memory") ||
         absl::StrContains(what, "can't allocate memory");
}

}  // namespace

absl::Status WithReason(ExitReason reason, absl::Status status) {
  if (status.ok() || status.GetPayload(kReasonKey).has_value()) return status;
  status.SetPayload(kReasonKey, absl::Cord(run::ExitReasonName(reason)));
  return status;
}

ExitReason ReasonOf(const absl::Status& status) {
  if (const auto name = status.GetPayload(kReasonKey); name.has_value()) {
    return run::ParseExitReason(std::string(*name)).value_or(ExitReason::kBug);
  }
  if (absl::IsResourceExhausted(status)) return ExitReason::kDiskFull;
  return absl::IsAborted(status) ? ExitReason::kNodeLost : ExitReason::kBug;
}

absl::Status FromException(const std::exception& error) {
  std::string what = error.what();
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error); torch != nullptr) {
    what = torch->what_without_backtrace();
  }
  const bool oom = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                   dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                   SaysOutOfMemory(what);
  return WithReason(oom ? ExitReason::kOom : ExitReason::kBug, absl::InternalError(what));
}

absl::Status Agree(comm::Collective& collective, const absl::Status& mine) {
  std::vector<double> reasons(static_cast<size_t>(collective.world_size()), 0.0);
  const auto rank = static_cast<size_t>(collective.rank());
  if (!mine.ok()) reasons[rank] = static_cast<double>(ReasonOf(mine));
  ALLO_RETURN_IF_ERROR(collective.AllReduceSum(std::span(reasons)));
  const auto failed =
      std::find_if(reasons.begin(), reasons.end(), [](double reason) { return reason != 0; });
  if (failed == reasons.end()) return absl::OkStatus();

  const auto root = static_cast<size_t>(failed - reasons.begin());
  std::array<char, 2048> text = {};
  if (rank == root) {
    const std::string message = Shortened(mine.message(), text.size() - 1);
    std::copy(message.begin(), message.end(), text.begin());
  }
  ALLO_RETURN_IF_ERROR(
      collective.Broadcast(std::as_writable_bytes(std::span(text)), static_cast<int>(root)));
  const std::string who = root == 0 ? "" : absl::StrCat("rank ", root, ": ");
  return WithReason(static_cast<ExitReason>(static_cast<int>(*failed)),
                    absl::AbortedError(absl::StrCat(who, text.data())));
}

}  // namespace allometry::trainer
