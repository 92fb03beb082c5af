#include "coordinator/stages/ladder/ladder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::stages {
namespace {

// An optimum between two rates has at most a tie on either side.
constexpr int kMostTies = 2;

double ThreeDigits(double value) {
  double rounded = value;
  return absl::SimpleAtod(absl::StrFormat("%.2e", value), &rounded) ? rounded : value;
}

// No model of this world has such a loss: a vocabulary of a million tokens guessed blindly has 14.
constexpr double kDivergedNats = 1e4;

std::string RateText(double rate) { return absl::StrFormat("%.4g", rate); }

double LossOf(const Trial& trial) {
  return trial.state == TrialState::kMeasured ? trial.loss
                                              : std::numeric_limits<double>::infinity();
}

std::string TrialText(const Trial& trial) {
  switch (trial.state) {
    case TrialState::kMeasured:
      if (trial.loss > kDivergedNats) return absl::StrCat(RateText(trial.rate), ": diverged");
      return absl::StrFormat("%s: %.4f", RateText(trial.rate), trial.loss);
    case TrialState::kDiverged:
      return absl::StrCat(RateText(trial.rate), ": diverged");
    case TrialState::kFailed:
      return absl::StrCat(RateText(trial.rate), ": failed");
    case TrialState::kMissing:
      break;
  }
  return absl::StrCat(RateText(trial.rate), ": not yet");
}

std::string TrialsText(const std::vector<Trial>& trials) {
  return absl::StrJoin(trials, ", ", [](std::string* out, const Trial& trial) {
    absl::StrAppend(out, TrialText(trial));
  });
}

// See the header: `value` is a product or mean of rates that were rounded before.
double RateNear(const LadderRule& rule, double value) {
  constexpr double kRounding = 0.01;  // relative; three digits of a few factors are within it
  for (const double rate : rule.rates) {
    if (std::abs(value / rate - 1) < kRounding) return rate;  // as the file has it
  }
  double nearest = value;
  double least = kRounding;
  for (const double rate : rule.rates) {
    const double half_steps = std::round(2 * std::log(value / rate) / std::log(rule.ratio));
    const double on_grid = rate * std::pow(rule.ratio, half_steps / 2);
    const double distance = std::abs(value / on_grid - 1);
    if (distance >= least) continue;
    least = distance;
    nearest = on_grid;
  }
  return ThreeDigits(nearest);
}

// The rates with which a size after (or before) one with optimum `rate` begins.
std::vector<double> Around(const LadderRule& rule, double rate) {
  return {RateNear(rule, rate / rule.ratio), rate, RateNear(rule, rate * rule.ratio)};
}

// One size, from its first rates to its decision.
class SizeSearch {
 public:
  SizeSearch(const LadderRule& rule, const LadderSize& size) : rule_(rule), size_(size) {
    decision_.label = size.label;
  }

  SizeDecision Decide(const std::vector<double>& first_rates) {
    for (const double rate : first_rates) Add(rate);
    for (;;) {
      if (!Measured()) return decision_;
      const size_t best = Best();
      const bool lowest = best == 0;
      const bool highest = best + 1 == decision_.trials.size();
      if (!lowest && !highest) break;
      if (widened_ >= rule_.max_widen) {
        StayAtEdge(best, lowest);
        return decision_;
      }
      const double low = decision_.trials.front().rate;
      const double high = decision_.trials.back().rate;
      if (lowest) Widen(low / rule_.ratio);
      if (highest) Widen(high * rule_.ratio);
    }
    if (rule_.half_octave_on_ties) {
      SplitTies(Best());
      if (!Measured()) return decision_;
    }
    Choose(Best());
    return decision_;
  }

  // A rate that was chosen before: what was measured is told, and nothing is asked for.
  SizeDecision Decided() {
    decision_.trials = size_.trials;
    SortTrials();
    decision_.chosen = size_.decided;
    decision_.sentence =
        absl::StrFormat("%s: %s (%s)", size_.label, RateText(*size_.decided),
                        decision_.trials.empty() ? "as stored" : TrialsText(decision_.trials));
    return decision_;
  }

 private:
  void SortTrials() {
    std::sort(decision_.trials.begin(), decision_.trials.end(),
              [](const Trial& a, const Trial& b) { return a.rate < b.rate; });
  }

  void Add(double rate) {
    const auto is_it = [rate](const Trial& trial) { return trial.rate == rate; };
    if (std::any_of(decision_.trials.begin(), decision_.trials.end(), is_it)) return;
    const auto known = std::find_if(size_.trials.begin(), size_.trials.end(), is_it);
    if (known == size_.trials.end()) {
      decision_.trials.emplace_back().rate = rate;
    } else {
      decision_.trials.push_back(*known);
    }
    SortTrials();
  }

  void Widen(double rate) {
    if (widened_ >= rule_.max_widen) return;
    Add(RateNear(rule_, rate));
    ++widened_;
  }

  // Whether every rate has its loss; otherwise the sentence says what is missing.
  bool Measured() {
    int missing = 0;
    for (const Trial& trial : decision_.trials) missing += trial.state == TrialState::kMissing;
    if (missing > 0) {
      decision_.sentence = absl::StrFormat("%s: %d of %d rates measured (%s)", size_.label,
                                           decision_.trials.size() - missing,
                                           decision_.trials.size(), TrialsText(decision_.trials));
      return false;
    }
    for (const Trial& trial : decision_.trials) {
      if (trial.state != TrialState::kFailed) continue;
      decision_.blocked = true;
      decision_.sentence = absl::StrFormat("%s: waits, as the rate %s has no loss: %s", size_.label,
                                           RateText(trial.rate), trial.reason);
      return false;
    }
    return true;
  }

  // Of equal losses the first, which is the smallest rate; with infinite losses only, so that the
  // search goes on below.
  size_t Best() const {
    const auto best =
        std::min_element(decision_.trials.begin(), decision_.trials.end(),
                         [](const Trial& a, const Trial& b) { return LossOf(a) < LossOf(b); });
    return static_cast<size_t>(best - decision_.trials.begin());
  }

  void StayAtEdge(size_t best, bool lowest) {
    const Trial& trial = decision_.trials[best];
    if (rule_.accept_edge && trial.state == TrialState::kMeasured) {
      decision_.at_edge = true;
      Choose(best);
      return;
    }
    decision_.blocked = true;
    const std::string where =
        trial.state == TrialState::kDiverged
            ? "every rate diverged"
            : absl::StrFormat("the least loss is at %s, the %s of its rates", RateText(trial.rate),
                              lowest ? "lowest" : "highest");
    decision_.sentence = absl::StrFormat(
        "%s: waits: %s, after max_widen %d more (%s); submit the file with a larger max_widen, "
        "other rates, or accept_edge: true",
        size_.label, where, rule_.max_widen, TrialsText(decision_.trials));
  }

  void SplitTies(size_t best) {
    const Trial middle = decision_.trials[best];
    const double most = middle.loss * (1 + rule_.tie_tolerance);
    std::vector<double> halves;
    for (const size_t neighbour : {best - 1, best + 1}) {
      const Trial& other = decision_.trials[neighbour];
      if (LossOf(other) <= most)
        halves.push_back(RateNear(rule_, std::sqrt(other.rate * middle.rate)));
    }
    for (const double rate : halves) Add(rate);
    ties_ = static_cast<int>(halves.size());
  }

  void Choose(size_t best) {
    decision_.chosen = decision_.trials[best].rate;
    decision_.sentence = absl::StrFormat("%s: %s, of %s", size_.label, RateText(*decision_.chosen),
                                         TrialsText(decision_.trials));
    if (widened_ > 0) {
      absl::StrAppendFormat(&decision_.sentence, "; widened by %d rate%s", widened_,
                            widened_ == 1 ? "" : "s");
    }
    if (ties_ > 0) {
      absl::StrAppendFormat(&decision_.sentence, "; %d tie%s within %g split", ties_,
                            ties_ == 1 ? "" : "s", rule_.tie_tolerance);
    }
    if (decision_.at_edge) {
      absl::StrAppend(&decision_.sentence, "; at an end of its rates, as accept_edge allows");
    }
  }

  const LadderRule& rule_;
  const LadderSize& size_;
  int widened_ = 0;
  int ties_ = 0;
  SizeDecision decision_;
};

// Of the sizes after `place`, the first with a stored decision.
std::optional<double> NextDecided(absl::Span<const LadderSize> sizes, size_t place) {
  for (size_t i = place + 1; i < sizes.size(); ++i) {
    if (sizes[i].decided) return sizes[i].decided;
  }
  return std::nullopt;
}

}  // namespace

LadderDecision DecideLadder(const LadderRule& rule, absl::Span<const LadderSize> sizes) {
  LadderDecision decision;
  std::optional<double> before;
  bool waiting = false;  // for a smaller size
  bool missing = false;
  size_t chosen = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const LadderSize& size = sizes[i];
    if (!size.decided && waiting) continue;
    SizeSearch step(rule, size);
    if (size.decided) {
      decision.sizes.push_back(step.Decided());
    } else {
      const std::optional<double> start = before ? before : NextDecided(sizes, i);
      decision.sizes.push_back(step.Decide(start ? Around(rule, *start) : rule.rates));
    }
    const SizeDecision& made = decision.sizes.back();
    before = made.chosen;
    chosen += made.chosen.has_value();
    waiting = waiting || !made.chosen;
    missing = missing || (!made.chosen && !made.blocked);
  }
  decision.done = chosen == sizes.size();
  decision.blocked = !decision.done && !missing;
  return decision;
}

LadderCost CostOfLadder(const LadderRule& rule, absl::Span<const LadderSize> sizes) {
  LadderCost cost;
  const bool begun =
      std::any_of(sizes.begin(), sizes.end(), [](const auto& size) { return size.decided; });
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i].decided) continue;
    const int least = i == 0 && !begun ? static_cast<int>(rule.rates.size()) : 3;
    const int most = least + rule.max_widen + (rule.half_octave_on_ties ? kMostTies : 0);
    cost.least_runs += least;
    cost.most_runs += most;
    cost.least_flops += least * sizes[i].trial_flops;
    cost.most_flops += most * sizes[i].trial_flops;
  }
  return cost;
}

std::string LadderRuleText(const LadderRule& rule) {
  std::string text = absl::StrFormat(
      "tunes the learning rate of the smallest size over %d rates from %s to %s, then of each next "
      "one around the optimum before (ratio %g); takes the least held-out loss at the tuning "
      "budget, adds rates (at most %d a size) while it is at an end of them",
      rule.rates.size(), RateText(rule.rates.front()), RateText(rule.rates.back()), rule.ratio,
      rule.max_widen);
  if (rule.half_octave_on_ties) {
    absl::StrAppendFormat(&text, ", splits ties within %g", rule.tie_tolerance);
  }
  return text;
}

}  // namespace allometry::stages
