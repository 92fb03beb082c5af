#include "cli/study_series.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "metrics/correlation.h"
#include "metrics/mean.h"
#include "proto/run_choices.h"

namespace allometry::cli {
namespace {

using sweep::StudyTerm;

fitting::Estimate MeanOf(const std::vector<double>& values) {
  const metrics::Mean mean = metrics::MeanOf(values);
  return {mean.mean, mean.low, mean.high, static_cast<double>(mean.values - 1)};
}

}  // namespace

absl::StatusOr<Measured> CorrelationOfEvaluations(const StudyTerm& term, StudySource& source) {
  ALLO_ASSIGN_OR_RETURN(const v1::GetSweepResponse sweep, source.Sweep(term.sweep));
  std::vector<int64_t> run_ids;
  std::map<std::string, int> groups;  // by size
  for (const v1::Run& run : sweep.runs()) {
    if (StageOf(run) != run::Stage::kEvaluate) continue;
    run_ids.push_back(run.run_id());
    groups.try_emplace(run.size(), static_cast<int>(groups.size()));
  }
  if (run_ids.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s evaluates no checkpoints: its file has no section evaluate", term.sweep));
  }
  ALLO_ASSIGN_OR_RETURN(const v1::GetCurvesResponse losses,
                        source.Curves(term.sweep, "heldout", run_ids));
  ALLO_ASSIGN_OR_RETURN(const v1::GetCurvesResponse values,
                        source.Curves(term.sweep, term.metric, run_ids));
  std::map<std::pair<int64_t, double>, double> loss_at;  // by run and step
  for (const v1::Curve& curve : losses.curves()) {
    for (int i = 0; i < curve.x_size(); ++i) loss_at[{curve.run_id(), curve.x(i)}] = curve.y(i);
  }
  const bool by_logarithm = term.metric.find("frechet") != std::string::npos;
  std::vector<metrics::Point> points, last;
  for (const v1::Curve& curve : values.curves()) {
    std::optional<metrics::Point> newest;
    for (int i = 0; i < curve.x_size(); ++i) {
      const auto loss = loss_at.find({curve.run_id(), curve.x(i)});
      if (loss == loss_at.end() || (by_logarithm && !(curve.y(i) > 0))) continue;
      newest = {loss->second, by_logarithm ? std::log(curve.y(i)) : curve.y(i),
                groups.at(curve.size())};
      points.push_back(*newest);
    }
    if (newest.has_value()) last.push_back(*newest);
  }
  if (points.empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("no checkpoint of %s has a %s yet", term.sweep, term.metric));
  }
  ALLO_ASSIGN_OR_RETURN(const metrics::Correlation found,
                        metrics::Correlate(points, metrics::CorrelationKind::kPearson));
  Measured measured;
  measured.value.estimate = found.r;
  measured.value.lower = found.low;
  measured.value.upper = found.high;
  std::vector<std::string> remarks = {
      absl::StrFormat("%d checkpoints of %d sizes", found.points, found.groups)};
  if (const auto ranks = metrics::Correlate(points, metrics::CorrelationKind::kSpearman);
      ranks.ok()) {
    remarks.push_back(absl::StrFormat("Spearman %.2f", ranks->r));
  }
  if (const auto between = metrics::Correlate(last, metrics::CorrelationKind::kPearson);
      between.ok()) {
    remarks.push_back(absl::StrFormat("between sizes (the %d last checkpoints) %.3f",
                                      between->points, between->r));
  }
  if (by_logarithm) remarks.push_back("of the distance's logarithm");
  if (!found.why_none.empty()) remarks.push_back(found.why_none);
  measured.remark = absl::StrJoin(remarks, "; ");
  return measured;
}

absl::StatusOr<Measured> LastOfSeries(const StudyTerm& term, StudySource& source) {
  ALLO_ASSIGN_OR_RETURN(const v1::GetSweepResponse sweep, source.Sweep(term.sweep));
  const std::string& size = term.sizes.front();
  std::vector<int64_t> run_ids;
  std::map<int64_t, int64_t> seeds;  // by run
  std::set<std::string> sizes;
  for (const v1::Run& run : sweep.runs()) {
    sizes.insert(run.size());
    if (run.size() != size) continue;
    run_ids.push_back(run.run_id());
    seeds[run.run_id()] = run.spec().identity().seed();
  }
  if (run_ids.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("%s has no size %s: it has %s", term.sweep,
                                                      size, absl::StrJoin(sizes, ", ")));
  }
  ALLO_ASSIGN_OR_RETURN(const v1::GetCurvesResponse curves,
                        source.Curves(term.sweep, term.metric, run_ids));
  std::map<int64_t, std::vector<double>> values;  // by seed
  std::set<double> steps;
  for (const v1::Curve& curve : curves.curves()) {
    if (curve.y_size() == 0) continue;
    steps.insert(curve.x(curve.x_size() - 1));
    values[seeds.at(curve.run_id())].push_back(curve.y(curve.y_size() - 1));
  }
  if (values.empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("no run of %s, size %s, has a %s yet", term.sweep, size, term.metric));
  }
  Measured measured;
  std::vector<double> means;
  std::vector<std::string> shown;
  for (const auto& [seed, of_seed] : values) {
    measured.by_seed[seed] = *MeanOf(of_seed).estimate;
    means.push_back(measured.by_seed[seed]);
    shown.push_back(absl::StrFormat("%.3g", means.back()));
  }
  measured.value = MeanOf(means);
  measured.remark = absl::StrFormat(
      "%s of %s, seeds %s: %s", term.metric, size,
      absl::StrJoin(values, ", ",
                    [](std::string* out, const auto& one) { absl::StrAppend(out, one.first); }),
      absl::StrJoin(shown, ", "));
  if (steps.size() > 1) {
    absl::StrAppendFormat(&measured.remark, "; runs end at steps %s", absl::StrJoin(steps, ", "));
  }
  if (means.size() < 2) absl::StrAppend(&measured.remark, "; no interval: one seed");
  return measured;
}

bool HasPairs(const Measured& first, const Measured& second) {
  return first.by_seed.size() > 1 &&
         std::equal(first.by_seed.begin(), first.by_seed.end(), second.by_seed.begin(),
                    second.by_seed.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first; });
}

fitting::Estimate PairedDifference(const Measured& first, const Measured& second) {
  std::vector<double> differences;
  for (const auto& [seed, value] : first.by_seed) {
    differences.push_back(value - second.by_seed.at(seed));
  }
  return MeanOf(differences);
}

}  // namespace allometry::cli
