#include "fitting/method/resample.h"

#include <cmath>
#include <limits>

#include "fitting/interval/interval.h"
#include "fitting/solve/optimum.h"
#include "fitting/solve/parallel.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr size_t kFewestSweeps = 20;  // for a standard deviation

std::optional<double> HalfWidthOf(const std::vector<double>& values, size_t drawn, double df) {
  if (values.size() < kFewestSweeps || values.size() * 10 < drawn * 9) return std::nullopt;
  return StudentQuantile(0.975, df) * StandardDeviation(values);
}

// From the window's points to all: f is the law inside, and the data less the run's error outside.
void Spread(const DataView& view, const WindowedView& window, const Clusters& curves,
            const std::vector<double>& adjusted, const std::vector<double>& residuals,
            SweepModel& model) {
  const std::vector<double>& log_loss = view.sample.log_loss;
  model.fitted = log_loss;
  model.adjusted.assign(log_loss.size(), 0);
  for (size_t k = 0; k < window.index.size(); ++k) {
    model.fitted[window.index[k]] = log_loss[window.index[k]] - residuals[k];
    model.adjusted[window.index[k]] = adjusted[k];
  }
  if (window.Whole(view)) return;
  std::vector<char> inside(log_loss.size(), 0);
  for (int i : window.index) inside[i] = 1;
  for (const std::vector<int>& members : curves.Members()) {
    for (int i : members) {
      if (inside[i]) continue;
      int nearest = -1;
      for (int j : members) {
        if (!inside[j]) continue;
        if (nearest < 0 || std::abs(view.sample.y[j] - view.sample.y[i]) <
                               std::abs(view.sample.y[nearest] - view.sample.y[i])) {
          nearest = j;
        }
      }
      if (nearest < 0) continue;
      model.adjusted[i] = model.adjusted[nearest];
      model.fitted[i] = log_loss[i] - (log_loss[nearest] - model.fitted[nearest]);
    }
  }
}

}  // namespace

SweepModel MakeSweepModel(const DataView& view, const WindowedView& window,
                          const Clusters& curves) {
  SweepModel model;
  const Objective squares{ObjectiveKind::kLsqLog, 0};
  for (LawKind kind : {LawKind::kStandard, LawKind::kNoFloor}) {
    const Problem problem{&FindLaw(kind), squares, 0};
    const Sample& sample = window.view.sample;
    const Optimum optimum = FindOptimum(problem, sample);
    if (optimum.refused) {
      if (model.unusable.empty()) {
        model.unusable = "no parametric fit of the curves to resample from: " + *optimum.refused;
      }
      continue;
    }
    model.unusable.clear();
    const Quantity a{QuantityKind::kA, 0, view.cost};
    const Clusters inside = Restrict(curves, window.index);
    const Cr2 cr2 = ComputeCr2(problem, sample, inside, optimum.theta, {a}, nullptr);
    model.df = cr2.df[0];
    std::vector<double> residuals;
    for (size_t i = 0; i < sample.size(); ++i) {
      residuals.push_back(Residual(*problem.law, squares, sample, optimum.theta, i, nullptr));
    }
    model.intraclass_correlation = IntraclassCorrelation(residuals, inside.of, inside.count);
    Spread(view, window, curves, cr2.adjusted, residuals, model);
    break;
  }
  return model;
}

std::vector<double> Layout::Empty() const {
  return std::vector<double>(size(), std::numeric_limits<double>::quiet_NaN());
}

void ResampleSweeps(const std::vector<SweepModel>& models, const Clusters& curves, int resamples,
                    uint64_t seed, int threads, const std::function<bool()>& cancelled,
                    std::vector<Estimator>& estimators) {
  for (Estimator& estimator : estimators) {
    if (models[estimator.view].unusable.empty()) estimator.draws.resize(resamples);
  }
  ParallelFor(resamples, threads, cancelled, [&](int b) {
    Random random(seed, b);
    std::vector<double> signs(curves.count);
    for (double& sign : signs) sign = random.Sign();
    for (size_t v = 0; v < models.size(); ++v) {
      if (!models[v].unusable.empty()) continue;
      std::vector<double> log_loss = models[v].fitted;
      for (size_t i = 0; i < log_loss.size(); ++i) {
        log_loss[i] += signs[curves.of[i]] * models[v].adjusted[i];
      }
      for (Estimator& estimator : estimators) {
        if (estimator.view == v) estimator.draws[b] = estimator.evaluate(log_loss);
      }
    }
  });
}

std::optional<double> HalfWidth(const Estimator& estimator, int k, double df) {
  std::vector<double> values;
  for (const std::vector<double>& draw : estimator.draws) {
    if (std::isfinite(draw[k])) values.push_back(draw[k]);
  }
  return HalfWidthOf(values, estimator.draws.size(), df);
}

std::optional<double> HalfWidth(const Estimator& first, const Estimator& second, int k, double df) {
  if (first.draws.size() != second.draws.size()) return std::nullopt;
  std::vector<double> values;
  for (size_t b = 0; b < first.draws.size(); ++b) {
    const double difference = first.draws[b][k] - second.draws[b][k];
    if (std::isfinite(difference)) values.push_back(difference);
  }
  return HalfWidthOf(values, first.draws.size(), df);
}

}  // namespace allometry::fitting
