#include "fitting/law/trade_off.h"

#include <boost/math/tools/minima.hpp>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <limits>

namespace allometry::fitting {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kMostLogTokens = 200;  // beyond the data's centre: L is its limit there

// One fitted law, asked at (ln N, ln D).
struct Fitted {
  const Law& law;
  const Sample& sample;
  const Theta& theta;
  const Cost& cost;

  double LogLoss(double log_params, double log_tokens) const {
    return LogLossAt(law, theta, log_params - sample.x_center, log_tokens - sample.y_center,
                     nullptr);
  }
  double Ask(QuantityKind kind, double flops) const {
    return Quantity{kind, flops, cost}.Value(law, sample, theta, nullptr);
  }
  // ln of what a step on one token costs, per cost.k.
  double LogPerToken(double log_params) const { return cost.log_k + cost.s * log_params; }
  // ln D at which a model of that size has the loss.
  double LogTokensFor(double log_params, double log_loss) const;
};

double Fitted::LogTokensFor(double log_params, double log_loss) const {
  const auto above = [&](double log_tokens) { return LogLoss(log_params, log_tokens) - log_loss; };
  double low = sample.y_center, high = sample.y_center, step = 1;
  while (above(high) > 0) {
    if (high - sample.y_center > kMostLogTokens) return kNever;
    low = high, high += step, step *= 2;
  }
  step = 1;
  while (above(low) <= 0) {
    if (sample.y_center - low > kMostLogTokens) return -kNever;
    high = low, low -= step, step *= 2;
  }
  if (above(high) == 0) return high;
  std::uintmax_t tries = 100;
  const auto [first, last] = boost::math::tools::toms748_solve(
      above, low, high, boost::math::tools::eps_tolerance<double>(50), tries);
  return 0.5 * (first + last);
}

struct Served {
  double part[kServeParts];
};

Served CheapestToServe(const Fitted& fitted, double flops, double served_tokens) {
  const double best = fitted.Ask(QuantityKind::kLogParams, flops);
  const double log_loss = std::log(fitted.Ask(QuantityKind::kLoss, flops));
  const double served = served_tokens / 3;
  const auto log_total = [&](double log_params) {
    const double log_tokens = fitted.LogTokensFor(log_params, log_loss);
    return fitted.LogPerToken(log_params) + std::log(std::exp(log_tokens) + served);
  };
  // From N* down, where nothing is served, to where the loss is out of reach.
  double low = best, step = 0.5;
  while (std::isfinite(log_total(low)) && best - low < kMostLogTokens) low -= step, step *= 2;
  std::uintmax_t tries = 200;
  // The smallest that reaches the loss bounds the search from below.
  double reach = best;
  while (reach - low > 1e-9) {
    const double middle = 0.5 * (low + reach);
    (std::isfinite(log_total(middle)) ? reach : low) = middle;
    if (best - reach > 12) break;
  }
  const double at = boost::math::tools::brent_find_minima(
                        [&](double x) {
                          const double total = log_total(x);
                          return std::isfinite(total) ? total : 1e300;
                        },
                        reach, best + 1e-6, 40, tries)
                        .first;
  const double log_tokens = fitted.LogTokensFor(at, log_loss);
  const double total = log_total(at);
  return {{at, log_tokens, fitted.LogPerToken(at) + log_tokens, total,
           1 - std::exp(total - log_total(best))}};
}

Quantity Make(const char* name, bool logarithmic,
              std::function<double(const Law&, const Sample&, const Theta&)> value) {
  Quantity quantity;
  quantity.kind = QuantityKind::kOwn;
  quantity.own_name = name;
  quantity.own_logarithmic = logarithmic;
  quantity.own = std::move(value);
  return quantity;
}

}  // namespace

std::vector<Quantity> ServingQuantities(double flops, double served_tokens, const Cost& cost) {
  constexpr struct {
    const char* name;
    bool logarithmic;
  } kParts[kServeParts] = {{"params", true},
                           {"tokens", true},
                           {"training_flops", true},
                           {"total_flops", true},
                           {"saved", false}};
  std::vector<Quantity> quantities;
  for (int k = 0; k < kServeParts; ++k) {
    quantities.push_back(
        Make(kParts[k].name, kParts[k].logarithmic,
             [=](const Law& law, const Sample& sample, const Theta& theta) {
               return CheapestToServe({law, sample, theta, cost}, flops, served_tokens).part[k];
             }));
  }
  return quantities;
}

std::vector<Quantity> SmallerQuantities(double flops, double times_smaller, const Cost& cost) {
  const double log_times = std::log(times_smaller);
  const auto fitted = [cost](const Law& law, const Sample& sample, const Theta& theta) {
    return Fitted{law, sample, theta, cost};
  };
  const auto tokens = [=](const Fitted& at) {
    return std::log(flops) - at.LogPerToken(at.Ask(QuantityKind::kLogParams, flops) - log_times);
  };
  std::vector<Quantity> quantities;
  quantities.push_back(Make("params", true, [=](auto&... a) {
    return fitted(a...).Ask(QuantityKind::kLogParams, flops) - log_times;
  }));
  quantities.push_back(Make("tokens", true, [=](auto&... a) { return tokens(fitted(a...)); }));
  quantities.push_back(Make("loss", false, [=](auto&... a) {
    const Fitted at = fitted(a...);
    return std::exp(at.LogLoss(at.Ask(QuantityKind::kLogParams, flops) - log_times, tokens(at)));
  }));
  quantities.push_back(Make("multiple", true, [=](auto&... a) {
    const Fitted at = fitted(a...);
    const double small = at.Ask(QuantityKind::kLogParams, flops) - log_times;
    const double log_loss = std::log(at.Ask(QuantityKind::kLoss, flops));
    return at.LogPerToken(small) + at.LogTokensFor(small, log_loss) - std::log(flops);
  }));
  return quantities;
}

}  // namespace allometry::fitting
