#include "fitting/method/view.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <tuple>

#include "base/files.h"
#include "fitting/data/result.h"
#include "fitting/law/law.h"

namespace allometry::fitting {
namespace {

constexpr double kSameFlops = 0.01;  // largest |ln(C / 6ND)| that still counts as 6 N D

// The order of points in every computation: by value, labels by name.
std::vector<int> CanonicalOrder(const Observations& observations) {
  const std::vector<Observation>& points = observations.points();
  const auto rank = [](const std::vector<std::string>& labels) {
    std::vector<int> order(labels.size()), place(labels.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) { return labels[a] < labels[b]; });
    for (size_t k = 0; k < order.size(); ++k) place[order[k]] = static_cast<int>(k);
    return place;
  };
  const std::vector<int> runs = rank(observations.runs());
  const std::vector<int> families = rank(observations.families());
  const auto key = [&](int i) {
    const Observation& p = points[i];
    return std::tuple(p.flops, p.weight, p.run < 0 ? -1 : runs[p.run],
                      p.family < 0 ? -1 : families[p.family], p.ends_cell, p.epochs);
  };
  // What mostly decides lies side by side: sorting ten million indirect keys would miss the cache.
  struct Entry {
    double params, tokens, loss;
    int index;
  };
  std::vector<Entry> entries;
  entries.reserve(points.size());
  for (size_t i = 0; i < points.size(); ++i) {
    entries.push_back({points[i].params, points[i].tokens, points[i].loss, static_cast<int>(i)});
  }
  const auto before = [&](const Entry& a, const Entry& b) {
    if (a.params != b.params) return a.params < b.params;
    if (a.tokens != b.tokens) return a.tokens < b.tokens;
    if (a.loss != b.loss) return a.loss < b.loss;
    const auto ka = key(a.index), kb = key(b.index);
    return ka != kb ? ka < kb : a.index < b.index;
  };
  if (!std::is_sorted(entries.begin(), entries.end(), before)) {
    std::sort(entries.begin(), entries.end(), before);
  }
  std::vector<int> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(entry.index);
  return order;
}

bool CarriesOtherFlops(const std::vector<Observation>& points) {
  return std::any_of(points.begin(), points.end(), [](const Observation& p) {
    return p.flops > 0 && std::abs(std::log(p.flops / (6 * p.params * p.tokens))) > kSameFlops;
  });
}

void Finish(DataView& view, bool own_flops) {
  view.flops_convention = own_flops ? "data" : "6nd";
  for (Observation& p : view.points) {
    if (!own_flops || p.flops <= 0) p.flops = 6 * p.params * p.tokens;
  }
  view.sample = MakeSample(view.points, nullptr);
  if (own_flops) view.cost = Cost::Fit(view.points, nullptr);
}

}  // namespace

double DataView::lowest_flops() const {
  double lowest = points.front().flops;
  for (const Observation& p : points) lowest = std::min(lowest, p.flops);
  return lowest;
}

double DataView::highest_flops() const {
  double highest = points.front().flops;
  for (const Observation& p : points) highest = std::max(highest, p.flops);
  return highest;
}

double DataView::DecadesOutside(double flops) const {
  if (flops > highest_flops()) return std::log10(flops / highest_flops());
  if (flops < lowest_flops()) return std::log10(lowest_flops() / flops);
  return 0;
}

Views MakeViews(const Observations& observations, const FitOptions& options, bool every) {
  Views views;
  const std::vector<int> order = CanonicalOrder(observations);
  std::vector<Observation> points;
  points.reserve(order.size());
  for (int i : order) points.push_back(observations.points()[i]);
  views.clusters = MakeClusters(points, options.cluster);
  views.curves = MakeCurves(points);
  const bool other_flops = CarriesOtherFlops(points);
  const bool own = options.flops == FlopsConvention::kData ||
                   (options.flops == FlopsConvention::kAuto && other_flops);
  const bool both = every && other_flops;
  const bool single = !both && (!every || observations.alternatives().empty());
  const auto add = [&](const std::string& policy, const std::vector<double>* params) {
    for (bool own_flops : {own, !own}) {
      if (own_flops != own && !both) continue;
      DataView view;
      view.params_policy = policy;
      if (single) {
        view.points = std::move(points);
      } else {
        view.points = points;
      }
      if (params != nullptr) {
        for (size_t k = 0; k < order.size(); ++k) view.points[k].params = (*params)[order[k]];
      }
      Finish(view, own_flops);
      views.all.push_back(std::move(view));
    }
  };
  add(observations.params_policy, nullptr);
  if (every) {
    const std::vector<Alternative>& alternatives = observations.alternatives();
    for (size_t k = 0; k < alternatives.size(); ++k) {
      // "active" is "paper" for tied heads: the same numbers under two names are one view.
      const Alternative& other = alternatives[k];
      bool known = true;
      for (size_t i = 0; i < other.params.size() && known; ++i) {
        known = other.params[i] == observations.points()[i].params;
      }
      for (size_t j = 0; j < k; ++j) known |= other.params == alternatives[j].params;
      if (!known) add(other.params_policy, &other.params);
    }
  }
  return views;
}

std::string FitId(const Views& views, const Observations& observations, const FitOptions& options) {
  std::string bytes;
  const auto number = [&](double value) {
    if (bytes.size() > (1 << 20)) bytes = HashHex(bytes);  // a chain: memory stays small
    if (value == 0) value = 0;                             // one zero
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof value);
  };
  const auto text = [&](absl::string_view value) {
    number(static_cast<double>(value.size()));
    bytes.append(value.data(), value.size());
  };
  text("allometry fit");
  number(kFitVersion);
  text(Name(options.method));
  text(options.choose_law ? "auto" : Name(options.law));
  text(Name(options.objective));
  number(options.delta);
  number(options.fixed_floor);
  number(options.resamples);
  text(Name(options.cluster));
  number(static_cast<double>(options.seed >> 32));
  number(static_cast<double>(options.seed & 0xffffffff));
  number(options.profile);
  text(Name(options.minimum));
  text(Name(options.window));
  number(static_cast<double>(options.budgets.size()));
  for (double budget : options.budgets) number(budget);
  // Absent, as before there was such a thing, where not asked.
  for (const auto& [name, values] : {std::pair("served", &options.served_tokens),
                                     std::pair("smaller", &options.times_smaller)}) {
    if (!values->empty()) text(name);
    for (double value : *values) number(value);
  }
  for (const DataView& view : views.all) {
    text(view.params_policy);
    text(view.flops_convention);
    for (const Observation& p : view.points) {
      for (double value : {p.params, p.tokens, p.flops, p.loss, p.weight}) number(value);
      if (p.epochs > 1) number(p.epochs);
      number(p.ends_cell);
      text(p.run < 0 ? "" : observations.runs()[p.run]);
      text(p.family < 0 ? "" : observations.families()[p.family]);
    }
  }
  return HashHex(bytes);
}

}  // namespace allometry::fitting
