#include "coordinator/cost/design.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"
#include "proto/run_choices.h"
#include "run/observation.h"

namespace allometry::cost {

std::vector<fitting::Observation> DesignOf(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                                           absl::Span<const v1::Cell> cells) {
  double epochs_of_a_token = 0;
  for (const v1::Cell& cell : cells) {
    if (cell.tokens() > 0) {
      epochs_of_a_token =
          std::max(epochs_of_a_token, cell.epochs() / static_cast<double>(cell.tokens()));
    }
  }
  std::set<std::string> trunks;
  for (const v1::Run& run : runs) {
    for (const v1::RunInput& input : run.spec().inputs()) {
      if (KindOf(input) == run::InputKind::kTrunk) trunks.insert(input.run_key());
    }
  }
  std::vector<fitting::Observation> design;
  for (size_t i = 0; i < runs.size(); ++i) {
    const v1::Run& run = runs[i];
    const v1::RunSpec& spec = run.spec();
    if (run.state() == v1::RUN_FAILED) continue;  // it trains no more
    const v1::RunIdentity& identity = spec.identity();
    const run::ObservedRun observed{.kind = KindOf(spec),
                                    .stage = StageOf(run),
                                    .schedule = ScheduleOf(identity),
                                    .is_trunk = trunks.contains(run.key()),
                                    .warmup_steps = identity.warmup_steps(),
                                    .steps = spec.steps(),
                                    .diverged = false,
                                    .cancelled = run.state() == v1::RUN_CANCELLED};
    for (const int64_t step : spec.evaluation_steps()) {
      fitting::Observation point;
      point.params = static_cast<double>(run.n_params());
      point.tokens = static_cast<double>(step) * static_cast<double>(identity.batch_tokens());
      point.flops = point.tokens * FlopsPerToken(run, ConventionOf(sweep));
      point.epochs = point.tokens * epochs_of_a_token;
      point.run = static_cast<int32_t>(i);
      if (run::ExclusionOf(observed, {.step = step, .epochs = point.epochs}, sweep.max_epochs()) ==
          run::Exclusion::kNone) {
        design.push_back(point);
      }
    }
  }
  return design;
}

ExpectedPrecision ExpectPrecision(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                                  absl::Span<const v1::Cell> cells, const fitting::Pilot& pilot,
                                  double flops) {
  using fitting::QuantityKind;
  ExpectedPrecision buy;
  buy.pilot = pilot;
  buy.flops = flops;
  if (!(flops > 0)) {
    for (const v1::Cell& cell : cells) buy.flops = std::max(buy.flops, 10 * cell.flops());
  }
  const std::vector<fitting::Observation> design = DesignOf(sweep, runs, cells);
  fitting::Cost cost;
  if (ConventionOf(sweep) == run::FlopsConvention::kExact)
    cost = fitting::Cost::Fit(design, nullptr);
  buy.widths = fitting::ExpectWidths(design, pilot.law, pilot.noise, {},
                                     {{QuantityKind::kA, 0, cost},
                                      {QuantityKind::kAlpha, 0, cost},
                                      {QuantityKind::kBeta, 0, cost},
                                      {QuantityKind::kFloor, 0, cost},
                                      {QuantityKind::kLoss, buy.flops, cost}});
  return buy;
}

PlanSection PrecisionSection(const ExpectedPrecision& buy) {
  PlanSection section;
  section.title = "what it can be expected to buy";
  const fitting::AssumedLaw& law = buy.pilot.law;
  const fitting::NoiseModel& noise = buy.pilot.noise;
  section.sentences.push_back(
      absl::StrFormat("assumed: L = %.4g + %.4g / N^%.3g + %.4g / D^%.3g, from %s", law.floor,
                      law.a_term, law.alpha, law.b_term, law.beta, buy.pilot.source));
  section.sentences.push_back(
      absl::StrFormat("assumed: errors of ln L of sd %.3g in the middle of a curve, %.0f %% of "
                      "their variance shared "
                      "by a size, %.0f %% fading along its curve over %.2g of ln D; slopes of "
                      "curves of sd %.3g about "
                      "the law's",
                      noise.sd, 100 * noise.shared, 100 * noise.serial, noise.length,
                      noise.sd * std::sqrt(noise.tilt)));
  if (!buy.widths.reason.empty()) {
    section.sentences.push_back(absl::StrCat("no interval: ", buy.widths.reason));
    return section;
  }
  std::string widths =
      absl::StrFormat("95 %% intervals of the parametric fit over %d evaluations of %d sizes (%s):",
                      buy.widths.points, buy.widths.clusters, buy.widths.method);
  for (size_t i = 0; i < buy.widths.widths.size(); ++i) {
    const fitting::ExpectedWidth& width = buy.widths.widths[i];
    const bool loss = width.quantity.kind == fitting::QuantityKind::kLoss;
    absl::StrAppendFormat(
        &widths, "%s %s %.4g +- %.2g", i == 0 ? "" : ",",
        loss ? absl::StrCat("L* at ", FlopsText(buy.flops), " FLOPs") : width.quantity.name(),
        width.value, width.half);
  }
  section.sentences.push_back(widths);
  return section;
}

}  // namespace allometry::cost
