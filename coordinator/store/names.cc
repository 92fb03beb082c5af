#include "coordinator/store/names.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace allometry::store {
namespace {

template <class Value>
struct Name {
  Value value;
  absl::string_view name;
};

constexpr Name<v1::RunState> kRunStates[] = {{v1::PENDING, "PENDING"},
                                             {v1::LEASED, "LEASED"},
                                             {v1::RUN_SUCCEEDED, "SUCCEEDED"},
                                             {v1::RUN_FAILED, "FAILED"},
                                             {v1::RUN_CANCELLED, "CANCELLED"}};
constexpr Name<AttemptState> kAttemptStates[] = {{AttemptState::kLeased, "LEASED"},
                                                 {AttemptState::kExpired, "EXPIRED"},
                                                 {AttemptState::kGivenBack, "GIVEN_BACK"},
                                                 {AttemptState::kEnded, "ENDED"}};
constexpr Name<StopAsked> kStops[] = {
    {StopAsked::kNone, ""}, {StopAsked::kPreempt, "PREEMPT"}, {StopAsked::kCancel, "CANCEL"}};

template <class Value, size_t size>
absl::string_view NameOf(const Name<Value> (&names)[size], Value value) {
  for (const auto& entry : names) {
    if (entry.value == value) return entry.name;
  }
  ALLO_CHECK(false) << static_cast<int>(value) << " has no name in the store";
  return {};
}

// The table's CHECKs keep other texts out.
template <class Value, size_t size>
Value ValueOf(const Name<Value> (&names)[size], absl::string_view name) {
  for (const auto& entry : names) {
    if (entry.name == name) return entry.value;
  }
  ALLO_CHECK(false) << "'" << std::string(name) << "' is no name of the store";
  return names[0].value;
}

}  // namespace

absl::string_view RunStateName(v1::RunState state) { return NameOf(kRunStates, state); }
v1::RunState ParseRunState(absl::string_view name) { return ValueOf(kRunStates, name); }

std::string FailureName(v1::ExitReason reason) {
  return reason == v1::EXIT_REASON_UNSPECIFIED ? std::string() : v1::ExitReason_Name(reason);
}
v1::ExitReason ParseFailure(absl::string_view name) {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  // What is not known reads as no reason: a newer program may have written it.
  if (!v1::ExitReason_Parse(std::string(name), &reason)) return v1::EXIT_REASON_UNSPECIFIED;
  return reason;
}

absl::string_view AttemptStateName(AttemptState state) { return NameOf(kAttemptStates, state); }
AttemptState ParseAttemptState(absl::string_view name) { return ValueOf(kAttemptStates, name); }

absl::string_view StopAskedName(StopAsked stop) { return NameOf(kStops, stop); }
StopAsked ParseStopAsked(absl::string_view name) { return ValueOf(kStops, name); }

int TriesFor(absl::string_view tries, v1::ExitReason reason) {
  const std::vector<std::string> words = absl::StrSplit(tries, ' ', absl::SkipEmpty());
  for (size_t i = 0; i + 1 < words.size(); i += 2) {
    int count = 0;
    if (words[i] == FailureName(reason) && absl::SimpleAtoi(words[i + 1], &count)) return count;
  }
  return 0;
}

std::string WithTries(absl::string_view tries, v1::ExitReason reason, int count) {
  std::vector<std::string> words = absl::StrSplit(tries, ' ', absl::SkipEmpty());
  for (size_t i = 0; i + 1 < words.size(); i += 2) {
    if (words[i] != FailureName(reason)) continue;
    words[i + 1] = absl::StrCat(count);
    return absl::StrJoin(words, " ");
  }
  words.insert(words.end(), {FailureName(reason), absl::StrCat(count)});
  return absl::StrJoin(words, " ");
}

std::string SlotsText(absl::Span<const v1::Slot> slots) {
  return absl::StrJoin(slots, " ", [](std::string* out, const v1::Slot& slot) {
    absl::StrAppend(out, slot.host(), "/", slot.device());
  });
}

std::vector<v1::Slot> ParseSlots(absl::string_view text) {
  std::vector<v1::Slot> slots;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(word, absl::MaxSplits('/', 1));
    v1::Slot slot;
    slot.set_host(std::string(parts.first));
    slot.set_device(std::string(parts.second));
    slots.push_back(std::move(slot));
  }
  return slots;
}

}  // namespace allometry::store
