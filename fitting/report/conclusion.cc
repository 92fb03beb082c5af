#include "fitting/report/conclusion.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::fitting {
namespace {

constexpr double kClearly = 1.5;
constexpr double kInside = 1e-9;  // of ln C: a budget at the data's edge is inside

// The best loss measured at no more than a C.
struct Measured {
  double flops = 0, loss = 0;
};

std::optional<Measured> BestUpTo(const DataView& view, double flops) {
  std::optional<Measured> best;
  for (const Observation& p : view.points) {
    if (p.flops > flops * (1 + kInside)) continue;
    if (!best || p.loss < best->loss) best = Measured{p.flops, p.loss};
  }
  return best;
}

MethodFit* FindFit(FitReport& report, Method method) {
  for (MethodFit& fit : report.fits) {
    if (fit.method == method) return &fit;
  }
  return nullptr;
}

// Zero lies outside the interval of the difference widened by half: some ten differences are looked
// at in one report, and 1.5 half-widths of 95 % are 99.7 %.
bool ClearlyApart(const Difference& one) {
  if (!one.lower || !one.upper) return false;
  return one.difference > 0 ? one.difference > kClearly * (one.difference - *one.lower)
                            : -one.difference > kClearly * (*one.upper - one.difference);
}

class Rules {
 public:
  Rules(const DataView& view, double robust_sd, FitReport& report)
      : view_(view), robust_sd_(robust_sd), report_(report) {}

  void Apply() {
    for (MethodFit& fit : report_.fits) {
      if (!fit.refused) FloorAboveLoss(fit);
    }
    for (Prediction& prediction : report_.predictions) {
      PredictionAboveLoss(prediction);
      OptimumOutsideSizes(prediction);
    }
    Misfit();
    Disagreement();
    Withdraw();
  }

 private:
  void Condemn(Method method, const char* rule, const std::string& text) {
    for (Contradiction& known : report_.conclusion.contradictions) {
      if (known.rule == rule && known.methods.front() == Name(method)) return;
    }
    report_.conclusion.contradictions.push_back({rule, {Name(method)}, text});
    MethodFit* fit = FindFit(report_, method);
    if (fit != nullptr && !fit->not_usable) fit->not_usable = text;
  }

  void FloorAboveLoss(MethodFit& fit) {
    const Estimate* floor = fit.Find("E");
    const std::optional<Measured> best = BestUpTo(view_, view_.highest_flops());
    if (floor == nullptr || !floor->estimate || !best || *floor->estimate <= best->loss) return;
    Condemn(fit.method, "floor-above-loss",
            absl::StrFormat("%s: E = %.4f is above the loss %.4f measured at C = %.3g",
                            Name(fit.method), *floor->estimate, best->loss, best->flops));
  }

  void PredictionAboveLoss(const Prediction& prediction) {
    if (!prediction.loss.estimate) return;
    const std::optional<Measured> best = BestUpTo(view_, prediction.flops);
    const double loss = *prediction.loss.estimate;
    if (!best || loss <= best->loss * std::exp(2 * robust_sd_)) return;
    Condemn(
        prediction.method, "prediction-above-loss",
        absl::StrFormat("%s: L*(%.3g) = %.4f is above the loss %.4f measured at C = %.3g",
                        Name(prediction.method), prediction.flops, loss, best->loss, best->flops));
  }

  void OptimumOutsideSizes(Prediction& prediction) {
    if (!prediction.params.estimate || view_.DecadesOutside(prediction.flops) > kInside) return;
    double smallest = view_.points.front().params, largest = smallest;
    for (const Observation& p : view_.points) {
      smallest = std::min(smallest, p.params);
      largest = std::max(largest, p.params);
    }
    const double params = *prediction.params.estimate;
    if (params >= smallest && params <= largest) return;
    // Of that budget alone: elsewhere the same fit may have seen its minima.
    prediction.not_usable = absl::StrFormat(
        "%s: N*(%.3g) = %.3g is outside the sizes %.3g to %.3g, though that C is inside the data",
        Name(prediction.method), prediction.flops, params, smallest, largest);
    report_.conclusion.contradictions.push_back(
        {"optimum-outside-sizes", {Name(prediction.method)}, *prediction.not_usable});
  }

  void Misfit() {
    const MethodFit* fit = FindFit(report_, Method::kParametric);
    if (fit == nullptr || fit->refused) return;
    if (report_.lack_of_fit && report_.lack_of_fit->rejected) {
      Condemn(Method::kParametric, "lack-of-fit",
              absl::StrFormat("parametric: %.0f %% of what it leaves over follows %s (p = %.2g)",
                              100 * report_.lack_of_fit->share, report_.lack_of_fit->pattern,
                              *report_.lack_of_fit->p));
    }
    if (report_.window && !report_.window->settled) {
      Condemn(Method::kParametric, "curve-starts",
              absl::StrFormat(
                  "parametric: curves begin %.2g off the law in ln L, beyond noise (p = "
                  "%.1g) and a third of the %.2g that runs differ by",
                  *report_.window->start, *report_.window->start_p, *report_.window->between_runs));
    }
    const std::optional<BackTest>& test = report_.back_test;
    if (test && !test->refused && test->fitted_decades >= 1 && test->held_out > 0 &&
        test->mean_error && std::abs(*test->mean_error) > 0.01 &&
        std::abs(*test->mean_error) > kBackTestBias * *test->rms_error_inside) {
      Condemn(Method::kParametric, "back-test",
              absl::StrFormat("parametric: fitted below C = %.3g it is off by %+.1f %% of the loss "
                              "above, %.1f times what it leaves inside",
                              test->cutoff_flops, 100 * std::expm1(*test->mean_error),
                              std::abs(*test->mean_error) / *test->rms_error_inside));
    }
  }

  // Of the report's own conventions: other counts of N differ by definition.
  void Disagreement() {
    const std::string own =
        absl::StrFormat(" [%s, %s]", report_.params_policy, report_.flops_convention);
    for (const Agreement& agreement : report_.agreement) {
      for (const Difference& one : agreement.differences) {
        if (!ClearlyApart(one)) continue;
        if (!one.first.ends_with(own) || !one.second.ends_with(own)) continue;
        const std::string first = one.first.substr(0, one.first.size() - own.size());
        const std::string second = one.second.substr(0, one.second.size() - own.size());
        std::string what = agreement.quantity;
        if (agreement.flops) absl::StrAppendFormat(&what, " at C = %.3g", *agreement.flops);
        const bool of_logs = agreement.quantity == "params" || agreement.quantity == "tokens";
        report_.conclusion.contradictions.push_back(
            {"methods-disagree",
             {first, second},
             of_logs
                 ? absl::StrFormat("%s and %s differ in %s by a factor of %.3g, beyond their "
                                   "joint interval",
                                   first, second, what, std::exp(one.difference))
                 : absl::StrFormat("%s and %s differ in %s by %+.4g, beyond their joint "
                                   "interval [%.4g, %.4g]",
                                   first, second, what, one.difference, *one.lower, *one.upper)});
      }
    }
  }

  // A prediction of a method that the data contradict has no interval.
  void Withdraw() {
    for (Prediction& prediction : report_.predictions) {
      const MethodFit* fit = FindFit(report_, prediction.method);
      if (fit != nullptr && fit->not_usable) prediction.not_usable = fit->not_usable;
      if (!prediction.not_usable) continue;
      for (Estimate* one : {&prediction.params, &prediction.tokens, &prediction.loss}) {
        one->lower.reset(), one->upper.reset(), one->df.reset();
      }
    }
    const MethodFit* law = FindFit(report_, Method::kParametric);
    for (TradeOff& row : report_.trade_offs) {
      for (NamedEstimate& part : row.parts) {
        if (law == nullptr || !law->not_usable) break;
        part.value.lower.reset(), part.value.upper.reset(), part.value.df.reset();
      }
    }
  }

  const DataView& view_;
  const double robust_sd_;
  FitReport& report_;
};

// D / N, from a tokens interval and the sizes' turned round: where N is low D is high.
Estimate Ratio(const Prediction& prediction) {
  Estimate ratio;
  if (!prediction.params.estimate || !prediction.tokens.estimate) return ratio;
  ratio.estimate = *prediction.tokens.estimate / *prediction.params.estimate;
  if (!prediction.params.lower || !prediction.tokens.lower) return ratio;
  ratio.lower = *prediction.tokens.lower / *prediction.params.upper;
  ratio.upper = *prediction.tokens.upper / *prediction.params.lower;
  return ratio;
}

// The first method of `order` whose prediction stands; one without bounds only after all that have.
const Prediction* Choose(const FitReport& report, double flops, const std::vector<Method>& order,
                         bool of_loss) {
  for (bool bounded : {true, false}) {
    for (Method method : order) {
      for (const Prediction& one : report.predictions) {
        if (one.method != method || one.flops != flops || one.not_usable) continue;
        const Estimate& value = of_loss ? one.loss : one.params;
        if (!value.estimate || (value.lower && value.upper) != bounded) continue;
        if (Determined(value, !of_loss)) return &one;
      }
    }
  }
  return nullptr;
}

std::string Why(const FitReport& report) {
  const Answer* answer =
      report.conclusion.answers.empty() ? nullptr : &report.conclusion.answers.front();
  std::vector<std::string> passed;
  for (const MethodFit& fit : report.fits) {
    if (answer != nullptr && answer->sized_by == fit.method) break;
    if (fit.method == Method::kLossCompute && answer != nullptr && answer->sized_by) continue;
    if (fit.not_usable) {
      passed.push_back("not usable: " + *fit.not_usable);
    } else if (fit.refused) {
      passed.push_back(absl::StrCat(Name(fit.method), " is refused: ", *fit.refused));
    } else if (answer != nullptr) {
      passed.push_back(Name(fit.method) + " leaves it undetermined");
    }
  }
  if (answer == nullptr) return absl::StrJoin(passed, "; ");
  std::string why;
  if (!answer->sized_by) {
    why = "no method determines N";
  } else if (answer->loss_by && answer->loss_by != answer->sized_by) {
    why = absl::StrFormat("N and D by %s, the loss by %s", Name(*answer->sized_by),
                          Name(*answer->loss_by));
  } else {
    why = "by " + Name(*answer->sized_by);
    if (!answer->loss_by) absl::StrAppend(&why, ", which predicts no loss");
  }
  absl::StrAppend(&why, passed.empty() ? ": nothing that was measured contradicts it" : ", for ",
                  absl::StrJoin(passed, "; "));
  return why;
}

}  // namespace

bool Determined(const Estimate& estimate, bool logarithmic) {
  if (!estimate.estimate) return false;
  if (!estimate.lower || !estimate.upper) return true;  // no interval, and its reason is said
  if (logarithmic) return *estimate.lower > 0 && *estimate.upper <= kMostRatio * *estimate.lower;
  return *estimate.upper - *estimate.lower <= std::max(1.0, 0.5 * std::abs(*estimate.estimate));
}

void Conclude(const DataView& view, double robust_sd, FitReport& report) {
  Rules(view, robust_sd, report).Apply();
  std::vector<double> budgets;
  for (const Prediction& one : report.predictions) {
    if (std::find(budgets.begin(), budgets.end(), one.flops) == budgets.end()) {
      budgets.push_back(one.flops);
    }
  }
  for (double flops : budgets) {
    Answer answer;
    answer.flops = flops;
    const Prediction* sized =
        Choose(report, flops, {Method::kParametric, Method::kFrontier, Method::kIsoflop}, false);
    const Prediction* loss =
        Choose(report, flops, {Method::kParametric, Method::kLossCompute}, true);
    if (sized != nullptr) {
      answer.sized_by = sized->method;
      answer.params = sized->params;
      answer.tokens = sized->tokens;
      answer.tokens_per_param = Ratio(*sized);
      answer.decades_outside = sized->decades_outside;
    }
    if (loss != nullptr) {
      answer.loss_by = loss->method;
      answer.loss = loss->loss;
      answer.decades_outside = std::max(answer.decades_outside, loss->decades_outside);
    }
    if (sized == nullptr && loss == nullptr) answer.decades_outside = view.DecadesOutside(flops);
    report.conclusion.answers.push_back(std::move(answer));
  }
  report.conclusion.why = Why(report);
}

}  // namespace allometry::fitting
