// How the best learning rate and the best batch size grow with the model and its data.
//
// Runs of one N, one D and one batch size that differ in their learning rate have a best one; that
// rate follows a power law closely enough to set the rate of the next size (Bi et al. 2024,
// "DeepSeek LLM", section 3.1; Bjorck et al. 2024, "Scaling Optimal LR Across Token Horizons"):
//
//   ln lr* = ln k + p ln N + q ln D + r ln B          B: tokens of one update
//   ln B*  = ln k' + p' ln N + q' ln D                B*: the best of the best rates' losses
//
// The best rate of a group is the vertex of the parabola of ln L over ln lr through the best rate
// tried and its neighbours, losses of equal rates averaged over their seeds. A best rate at an end
// of those tried is no optimum: the group is left out, and named. Regressors that do not vary are
// left out, and where D follows N, as in a ladder of one number of tokens per parameter, D is:
// the exponent of N is then that of both together. Intervals: CR2 by sizes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/observation.h"
#include "fitting/data/result.h"

namespace allometry::fitting {

struct RateRun {
  double params = 0, tokens = 0, rate = 0, loss = 0;
  double batch = 0;  // tokens an update; 0: not known
  int64_t line = 0;
};

struct RateTable {
  std::vector<RateRun> runs;
  std::vector<Exclusion> exclusions;
  int64_t total = 0;
  ReadSummary read;
};

// Columns N, D, loss, lr (learning_rate, max_lr, ...) and, where there is one, batch.
absl::StatusOr<RateTable> ReadRates(const std::string& path, const CsvOptions& options);

// The optimum of one group.
struct BestRate {
  double params = 0, tokens = 0, batch = 0;
  double best = 0;           // lr* or B*
  double loss = 0;           // there
  double log_curvature = 0;  // second derivative of ln L over ln lr
  int tried = 0;             // different rates
};

struct RateLaw {
  std::string quantity;  // "learning_rate" or "batch"
  std::vector<BestRate> groups;
  std::vector<std::string> left_out;      // groups without an optimum, each with its reason
  std::vector<NamedEstimate> parameters;  // exponents "N", "D", "batch", and "coefficient"
  std::vector<std::string> without;       // regressors that do not vary, each with its reason
  double rms = 0;                         // of the logarithm
  double off_by_two = 0;                  // what a rate twice or half of it costs, part of the loss
  struct At {
    double params = 0, tokens = 0, batch = 0;
    Estimate value;
  };
  std::vector<At> predictions;
  std::optional<std::string> refused;
  std::string no_interval;
};

struct RateFit {
  RateTable table;
  RateLaw rate;
  std::optional<RateLaw> batch;  // where batch sizes differ
};

// `sizes`: N at which to predict; none is twice and ten times the largest. D is that size's tokens
// per parameter at the largest N tried, B the largest group's.
absl::StatusOr<RateFit> FitRates(const RateTable& table, std::vector<double> sizes);

std::string RatesText(const RateFit& fit);
std::string RatesJson(const RateFit& fit);

}  // namespace allometry::fitting
