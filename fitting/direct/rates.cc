#include "fitting/direct/rates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/numeric_table.h"
#include "fitting/data/utf8.h"
#include "fitting/interval/regression.h"
#include "fitting/method/frontier.h"
#include "fitting/report/cells.h"
#include "fitting/report/json_values.h"
#include "fitting/report/read_text.h"

namespace allometry::fitting {
namespace {

enum Column { kParams, kTokens, kLoss, kRate, kBatch };

const std::vector<WantedColumn>& Wanted() {
  static const std::vector<WantedColumn> wanted = {
      {"N", Role::kParams, {}, true},
      {"D", Role::kTokens, {}, true},
      {"loss", Role::kLoss, {}, true},
      {"lr",
       Role::kRoles,
       {"lr", "learningrate", "maxlr", "peaklr", "peaklearningrate", "maxlearningrate", "baselr",
        "configlr", "configlearningrate"},
       true},
      {"batch",
       Role::kRoles,
       {"batchtokens", "tokensperbatch", "tokensperupdate", "batchsizetokens", "globalbatchsize",
        "batchsize", "batch", "bs"}}};
  return wanted;
}

// ln N, ln D and ln B that are the same group: shapes and step counts are rounded.
constexpr double kSame = 0.02;

// Positions of the values, in ascending clusters no wider than kSame from their first.
std::vector<int> Clustered(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<int> of(values.size(), 0);
  int cluster = -1;
  double first = 0;
  for (size_t i : order) {
    if (cluster < 0 || values[i] - first > kSame) ++cluster, first = values[i];
    of[i] = cluster;
  }
  return of;
}

// One thing tried, with the mean of its losses.
struct Tried {
  double log_value = 0, log_loss = 0;
  int runs = 0;
};

// The vertex over what was tried; the reason where there is none.
absl::StatusOr<BestRate> Optimum(std::vector<Tried> tried, const char* what) {
  std::sort(tried.begin(), tried.end(),
            [](const Tried& a, const Tried& b) { return a.log_value < b.log_value; });
  BestRate best;
  best.tried = static_cast<int>(tried.size());
  if (tried.size() < 3) {
    return absl::NotFoundError(
        absl::StrFormat("%d different %s: at least 3 are needed", tried.size(), what));
  }
  const auto least = std::min_element(tried.begin(), tried.end(), [](const auto& a, const auto& b) {
    return a.log_loss < b.log_loss;
  });
  if (least == tried.begin() || least + 1 == tried.end()) {
    return absl::NotFoundError(absl::StrFormat("the best of its %s, %.4g, is the %s tried", what,
                                               std::exp(least->log_value),
                                               least == tried.begin() ? "smallest" : "largest"));
  }
  std::vector<double> x, y;
  for (auto one = least - 1; one <= least + 1; ++one) {
    x.push_back(one->log_value), y.push_back(one->log_loss);
  }
  const std::optional<Vertex> vertex = ParabolaVertex(x, y, nullptr);
  if (!vertex) return absl::NotFoundError("no minimum between the neighbours of its best");
  best.best = std::exp(vertex->x);
  best.loss = std::exp(vertex->y);
  best.log_curvature =
      2 * ((y[2] - y[1]) / (x[2] - x[1]) - (y[1] - y[0]) / (x[1] - x[0])) / (x[2] - x[0]);
  return best;
}

std::string GroupName(double params, double tokens, double batch) {
  std::string name = absl::StrFormat("N %s, D %s", Short(params, 2), Short(tokens, 2));
  if (batch > 0) absl::StrAppend(&name, ", batch ", Short(batch, 2));
  return name;
}

// Adds a value to those tried, averaging what was tried before.
void Add(std::vector<Tried>& tried, double log_value, double log_loss) {
  for (Tried& one : tried) {
    if (std::abs(one.log_value - log_value) > 1e-6) continue;
    ++one.runs;
    one.log_loss += (log_loss - one.log_loss) / one.runs;
    return;
  }
  tried.push_back({log_value, log_loss, 1});
}

bool Varies(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high - *low > kSame;
}

// The residual sum of squares of `y` over a line in `x`, as a part of y's own.
double LeftOver(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) mx += x[i] / n, my += y[i] / n;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx), xy += (x[i] - mx) * (y[i] - my);
    yy += (y[i] - my) * (y[i] - my);
  }
  return yy > 0 && xx > 0 ? (yy - xy * xy / xx) / yy : 1;
}

struct Regressor {
  const char* name;
  std::vector<double> values;  // logarithms
  double center = 0;
};

// ln best over those of N, D and (`with_batch`) B that vary on their own.
void FitLaw(const std::vector<double>& sizes, bool with_batch, RateLaw& law) {
  if (law.groups.size() < 2) {
    law.refused = absl::StrFormat("%d group%s with an optimum: at least 2 are needed",
                                  law.groups.size(), law.groups.size() == 1 ? "" : "s");
    return;
  }
  std::vector<double> log_n, log_d, log_b;
  double curvature = 0;
  for (const BestRate& group : law.groups) {
    log_n.push_back(std::log(group.params)), log_d.push_back(std::log(group.tokens));
    log_b.push_back(std::log(std::max(group.batch, 1e-300)));
    curvature += group.log_curvature / static_cast<double>(law.groups.size());
  }
  law.off_by_two = std::expm1(0.5 * curvature * std::log(2.0) * std::log(2.0));
  std::vector<Regressor> used;
  if (Varies(log_n)) {
    used.push_back({"N", log_n});
  } else {
    law.without.push_back("N: all groups have one size");
  }
  if (!Varies(log_d)) {
    law.without.push_back("D: all groups have one number of tokens");
  } else if (!used.empty() && LeftOver(log_n, log_d) < 1e-3) {
    law.without.push_back("D: it follows N in these runs, and N's exponent is that of both");
  } else {
    used.push_back({"D", log_d});
  }
  if (with_batch) {
    if (!Varies(log_b)) {
      law.without.push_back("batch: all groups have one");
    } else if (std::any_of(used.begin(), used.end(), [&](const Regressor& other) {
                 return LeftOver(other.values, log_b) < 1e-3;
               })) {
      law.without.push_back("batch: it follows N or D in these runs");
    } else {
      used.push_back({"batch", log_b});
    }
  }
  const int n = static_cast<int>(law.groups.size()), p = static_cast<int>(used.size()) + 1;
  Eigen::MatrixXd x = Eigen::MatrixXd::Ones(n, p);
  Eigen::VectorXd y(n);
  for (size_t k = 0; k < used.size(); ++k) {
    for (double value : used[k].values) used[k].center += value / n;
    for (int i = 0; i < n; ++i) x(i, k + 1) = used[k].values[i] - used[k].center;
  }
  for (int i = 0; i < n; ++i) y[i] = std::log(law.groups[i].best);
  std::vector<int> cluster = Clustered(log_n);
  const Regression fit = Regress(x, y, std::vector<double>(n, 1.0), cluster);
  law.refused = fit.refused;
  if (fit.refused) return;
  law.rms = fit.rms;
  law.no_interval = fit.no_interval;
  Eigen::VectorXd origin = Eigen::VectorXd::Zero(p);
  origin[0] = 1;
  for (size_t k = 0; k < used.size(); ++k) {
    Eigen::VectorXd unit = Eigen::VectorXd::Zero(p);
    unit[k + 1] = 1;
    law.parameters.push_back({used[k].name, fit.Of(unit)});
    origin[k + 1] = -used[k].center;
  }
  law.parameters.push_back({"coefficient", Exponential(fit.Of(origin))});
  const BestRate& largest = *std::max_element(
      law.groups.begin(), law.groups.end(), [](const BestRate& a, const BestRate& b) {
        return std::pair(a.params, a.tokens) < std::pair(b.params, b.tokens);
      });
  for (double size : sizes) {
    RateLaw::At at{
        size, largest.tokens / largest.params * size, with_batch ? largest.batch : 0, {}};
    Eigen::VectorXd g = Eigen::VectorXd::Zero(p);
    g[0] = 1;
    for (size_t k = 0; k < used.size(); ++k) {
      const double value = used[k].name[0] == 'N'   ? at.params
                           : used[k].name[0] == 'D' ? at.tokens
                                                    : at.batch;
      g[k + 1] = std::log(value) - used[k].center;
    }
    at.value = Exponential(fit.Of(g));
    law.predictions.push_back(at);
  }
}

}  // namespace

absl::StatusOr<RateTable> ReadRates(const std::string& path, const CsvOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const NumericTable table, ReadNumericTable(path, Wanted(), options));
  RateTable rates;
  rates.exclusions = table.exclusions;
  rates.total = table.total;
  rates.read = table.read;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const std::vector<double>& row = table.rows[i];
    rates.runs.push_back({row[kParams], row[kTokens], row[kRate], row[kLoss],
                          std::isnan(row[kBatch]) ? 0 : row[kBatch], table.lines[i]});
  }
  return rates;
}

absl::StatusOr<RateFit> FitRates(const RateTable& table, std::vector<double> sizes) {
  if (table.runs.empty()) return absl::InvalidArgumentError("no runs to fit");
  RateFit fit;
  fit.table = table;
  std::vector<double> log_n, log_d, log_b;
  double largest = 0;
  for (const RateRun& run : table.runs) {
    log_n.push_back(std::log(run.params)), log_d.push_back(std::log(run.tokens));
    log_b.push_back(run.batch > 0 ? std::log(run.batch) : 0);
    largest = std::max(largest, run.params);
  }
  if (sizes.empty()) sizes = {2 * largest, 10 * largest};
  const std::vector<int> n = Clustered(log_n), d = Clustered(log_d), b = Clustered(log_b);
  std::map<std::tuple<int, int, int>, std::vector<size_t>> groups;
  for (size_t i = 0; i < table.runs.size(); ++i) groups[{n[i], d[i], b[i]}].push_back(i);
  fit.rate.quantity = "learning_rate";
  std::map<std::pair<int, int>, std::vector<Tried>> batches;  // of the best rates
  std::map<std::pair<int, int>, const RateRun*> of_batches;
  int single = 0;  // runs of a grid whose rate is given
  for (const auto& [key, members] : groups) {
    const RateRun& first = table.runs[members.front()];
    std::vector<Tried> tried;
    for (size_t i : members) {
      Add(tried, std::log(table.runs[i].rate), std::log(table.runs[i].loss));
    }
    if (tried.size() == 1) {
      ++single;
      continue;
    }
    absl::StatusOr<BestRate> best = Optimum(std::move(tried), "learning rates");
    if (!best.ok()) {
      fit.rate.left_out.push_back(absl::StrCat(GroupName(first.params, first.tokens, first.batch),
                                               ": ", best.status().message()));
      continue;
    }
    best->params = first.params, best->tokens = first.tokens, best->batch = first.batch;
    fit.rate.groups.push_back(*best);
    const std::pair<int, int> run_of = {std::get<0>(key), std::get<1>(key)};
    if (first.batch > 0) Add(batches[run_of], std::log(first.batch), std::log(best->loss));
    of_batches[run_of] = &first;
  }
  if (single > 0) {
    fit.rate.left_out.push_back(
        absl::StrFormat("%d group%s of one learning rate", single, single == 1 ? "" : "s"));
  }
  FitLaw(sizes, Varies(log_b), fit.rate);
  if (!Varies(log_b)) return fit;
  fit.batch.emplace();
  fit.batch->quantity = "batch";
  for (auto& [key, tried] : batches) {
    const RateRun& first = *of_batches[key];
    absl::StatusOr<BestRate> best = Optimum(tried, "batch sizes");
    if (!best.ok()) {
      fit.batch->left_out.push_back(
          absl::StrCat(GroupName(first.params, first.tokens, 0), ": ", best.status().message()));
      continue;
    }
    best->params = first.params, best->tokens = first.tokens;
    fit.batch->groups.push_back(*best);
  }
  FitLaw(sizes, false, *fit.batch);
  return fit;
}

namespace {

const char* Symbol(const RateLaw& law) { return law.quantity == "batch" ? "batch*" : "lr*"; }

void AppendLaw(const RateLaw& law, std::string& out) {
  for (const RateLaw::At& at : law.predictions) {
    Wrap(absl::StrFormat("At %s: %s %s.", GroupName(at.params, at.tokens, at.batch), Symbol(law),
                         ShortCell(at.value)),
         0, out);
  }
  if (law.refused) Wrap(absl::StrCat(Symbol(law), " REFUSED: ", *law.refused), 0, out);
  for (const NamedEstimate& one : law.parameters) {
    absl::StrAppendFormat(&out, "  %-12s %s\n",
                          one.name == "coefficient" ? one.name : "exponent of " + one.name,
                          one.name == "coefficient" ? ShortCell(one.value) : LossCell(one.value));
  }
  for (const std::string& one : law.without) Wrap("not in the law: " + one, 2, out);
  if (!law.no_interval.empty()) Wrap("no interval: " + law.no_interval, 2, out);
  if (!law.parameters.empty()) {
    Wrap(absl::StrFormat("%d groups, rms %.3g of the logarithm; twice or half of the best costs "
                         "%.2g %% of the loss",
                         law.groups.size(), law.rms, 100 * law.off_by_two),
         2, out);
  }
  for (const BestRate& group : law.groups) {
    Wrap(absl::StrFormat("%s: %s %.4g, loss %.4f, %d tried",
                         GroupName(group.params, group.tokens, group.batch), Symbol(law),
                         group.best, group.loss, group.tried),
         2, out);
  }
  for (const std::string& one : law.left_out) Wrap("left out: " + one, 2, out);
}

}  // namespace

std::string RatesText(const RateFit& fit) {
  std::string out;
  AppendLaw(fit.rate, out);
  if (fit.batch) {
    absl::StrAppend(&out, "\n");
    AppendLaw(*fit.batch, out);
  }
  absl::StrAppend(&out, "\n");
  for (const std::string& line : ReadLines(fit.table.read)) Wrap(line, 0, out);
  absl::StrAppendFormat(&out, "%d of %d runs used\n", fit.table.runs.size(), fit.table.total);
  ListExclusions(fit.table.exclusions, out);
  return out;
}

std::string RatesJson(const RateFit& fit) {
  const auto known = [](double batch) { return batch > 0 ? Json(batch) : Json(nullptr); };
  const auto law = [&](const RateLaw& of) {
    Json groups = Json::array(), parameters = Json::object(), predictions = Json::array();
    for (const BestRate& one : of.groups) {
      groups.push_back({{"params", one.params},
                        {"tokens", one.tokens},
                        {"batch", known(one.batch)},
                        {"best", one.best},
                        {"loss", one.loss},
                        {"tried", one.tried}});
    }
    for (const NamedEstimate& one : of.parameters) parameters[one.name] = ToJson(one.value, true);
    for (const RateLaw::At& at : of.predictions) {
      Json row = {{"params", at.params}, {"tokens", at.tokens}, {"batch", known(at.batch)}};
      row.update(ToJson(at.value, true));
      predictions.push_back(row);
    }
    return Json{{"groups", groups},
                {"left_out", of.left_out},
                {"parameters", parameters},
                {"not_in_the_law", of.without},
                {"rms", of.rms},
                {"off_by_two", of.off_by_two},
                {"predictions", predictions},
                {"refused", Text(of.refused)}};
  };
  return Dump({{"learning_rate", law(fit.rate)},
               {"batch", fit.batch ? law(*fit.batch) : Json(nullptr)},
               {"runs", fit.table.runs.size()},
               {"total", fit.table.total}});
}

}  // namespace allometry::fitting
