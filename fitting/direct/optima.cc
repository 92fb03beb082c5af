#include "fitting/direct/optima.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/numeric_table.h"
#include "fitting/data/utf8.h"
#include "fitting/interval/regression.h"
#include "fitting/method/loss_compute.h"
#include "fitting/report/cells.h"
#include "fitting/report/json_values.h"
#include "fitting/report/read_text.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

enum Column { kFlops, kParams, kTokens, kLoss, kWeight };

const std::vector<WantedColumn>& Wanted() {
  static const std::vector<WantedColumn> wanted = {
      {"C", Role::kFlops, {}, true},
      {"N",
       Role::kParams,
       {"nopt", "nstar", "n*", "optimaln", "optn", "bestn", "paramsopt", "optparams",
        "optimalparams", "paramsstar", "bestparams", "nparamsopt"}},
      {"D",
       Role::kTokens,
       {"dopt", "dstar", "d*", "optimald", "optd", "bestd", "tokensopt", "opttokens",
        "optimaltokens", "tokensstar", "besttokens"}},
      {"loss",
       Role::kLoss,
       {"lopt", "lstar", "l*", "optimalloss", "bestloss", "minloss", "lossopt", "lossstar"}},
      {"weight", Role::kWeight, {}}};
  return wanted;
}

OptimaLaw FitPower(const OptimaTable& table, const std::vector<double>& budgets, bool of_params) {
  OptimaLaw law;
  law.quantity = of_params ? "params" : "tokens";
  std::vector<double> x, y, weight;
  for (const OptimaRow& row : table.rows) {
    const std::optional<double>& own = of_params ? row.params : row.tokens;
    const std::optional<double>& other = of_params ? row.tokens : row.params;
    if (!own && !other) continue;
    x.push_back(std::log(row.flops));
    y.push_back(own ? std::log(*own) : std::log(row.flops / (6 * *other)));
    weight.push_back(row.weight);
  }
  law.rows = static_cast<int64_t>(x.size());
  if (x.empty()) {
    law.refused = "no row gives it";
    return law;
  }
  double center = 0;
  for (double value : x) center += value / static_cast<double>(x.size());
  Eigen::MatrixXd rows(x.size(), 2);
  Eigen::VectorXd values(x.size());
  std::vector<int> cluster(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    rows(i, 0) = 1, rows(i, 1) = x[i] - center;
    values[i] = y[i];
    cluster[i] = static_cast<int>(i);
  }
  const Regression fit = Regress(rows, values, weight, cluster);
  law.refused = fit.refused;
  if (fit.refused) return law;
  law.rms = fit.rms;
  law.no_interval = fit.no_interval;
  law.parameters = {{of_params ? "a" : "b", fit.Of(Eigen::Vector2d(0, 1))},
                    {"coefficient", Exponential(fit.Of(Eigen::Vector2d(1, -center)))}};
  for (double flops : budgets) {
    law.at_budgets.push_back(Exponential(fit.Of(Eigen::Vector2d(1, std::log(flops) - center))));
  }
  return law;
}

OptimaLaw FitLoss(const OptimaTable& table, const std::vector<double>& budgets,
                  std::vector<std::string>& contradictions) {
  OptimaLaw law;
  law.quantity = "loss";
  std::vector<FrontierPoint> points;
  std::vector<double> weights;
  double best = std::numeric_limits<double>::infinity();
  for (const OptimaRow& row : table.rows) {
    if (!row.loss) continue;
    points.push_back({std::log(row.flops), 0, 0, std::log(*row.loss)});
    weights.push_back(row.weight);
    best = std::min(best, *row.loss);
  }
  law.rows = static_cast<int64_t>(points.size());
  const LossCompute fit = FitLossCompute(points, 0, &weights);
  law.refused = fit.refused;
  if (!fit.solved) return law;
  law.reference_flops = std::exp(fit.log_reference);
  law.rms = std::sqrt(fit.value / static_cast<double>(points.size()));
  const std::optional<Eigen::Matrix3d> covariance = LossCovariance(points, &weights, fit);
  if (!covariance && !fit.refused) law.no_interval = "the covariance is singular";
  const double df = static_cast<double>(points.size()) - 3;
  const auto make = [&](double value, const Eigen::Vector3d& g) {
    Estimate estimate;
    estimate.estimate = value;
    if (!covariance) return estimate;
    const double half = StudentQuantile(0.975, df) * std::sqrt(g.dot(*covariance * g));
    estimate.lower = value - half, estimate.upper = value + half;
    estimate.df = df;
    return estimate;
  };
  law.parameters = {{"E", make(fit.floor, {1, 0, 0})},
                    {"c", make(fit.exponent, {0, 0, 1})},
                    {"excess", make(fit.excess, {0, 1, 0})}};
  if (fit.floor > best) {
    contradictions.push_back(
        absl::StrFormat("E = %.4f is above the loss %.4f in the table", fit.floor, best));
  }
  const double deviation = law.rms * std::sqrt(static_cast<double>(points.size()) / df);
  for (double flops : budgets) {
    const double u = std::log(flops) - fit.log_reference;
    const double power = std::exp(-fit.exponent * u);
    law.at_budgets.push_back(make(fit.Loss(flops), {1, power, -fit.excess * power * u}));
    for (const FrontierPoint& point : points) {
      if (point.log_flops > std::log(flops) * (1 + 1e-12)) continue;
      if (fit.Loss(flops) <= std::exp(point.log_loss) + 2 * deviation) continue;
      contradictions.push_back(
          absl::StrFormat("L*(%.3g) = %.4f is above the loss %.4f at C = %.3g in the table", flops,
                          fit.Loss(flops), std::exp(point.log_loss), std::exp(point.log_flops)));
      break;
    }
  }
  return law;
}

}  // namespace

absl::StatusOr<std::vector<OptimaTable>> ReadOptima(const std::string& path,
                                                    const CsvOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const NumericTable table, ReadNumericTable(path, Wanted(), options));
  if (!table.has[kParams] && !table.has[kTokens] && !table.has[kLoss]) {
    return absl::InvalidArgumentError(
        absl::StrCat(table.read.file,
                     ": beside C a column for N*, D* or the loss is needed (N_opt, D_opt, loss; "
                     "--column N=NAME says which)"));
  }
  const auto value = [](double x) {
    return std::isnan(x) ? std::nullopt : std::optional<double>(x);
  };
  std::vector<OptimaTable> groups;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    auto found = std::find_if(groups.begin(), groups.end(), [&](const OptimaTable& group) {
      return group.group == table.groups[i];
    });
    if (found == groups.end()) {
      OptimaTable fresh;
      fresh.group = table.groups[i];
      fresh.read = table.read;
      if (groups.empty()) fresh.exclusions = table.exclusions;
      groups.push_back(std::move(fresh));
      found = groups.end() - 1;
    }
    const std::vector<double>& row = table.rows[i];
    found->rows.push_back({row[kFlops], value(row[kParams]), value(row[kTokens]), value(row[kLoss]),
                           value(row[kWeight]).value_or(1), table.lines[i]});
    ++found->total;
  }
  groups.front().total += static_cast<int64_t>(table.total - table.rows.size());
  return groups;
}

absl::StatusOr<OptimaFit> FitOptima(const OptimaTable& table, std::vector<double> budgets) {
  if (table.rows.empty()) return absl::InvalidArgumentError("no rows to fit");
  OptimaFit fit;
  fit.table = table;
  fit.lowest_flops = std::numeric_limits<double>::infinity();
  bool sized = false, lossy = false;
  for (const OptimaRow& row : table.rows) {
    fit.lowest_flops = std::min(fit.lowest_flops, row.flops);
    fit.highest_flops = std::max(fit.highest_flops, row.flops);
    sized |= row.params.has_value() || row.tokens.has_value();
    lossy |= row.loss.has_value();
    if (row.params && row.tokens && fit.notes.empty()) {
      const double ratio = row.flops / (6 * *row.params * *row.tokens);
      if (ratio > 1.5 || ratio < 1 / 1.5) {
        fit.notes.push_back(absl::StrFormat(
            "line %d: C is %.3g times 6 N* D*, so that a and b are of the table's own C", row.line,
            ratio));
      }
    }
  }
  if (budgets.empty()) budgets = {10 * fit.highest_flops};
  fit.budgets = budgets;
  if (sized) {
    fit.laws.push_back(FitPower(table, budgets, true));
    fit.laws.push_back(FitPower(table, budgets, false));
  }
  if (lossy) fit.laws.push_back(FitLoss(table, budgets, fit.contradictions));
  std::vector<std::pair<double, double>> by_flops;  // ln C, ln N
  for (const OptimaRow& row : table.rows) {
    if (row.params) by_flops.push_back({std::log(row.flops), std::log(*row.params)});
  }
  std::sort(by_flops.begin(), by_flops.end());
  for (size_t k = 1; k < by_flops.size(); ++k) {
    if (by_flops[k].first - by_flops[k - 1].first > 0.01) continue;
    if (std::abs(by_flops[k].second - by_flops[k - 1].second) < std::log(1.5)) continue;
    fit.contradictions.push_back(absl::StrFormat(
        "N* at C = %.3g is both %.3g and %.3g: is it a table of runs? 'allo fit' reads those",
        std::exp(by_flops[k].first), std::exp(by_flops[k - 1].second),
        std::exp(by_flops[k].second)));
    break;
  }
  // A table's staircase: few sizes, each the best over a range of C.
  std::vector<double> sizes;
  for (const OptimaRow& row : table.rows) {
    if (row.params) sizes.push_back(*row.params);
  }
  std::sort(sizes.begin(), sizes.end());
  const size_t distinct = std::unique(sizes.begin(), sizes.end()) - sizes.begin();
  if (distinct > 0 && 2 * distinct <= sizes.size()) {
    fit.notes.push_back(absl::StrFormat(
        "%d rows have %d different N*: a staircase, whose rows are not independent, so the "
        "intervals are too narrow",
        sizes.size(), distinct));
  }
  return fit;
}

namespace {

std::string Symbol(const OptimaLaw& law) {
  return law.quantity == "params" ? "N*" : law.quantity == "tokens" ? "D*" : "L*";
}

}  // namespace

std::string OptimaText(const std::vector<OptimaFit>& fits) {
  std::string out;
  for (const OptimaFit& fit : fits) {
    if (fits.size() > 1)
      absl::StrAppend(&out, "===== ", SafePrefix(fit.table.group, 60), " =====\n");
    for (size_t b = 0; b < fit.budgets.size(); ++b) {
      std::string line = absl::StrFormat("At C = %s FLOPs:", Short(fit.budgets[b], 2));
      for (const OptimaLaw& law : fit.laws) {
        absl::StrAppend(&line, " ", Symbol(law), " ",
                        law.refused              ? "not determined"
                        : law.quantity == "loss" ? LossCell(law.at_budgets[b])
                                                 : ShortCell(law.at_budgets[b]),
                        ";");
      }
      const double outside = std::max({0.0, std::log10(fit.budgets[b] / fit.highest_flops),
                                       std::log10(fit.lowest_flops / fit.budgets[b])});
      Wrap(absl::StrFormat("%s %.1f decades outside of the table.", line, outside), 0, out);
    }
    Wrap(absl::StrCat("Contradictions: ",
                      fit.contradictions.empty() ? "none" : absl::StrJoin(fit.contradictions, "; "),
                      "."),
         0, out);
    absl::StrAppend(&out, "\n");
    for (const std::string& line : ReadLines(fit.table.read)) Wrap(line, 0, out);
    absl::StrAppendFormat(&out, "%d of %d rows used\n", fit.table.rows.size(), fit.table.total);
    ListExclusions(fit.table.exclusions, out);
    for (const std::string& note : fit.notes) Wrap("note: " + note, 0, out);
    for (const OptimaLaw& law : fit.laws) {
      absl::StrAppendFormat(&out, "\n%s, %d rows%s\n",
                            law.quantity == "loss"     ? "L* = E + excess (C/C_ref)^-c"
                            : law.quantity == "params" ? "N* = coefficient C^a"
                                                       : "D* = coefficient C^b",
                            law.rows,
                            law.reference_flops > 0
                                ? absl::StrFormat(", C_ref %s", Short(law.reference_flops, 2))
                                : "");
      if (law.refused) Wrap("REFUSED: " + *law.refused, 2, out);
      for (const NamedEstimate& one : law.parameters) {
        absl::StrAppendFormat(
            &out, "  %-12s %s\n", one.name,
            one.name == "coefficient" ? ShortCell(one.value) : LossCell(one.value));
      }
      if (!law.parameters.empty()) {
        absl::StrAppendFormat(&out, "  rms %.4g%s\n", law.rms,
                              law.quantity == "loss" ? " nats" : " of the logarithm");
      }
      if (!law.no_interval.empty()) Wrap("no interval: " + law.no_interval, 2, out);
    }
  }
  return out;
}

std::string OptimaJson(const std::vector<OptimaFit>& fits) {
  Json groups = Json::array();
  for (const OptimaFit& fit : fits) {
    Json laws = Json::array();
    for (const OptimaLaw& law : fit.laws) {
      Json parameters = Json::object(), budgets = Json::array();
      for (const NamedEstimate& one : law.parameters)
        parameters[one.name] = ToJson(one.value, true);
      for (size_t b = 0; b < law.at_budgets.size(); ++b) {
        Json row = {{"flops", fit.budgets[b]}};
        row.update(ToJson(law.at_budgets[b], true));
        budgets.push_back(row);
      }
      laws.push_back(
          {{"quantity", law.quantity},
           {"rows", law.rows},
           {"parameters", parameters},
           {"reference_flops", law.reference_flops > 0 ? Json(law.reference_flops) : Json(nullptr)},
           {"rms", Number(law.rms)},
           {"at_budgets", budgets},
           {"refused", Text(law.refused)}});
    }
    groups.push_back({{"group", Text(fit.table.group)},
                      {"rows", fit.table.rows.size()},
                      {"total", fit.table.total},
                      {"laws", laws},
                      {"contradictions", Texts(fit.contradictions)},
                      {"notes", Texts(fit.notes)}});
  }
  return Dump({{"groups", groups}});
}

}  // namespace allometry::fitting
