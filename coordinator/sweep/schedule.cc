#include "coordinator/sweep/schedule.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::sweep {
namespace {

constexpr double kCosineFinalFraction = 0.1;  // of Hoffmann et al. 2022

// A key that only some schedules read.
void ReadFraction(const Fields& training, absl::string_view key, const Range& range, bool is_read,
                  absl::string_view readers, run::Schedule schedule, double* value,
                  Mistakes& mistakes) {
  const auto field = training.Find(key);
  if (!field) return;
  if (!is_read) {
    mistakes.Add(field->line, absl::StrFormat("%s beside schedule %s, which does not read it: it "
                                              "is allowed with %s",
                                              key, run::NameOf(schedule), readers));
    return;
  }
  if (const auto read = ReadReal(*field, range, mistakes)) *value = *read;
}
}  // namespace

ScheduleChoice ReadSchedule(const Fields& training, Mistakes& mistakes) {
  ScheduleChoice schedule;
  training.Choice("schedule", &schedule.kind);
  if (schedule.kind == run::Schedule::kCosine) schedule.final_rate_fraction = kCosineFinalFraction;
  ReadFraction(training, "decay_fraction", {0, 1, /*open_low=*/true, /*open_high=*/true},
               schedule.kind == run::Schedule::kWsd, "wsd", schedule.kind, &schedule.decay_fraction,
               mistakes);
  ReadFraction(training, "final_rate_fraction", {0, 1, /*open_low=*/false, /*open_high=*/true},
               schedule.kind != run::Schedule::kConstant, "wsd and cosine", schedule.kind,
               &schedule.final_rate_fraction, mistakes);
  return schedule;
}

std::optional<int64_t> DecayBegin(const ScheduleChoice& schedule, int64_t warmup_steps,
                                  int64_t steps) {
  if (schedule.kind == run::Schedule::kCosine) return warmup_steps;
  if (schedule.kind != run::Schedule::kWsd) return std::nullopt;
  const int64_t falling = std::llround(schedule.decay_fraction * static_cast<double>(steps));
  return steps - std::max<int64_t>(1, falling);
}

}  // namespace allometry::sweep
