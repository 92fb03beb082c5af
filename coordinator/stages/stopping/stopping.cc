#include "coordinator/stages/stopping/stopping.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"

namespace allometry::stages {
namespace {

// Below the best size; as many as the frontier's parabola reads there.
constexpr size_t kKept = 2;
// What every size is granted at once: a decision needs two.
constexpr size_t kFirst = 2;
constexpr size_t kNone = std::numeric_limits<size_t>::max();

class StoppingPass {
 public:
  StoppingPass(const StoppingRule& rule, absl::Span<const StoppingSize> sizes)
      : rule_(rule), sizes_(sizes) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      SizeGrant& grant = decision_.sizes.emplace_back();
      grant.label = sizes[i].label;
      if (sizes[i].stopped_after) {
        grant.up_to = *sizes[i].stopped_after;
        grant.stopped = true;
        grant.sentence = absl::StrFormat("%s: stopped early after %s FLOPs", grant.label,
                                         cost::FlopsText(grant.up_to));
      } else {
        Grant(i, CanStop(sizes.size() - 1 - i) ? kFirst : rule.budgets.size());
      }
    }
  }

  StoppingDecision Decide() {
    for (size_t budget = kFirst; budget < rule_.budgets.size(); ++budget) {
      if (!Measured(budget)) return std::move(decision_);
      const std::vector<size_t> stop = WhoStops(budget - 2, budget - 1);
      for (size_t i = 0; i < sizes_.size(); ++i) {
        if (decision_.sizes[i].stopped) continue;
        if (std::find(stop.begin(), stop.end(), i) != stop.end()) {
          Stop(i, budget - 2);
        } else {
          Grant(i, budget + 1);
        }
      }
    }
    decision_.done = true;
    return std::move(decision_);
  }

 private:
  void Grant(size_t size, size_t budgets) {
    double& up_to = decision_.sizes[size].up_to;
    up_to = std::max(up_to, rule_.budgets[std::min(budgets, rule_.budgets.size()) - 1]);
  }

  // Whether the two budgets before this one have all their losses; otherwise what is missing.
  bool Measured(size_t budget) {
    int missing = 0;
    std::string failed;
    for (size_t i = 0; i < sizes_.size(); ++i) {
      for (const size_t at : {budget - 2, budget - 1}) {
        if (rule_.budgets[at] > decision_.sizes[i].up_to) continue;
        const StoppingCell& cell = sizes_[i].cells[at];
        missing += cell.state == CellState::kOpen;
        if (cell.state == CellState::kFailed && failed.empty()) {
          failed = absl::StrFormat("%s has no loss at %s FLOPs: %s", sizes_[i].label,
                                   cost::FlopsText(rule_.budgets[at]), cell.reason);
        }
      }
    }
    if (missing > 0) {
      decision_.waits = absl::StrFormat(
          "budgets from %s FLOPs on follow when %d more cells of those before are "
          "measured",
          cost::FlopsText(rule_.budgets[budget]), missing);
    } else if (!failed.empty()) {
      decision_.blocked = true;
      decision_.waits = absl::StrFormat("budgets from %s FLOPs on wait: %s",
                                        cost::FlopsText(rule_.budgets[budget]), failed);
    }
    return decision_.waits.empty();
  }

  bool Has(size_t size, size_t budget) const {
    return sizes_[size].cells[budget].state == CellState::kMeasured;
  }
  double LossOf(size_t size, size_t budget) const { return sizes_[size].cells[budget].loss; }

  // Of equal losses the smaller size; kNone where nothing is measured.
  size_t Best(size_t budget) const {
    size_t best = kNone;
    for (size_t i = 0; i < sizes_.size(); ++i) {
      if (Has(i, budget) && (best == kNone || LossOf(i, budget) < LossOf(best, budget))) best = i;
    }
    return best;
  }

  // Relative distance to the least loss, where the best size is larger and far enough.
  std::optional<double> Behind(size_t size, size_t budget) const {
    const size_t best = Best(budget);
    if (best == kNone || best <= size || !Has(size, budget)) return std::nullopt;
    size_t between = 0;
    for (size_t i = size + 1; i < best; ++i) between += Has(i, budget);
    if (between < kKept) return std::nullopt;
    return LossOf(size, budget) / LossOf(best, budget) - 1;
  }

  std::vector<size_t> WhoStops(size_t first, size_t second) const {
    std::vector<size_t> stop;
    for (size_t i = 0; i < sizes_.size(); ++i) {
      if (!CanStop(sizes_.size() - 1 - i)) continue;
      const std::optional<double> before = Behind(i, first);
      const std::optional<double> after = Behind(i, second);
      if (before && after && *before > rule_.margin && *after > *before) stop.push_back(i);
    }
    return stop;
  }

  void Stop(size_t size, size_t first) {
    SizeGrant& grant = decision_.sizes[size];
    grant.up_to = rule_.budgets[first + 1];
    grant.stopped = grant.stopped_now = true;
    const auto behind = [&](size_t budget) {
      return absl::StrFormat("%.1f %% above %s at %s", 100 * *Behind(size, budget),
                             sizes_[Best(budget)].label, cost::FlopsText(rule_.budgets[budget]));
    };
    grant.sentence =
        absl::StrFormat("%s: stopped early after %s FLOPs: its loss is %s and %s", grant.label,
                        cost::FlopsText(grant.up_to), behind(first), behind(first + 1));
  }

  const StoppingRule& rule_;
  const absl::Span<const StoppingSize> sizes_;
  StoppingDecision decision_;
};

}  // namespace

bool CanStop(size_t larger_sizes) { return larger_sizes > kKept; }

StoppingDecision DecideStopping(const StoppingRule& rule, absl::Span<const StoppingSize> sizes) {
  return StoppingPass(rule, sizes).Decide();
}

std::string StoppingRuleText(const StoppingRule& rule) {
  return absl::StrFormat(
      "a size goes on to its next budget unless its loss was above the least by more than %g %%, "
      "and by more each time, at the last two, with at least %d sizes between it and the best",
      100 * rule.margin, kKept);
}

}  // namespace allometry::stages
