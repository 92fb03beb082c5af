#include "fitting/direct/scores.h"

#include <ceres/ceres.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "fitting/data/cluster.h"
#include "fitting/data/numeric_table.h"
#include "fitting/data/utf8.h"
#include "fitting/interval/regression.h"
#include "fitting/report/cells.h"
#include "fitting/report/json_values.h"
#include "fitting/report/read_text.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

enum Column { kLoss, kScore, kParams };
constexpr double kManyDf = 1e6;
constexpr double kNarrowest = 1e-3, kWidest = 100;  // w, of the range of the losses

const std::vector<WantedColumn>& Wanted() {
  static const std::vector<WantedColumn> wanted = {
      {"loss", Role::kLoss, {}, true},
      {"score",
       Role::kRoles,
       {"score", "accuracy", "acc", "accnorm", "exactmatch", "passat1", "passrate", "f1"},
       true,
       true},
      {"N", Role::kParams, {}}};
  return wanted;
}

// 1 / (1 + exp(u)) without overflow, u = loss above half over w.
template <class T>
T Sigmoid(const T& loss_above_half, const T& log_width) {
  using std::exp;
  using std::tanh;
  return 0.5 * (1.0 - tanh(0.5 * loss_above_half * exp(-log_width)));
}

// score - S(loss) over (m, ln w).
struct RunCost {
  double loss, score, chance, ceiling;
  template <class T>
  bool operator()(const T* theta, T* residual) const {
    residual[0] = score - (chance + (ceiling - chance) * Sigmoid<T>(loss - theta[0], theta[1]));
    return true;
  }
};

struct Solution {
  double theta[2] = {0, 0};
  double value = 0;
  bool usable = false;
};

// `range`: of the losses; w lies within a thousandth and a hundred times of it.
Solution Descend(const ScoreTable& table, const ScoreOptions& options, double half,
                 double log_width, double range) {
  Solution solution;
  solution.theta[0] = half, solution.theta[1] = log_width;
  ceres::Problem problem;
  for (const ScoredRun& run : table.runs) {
    problem.AddResidualBlock(new ceres::AutoDiffCostFunction<RunCost, 1, 2>(
                                 new RunCost{run.loss, run.score, options.chance, options.ceiling}),
                             nullptr, solution.theta);
  }
  problem.SetParameterLowerBound(solution.theta, 1, std::log(kNarrowest * range));
  problem.SetParameterUpperBound(solution.theta, 1, std::log(kWidest * range));
  ceres::Solver::Options solver;
  solver.linear_solver_type = ceres::DENSE_QR;
  solver.max_num_iterations = 200;
  solver.function_tolerance = 1e-14;
  solver.parameter_tolerance = 1e-12;
  solver.gradient_tolerance = 1e-14;
  solver.logging_type = ceres::SILENT;
  ceres::Solver::Summary summary;
  ceres::Solve(solver, &problem, &summary);
  solution.value = 2 * summary.final_cost;
  solution.usable = summary.IsSolutionUsable() && std::isfinite(solution.theta[0]) &&
                    std::isfinite(solution.theta[1]);
  return solution;
}

// The probability of so few changes of sign along the loss where signs are independent.
double PatternP(std::vector<std::pair<double, double>> residuals) {
  std::sort(residuals.begin(), residuals.end());
  const int n = static_cast<int>(residuals.size()) - 1;
  int changes = 0;
  for (int i = 1; i <= n; ++i) {
    changes += (residuals[i].second > 0) != (residuals[i - 1].second > 0);
  }
  double p = 0;
  for (int k = 0; k <= changes; ++k) {
    p += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                  n * std::log(2.0));
  }
  return p;
}

std::vector<int> SizesOf(const ScoreTable& table) {
  std::vector<int> of;
  std::vector<double> sizes;
  for (const ScoredRun& run : table.runs) {
    if (!(run.params > 0)) {
      of.push_back(static_cast<int>(sizes.size()));
      sizes.push_back(-1);
      continue;
    }
    const double size = std::log(run.params);
    const auto same = std::find_if(sizes.begin(), sizes.end(),
                                   [&](double other) { return std::abs(other - size) < 1e-3; });
    of.push_back(static_cast<int>(same - sizes.begin()));
    if (same == sizes.end()) sizes.push_back(size);
  }
  return of;
}

}  // namespace

absl::StatusOr<ScoreTable> ReadScores(const std::string& path, const CsvOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const NumericTable table, ReadNumericTable(path, Wanted(), options));
  ScoreTable scores;
  scores.read = table.read;
  scores.total = table.total;
  for (const Exclusion& one : table.exclusions) {
    if (!absl::EndsWith(one.reason, "is missing")) scores.exclusions.push_back(one);
  }
  for (const std::vector<double>& row : table.rows) {
    scores.runs.push_back({row[kLoss], row[kScore], std::isnan(row[kParams]) ? 0 : row[kParams]});
  }
  return scores;
}

double ScoreFit::Score(double loss) const {
  return options.chance + (options.ceiling - options.chance) *
                              Sigmoid(loss - *half.estimate, std::log(*width.estimate));
}

absl::StatusOr<ScoreFit> FitScores(const ScoreTable& table, const ScoreOptions& options,
                                   const std::vector<ScoreFit::At>& losses) {
  if (!(options.chance < options.ceiling) || !std::isfinite(options.chance) ||
      !std::isfinite(options.ceiling)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("chance %g and ceiling %g: chance must be below the ceiling",
                        options.chance, options.ceiling));
  }
  ScoreFit fit;
  fit.table = table;
  fit.options = options;
  fit.predictions = losses;
  const double range = options.ceiling - options.chance;
  double low = 1e300, high = -1e300, best = -1e300, worst = 1e300;
  for (const ScoredRun& run : table.runs) {
    low = std::min(low, run.loss), high = std::max(high, run.loss);
    best = std::max(best, run.score), worst = std::min(worst, run.score);
  }
  fit.lowest_loss = low;
  if (table.runs.size() >= 4 && !(high > low)) {
    fit.refused = absl::StrFormat("all runs have the loss %.4g", low);
    return fit;
  }
  if (table.runs.size() < 4) {
    fit.refused = absl::StrFormat("%d runs with a score: at least 4 are needed", table.runs.size());
    return fit;
  }
  if (best > options.ceiling + 0.05 * range || worst < options.chance - 0.25 * range) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "scores from %g to %g do not lie between chance %g and ceiling %g: --chance and --ceiling "
        "say what they are (percentages have a ceiling of 100)",
        worst, best, options.chance, options.ceiling));
  }
  if (best - options.chance < 0.05 * range) {
    fit.refused = absl::StrFormat(
        "the best score, %.4g, is hardly above chance %.4g: the runs do not show the rise", best,
        options.chance);
    return fit;
  }
  Solution solution;
  for (double at : {0.0, 0.25, 0.5, 0.75, 1.0, -0.5}) {
    for (double width : {0.05, 0.2, 0.6}) {
      const Solution one = Descend(table, options, low + at * (high - low),
                                   std::log(width * (high - low)), high - low);
      if (one.usable && (!solution.usable || one.value < solution.value)) solution = one;
    }
  }
  if (!solution.usable) {
    fit.refused = "the solver failed from every start";
    return fit;
  }
  const double half = solution.theta[0], width = std::exp(solution.theta[1]);
  if (width < 1.01 * kNarrowest * (high - low) || width > 0.99 * kWidest * (high - low)) {
    fit.refused = absl::StrFormat(
        "w = %.3g: the runs do not show how the score rises over losses "
        "from %.4g to %.4g",
        width, low, high);
  }
  const int n = static_cast<int>(table.runs.size());
  fit.rms = std::sqrt(solution.value / n);
  // J of S over (m, ln w).
  const auto row = [&](double loss) {
    const double s = Sigmoid(loss - half, solution.theta[1]);
    const double slope = range * s * (1 - s);
    return Eigen::Vector2d(slope / width, slope * (loss - half) / width);
  };
  Eigen::MatrixXd rows(n, 2);
  Eigen::VectorXd rest(n);
  std::vector<std::pair<double, double>> residuals;
  for (int i = 0; i < n; ++i) {
    const ScoredRun& run = table.runs[i];
    rows.row(i) = row(run.loss).transpose();
    rest[i] = run.score - options.chance - range * Sigmoid(run.loss - half, solution.theta[1]);
    residuals.push_back({run.loss, rest[i]});
  }
  const Regression linear = Regress(rows, rest, std::vector<double>(n, 1.0), SizesOf(table));
  if (linear.refused && !fit.refused) fit.refused = linear.refused;
  const bool by_size = std::any_of(table.runs.begin(), table.runs.end(),
                                   [](const ScoredRun& run) { return run.params > 0; });
  fit.interval = !linear.no_interval.empty() ? "none: " + linear.no_interval
                 : by_size                   ? "CR2 by sizes"
                                             : "CR2 by rows";
  const auto spread = [&](double value, const Eigen::Vector2d& g, bool logarithmic) {
    Estimate estimate;
    estimate.estimate = logarithmic ? std::exp(value) : value;
    const Estimate change = linear.Of(g);
    if (fit.refused || !change.lower) return estimate;
    const double wide = *change.upper - *change.estimate;
    estimate.lower = logarithmic ? std::exp(value - wide) : value - wide;
    estimate.upper = logarithmic ? std::exp(value + wide) : value + wide;
    estimate.df = change.df;
    return estimate;
  };
  fit.half = spread(half, {1, 0}, false);
  fit.width = spread(solution.theta[1], {0, 1}, true);
  const double p = PatternP(residuals);
  if (p < 0.05 && fit.rms > 0.005 * range) {
    fit.not_usable = absl::StrFormat(
        "the residuals follow a pattern along the loss (p = %.2g): chance %g, ceiling %g or the "
        "sigmoid is wrong",
        p, options.chance, options.ceiling);
  }
  for (ScoreFit::At& at : fit.predictions) {
    if (!at.loss.estimate) continue;
    const double loss = *at.loss.estimate;
    const Eigen::Vector2d g = row(loss);
    at.score = spread(fit.Score(loss), g, false);
    if (fit.not_usable || !at.score.lower || !at.loss.lower || !at.loss.upper) {
      at.score.lower.reset(), at.score.upper.reset(), at.score.df.reset();
      continue;
    }
    const double df = at.score.df.value_or(kManyDf), loss_df = at.loss.df.value_or(kManyDf);
    const double own = (*at.score.upper - *at.score.estimate) / StudentQuantile(0.975, df);
    const double of_loss =
        g[0] * 0.5 * (*at.loss.upper - *at.loss.lower) / StudentQuantile(0.975, loss_df);
    const double a = own * own, b = of_loss * of_loss;
    const double joint = (a + b) * (a + b) / (a * a / df + b * b / loss_df);
    const double wide = StudentQuantile(0.975, std::max(1.0, joint)) * std::sqrt(a + b);
    at.score.lower = std::max(options.chance, *at.score.estimate - wide);
    at.score.upper = std::min(options.ceiling, *at.score.estimate + wide);
    at.score.df = joint;
  }
  return fit;
}

std::string ScoresText(const ScoreFit& fit) {
  std::string out;
  for (const ScoreFit::At& at : fit.predictions) {
    const bool said = !fit.refused && at.score.estimate;
    std::string line =
        absl::StrFormat("At C = %s FLOPs: loss %s, score %s", Short(at.flops, 2), LossCell(at.loss),
                        said ? LossCell(at.score) : "not determined");
    if (said && *at.loss.estimate < fit.lowest_loss) {
      absl::StrAppendFormat(&line, "; the loss is %.3f below the best that has a score",
                            fit.lowest_loss - *at.loss.estimate);
    }
    Wrap(line + ".", 0, out);
  }
  if (fit.refused) Wrap("REFUSED: " + *fit.refused, 0, out);
  if (fit.not_usable) Wrap("NOT USABLE: " + *fit.not_usable, 0, out);
  if (!fit.predictions.empty()) absl::StrAppend(&out, "\n");
  for (const std::string& line : ReadLines(fit.table.read)) Wrap(line, 0, out);
  absl::StrAppendFormat(&out, "%d of %d rows have a loss and a score\n", fit.table.runs.size(),
                        fit.table.total);
  ListExclusions(fit.table.exclusions, out);
  if (!fit.half.estimate) return out;
  absl::StrAppendFormat(
      &out, "score = %g + %g / (1 + exp((loss - m) / w))\n  m  %s\n  w  %s\n  rms %.4g\n",
      fit.options.chance, fit.options.ceiling - fit.options.chance, LossCell(fit.half),
      LossCell(fit.width), fit.rms);
  Wrap("interval: " + fit.interval, 2, out);
  return out;
}

std::string ScoresJson(const ScoreFit& fit) {
  Json predictions = Json::array();
  for (const ScoreFit::At& at : fit.predictions) {
    predictions.push_back({{"flops", at.flops},
                           {"loss", ToJson(at.loss, false)},
                           {"score", ToJson(at.score, false)}});
  }
  return Dump({{"chance", fit.options.chance},
               {"ceiling", fit.options.ceiling},
               {"half", ToJson(fit.half, false)},
               {"width", ToJson(fit.width, false)},
               {"rms", fit.rms},
               {"runs", fit.table.runs.size()},
               {"total", fit.table.total},
               {"interval", fit.interval},
               {"refused", Text(fit.refused)},
               {"not_usable", Text(fit.not_usable)},
               {"predictions", predictions}});
}

}  // namespace allometry::fitting
