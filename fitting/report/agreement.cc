#include "fitting/report/agreement.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

Agreement Compare(const std::string& quantity, std::optional<double> flops, int k,
                  const std::vector<DataView>& views, const std::vector<SweepModel>& models,
                  const std::vector<Estimator>& estimators, bool logarithmic) {
  Agreement agreement;
  agreement.quantity = quantity;
  agreement.flops = flops;
  std::vector<const Estimator*> having;
  for (const Estimator& estimator : estimators) {
    if (std::isfinite(estimator.estimate[k])) having.push_back(&estimator);
  }
  const auto name = [&](const Estimator& estimator) {
    const DataView& view = views[estimator.view];
    return absl::StrFormat("%s [%s, %s]", estimator.method, view.params_policy,
                           view.flops_convention);
  };
  for (const Estimator* estimator : having) {
    const DataView& view = views[estimator->view];
    MethodEstimate row{estimator->method, view.params_policy, view.flops_convention, {}};
    const double df = models[estimator->view].df;
    const auto shown = [&](double q) { return logarithmic ? std::exp(q) : q; };
    const double value = estimator->estimate[k];
    row.value.estimate = shown(value);
    if (const std::optional<double> half = df > 0 ? HalfWidth(*estimator, k, df) : std::nullopt) {
      row.value.lower = shown(value - *half);
      row.value.upper = shown(value + *half);
      row.value.df = df;
    }
    agreement.estimates.push_back(row);
  }
  for (size_t i = 0; i < having.size(); ++i) {
    for (size_t j = i + 1; j < having.size(); ++j) {
      const Estimator &first = *having[i], &second = *having[j];
      const bool same_view = first.view == second.view;
      const bool same_method = first.method == second.method && first.view == 0;
      if (!same_view && !same_method) continue;
      Difference difference;
      difference.first = name(first);
      difference.second = name(second);
      difference.difference = first.estimate[k] - second.estimate[k];
      const double df = std::min(models[first.view].df, models[second.view].df);
      if (const std::optional<double> half =
              df > 0 ? HalfWidth(first, second, k, df) : std::nullopt) {
        difference.lower = difference.difference - *half;
        difference.upper = difference.difference + *half;
        difference.covers_zero = *difference.lower <= 0 && *difference.upper >= 0;
      }
      agreement.differences.push_back(difference);
    }
  }
  return agreement;
}

}  // namespace

std::vector<Agreement> MakeAgreement(const std::vector<DataView>& views,
                                     const std::vector<SweepModel>& models,
                                     const std::vector<Estimator>& estimators,
                                     const Layout& layout) {
  std::vector<Agreement> result;
  const auto add = [&](const std::string& quantity, std::optional<double> flops, int k,
                       bool logarithmic) {
    Agreement agreement = Compare(quantity, flops, k, views, models, estimators, logarithmic);
    if (agreement.estimates.size() > 1) result.push_back(std::move(agreement));
  };
  const bool any_own_flops =
      std::any_of(views.begin(), views.end(), [](const DataView& v) { return !v.cost.six_n_d(); });
  add("a", std::nullopt, Layout::kA, false);
  add("E", std::nullopt, Layout::kFloor, false);
  for (size_t k = 0; k < layout.budgets.size(); ++k) {
    add("params", layout.budgets[k], layout.LogParams(k), true);
    // Under C = 6 N D the tokens say nothing that the parameters did not.
    if (any_own_flops) add("tokens", layout.budgets[k], layout.LogTokens(k), true);
    add("loss", layout.budgets[k], layout.Loss(k), false);
  }
  return result;
}

void ShowOneInterval(FitReport& report) {
  const auto same = [](const Estimate& a, const Estimate& b) {
    return a.estimate && b.estimate &&
           std::abs(*a.estimate - *b.estimate) <= 1e-9 * std::abs(*b.estimate);
  };
  for (Agreement& agreement : report.agreement) {
    for (MethodEstimate& row : agreement.estimates) {
      if (row.params_policy != report.params_policy ||
          row.flops_convention != report.flops_convention) {
        continue;
      }
      for (const MethodFit& fit : report.fits) {
        const Estimate* own = fit.Find(agreement.quantity);
        if (Name(fit.method) == row.method && own != nullptr && same(row.value, *own)) {
          row.value = *own;
        }
      }
      for (const Prediction& one : report.predictions) {
        if (Name(one.method) != row.method || agreement.flops != one.flops) continue;
        for (const Estimate* own : {&one.params, &one.tokens, &one.loss}) {
          if (same(row.value, *own)) row.value = *own;
        }
      }
    }
  }
}

}  // namespace allometry::fitting
