#include "fitting/data/observation.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace allometry::fitting {
namespace {

// The reason why a value cannot be used, or "".
std::string WhyInvalid(const char* name, double value) {
  if (std::isfinite(value) && value > 0) return "";
  return absl::StrFormat("%s is %g: a positive finite number is needed", name, value);
}

}  // namespace

bool Observations::Add(Observation point, absl::string_view run, absl::string_view family) {
  std::string reason = WhyInvalid("params", point.params);
  if (reason.empty()) reason = WhyInvalid("tokens", point.tokens);
  if (reason.empty()) reason = WhyInvalid("loss", point.loss);
  if (reason.empty()) reason = WhyInvalid("weight", point.weight);
  if (reason.empty() && point.flops != 0) reason = WhyInvalid("flops", point.flops);
  if (reason.empty()) reason = WhyInvalid("6 N D", 6 * point.params * point.tokens);
  if (!reason.empty()) {
    Exclude(point.line, std::move(reason));
    return false;
  }
  point.run = Intern(run, runs_, run_index_);
  point.family = Intern(family, families_, family_index_);
  points_.push_back(point);
  return true;
}

void Observations::Exclude(int64_t line, std::string reason, int64_t points) {
  excluded_points_ += points;
  if (exclusions_.size() < kListedExclusions) {
    exclusions_.push_back({line, std::move(reason), points});
    return;
  }
  // Past the listed ones: one sum per reason, and one for reasons beyond a second limit.
  if (counted_.size() >= kListedExclusions && !counted_.contains(reason)) reason = "other reasons";
  const auto [found, inserted] = counted_.try_emplace(reason, exclusions_.size());
  if (inserted) {
    exclusions_.push_back({0, std::move(reason), points});
  } else {
    exclusions_[found->second].points += points;
  }
}

void Observations::ExcludeIf(const std::function<std::string(const Observation&)>& why) {
  size_t kept = 0;
  for (size_t i = 0; i < points_.size(); ++i) {
    std::string reason = why(points_[i]);
    if (!reason.empty()) {
      Exclude(points_[i].line, std::move(reason));
      continue;
    }
    if (kept != i) {
      points_[kept] = points_[i];
      for (Alternative& other : alternatives_) other.params[kept] = other.params[i];
    }
    ++kept;
  }
  points_.resize(kept);
  for (Alternative& other : alternatives_) other.params.resize(kept);
}

void Observations::AddAlternative(std::string params_policy, std::vector<double> params) {
  ALLO_CHECK(params.size() == points_.size())
      << params.size() << " counts for " << points_.size() << " points";
  alternatives_.push_back({std::move(params_policy), std::move(params)});
}

int32_t Observations::Intern(absl::string_view label, std::vector<std::string>& labels,
                             std::unordered_map<std::string, int32_t>& index) {
  if (label.empty()) return -1;
  // Rows of one run mostly follow each other.
  if (!labels.empty() && labels.back() == label) return static_cast<int32_t>(labels.size()) - 1;
  const auto [found, inserted] =
      index.try_emplace(std::string(label), static_cast<int32_t>(labels.size()));
  if (inserted) labels.push_back(found->first);
  return found->second;
}

}  // namespace allometry::fitting
