#include "coordinator/stages/ladder/ladder_stage.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"
#include "coordinator/sweep/ladder_file.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

using Json = nlohmann::ordered_json;

struct Stored {
  std::map<std::string, double> chosen;
  std::map<std::string, std::vector<double>> tried;
};

absl::StatusOr<Stored> ReadDecisions(absl::Span<const std::string> decisions) {
  Stored stored;
  for (const std::string& text : decisions) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("stage", "") != run::NameOf(run::Stage::kLadder)) continue;
    if (!json.contains("chosen") || !json["chosen"].is_object() || !json.contains("tried") ||
        !json["tried"].is_object()) {
      return absl::DataLossError("a stored decision of the ladder has no chosen and tried rates");
    }
    for (const auto& [size, rate] : json["chosen"].items()) {
      if (!rate.is_number()) {
        return absl::DataLossError(absl::StrCat("the stored rate of size ", size, " is no number"));
      }
      stored.chosen[size] = rate.get<double>();
    }
    for (const auto& [size, rates] : json["tried"].items()) {
      std::vector<double>& tried = stored.tried[size];
      tried.clear();
      for (const Json& rate : rates) {
        if (rate.is_number()) tried.push_back(rate.get<double>());
      }
    }
  }
  return stored;
}

bool IsTrialCell(const v1::Cell& cell, const v1::Cell& trial) {
  return StageOf(cell) == run::Stage::kLadder && cell.size() == trial.size() &&
         (cell.step() == trial.step() ||
          std::abs(cell.asked_tokens() - trial.asked_tokens()) <= 1e-9 * trial.asked_tokens());
}

stages::Trial TrialOf(const v1::Run& run, const v1::Cell& cell) {
  stages::Trial trial;
  trial.rate = run.spec().identity().learning_rate();
  if (cell.done()) {
    trial.state = stages::TrialState::kMeasured;
    trial.loss = cell.loss();
  } else if (run.state() == v1::RUN_FAILED && run.failure() == v1::DIVERGED) {
    trial.state = stages::TrialState::kDiverged;
  } else if (run.state() == v1::RUN_FAILED || run.state() == v1::RUN_CANCELLED) {
    trial.state = stages::TrialState::kFailed;
    trial.reason =
        absl::StrFormat("run %d %s; 'allo retry' takes it up again", run.run_id(),
                        run.state() == v1::RUN_CANCELLED
                            ? "was cancelled"
                            : absl::StrCat("failed with ", v1::ExitReason_Name(run.failure())));
  }
  return trial;
}

// Which run and cell hold the trials of a step of the ladder.
std::vector<std::pair<const v1::Run*, const v1::Cell*>> TrialRows(
    const sweep::LadderStep& step, int64_t seed, absl::Span<const v1::Run> runs,
    absl::Span<const v1::Cell> cells) {
  std::map<int64_t, const v1::Run*> by_id;
  for (const v1::Run& run : runs) {
    const v1::RunIdentity& identity = run.spec().identity();
    if (run.size() == step.label && identity.seed() == seed &&
        ScheduleOf(identity) == run::Schedule::kConstant) {
      by_id[run.run_id()] = &run;
    }
  }
  std::vector<std::pair<const v1::Run*, const v1::Cell*>> rows;
  for (const v1::Cell& cell : cells) {
    const auto run = by_id.find(cell.run_id());
    if (run != by_id.end() && IsTrialCell(cell, step.trial)) rows.emplace_back(run->second, &cell);
  }
  return rows;
}

std::vector<double> RatesOf(const stages::SizeDecision& size) {
  std::vector<double> rates;
  for (const stages::Trial& trial : size.trials) rates.push_back(trial.rate);
  return rates;
}

}  // namespace

absl::StatusOr<LadderView> ViewLadder(const sweep::SweepFile& file, const data::Manifest& manifest,
                                      absl::Span<const v1::Run> runs,
                                      absl::Span<const v1::Cell> cells,
                                      absl::Span<const std::string> decisions) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<sweep::LadderStep> steps,
                        sweep::LadderSteps(file, manifest));
  ALLO_ASSIGN_OR_RETURN(const Stored stored, ReadDecisions(decisions));
  LadderView view;
  view.rule = *file.ladder;
  view.tune = sweep::TuningBudgetText(*file.ladder);
  for (const sweep::LadderStep& step : steps) {
    stages::LadderSize size;
    size.label = step.label;
    size.trial_flops = step.trial.flops();
    for (const auto& [run, cell] : TrialRows(step, file.seeds.front(), runs, cells)) {
      size.trials.push_back(TrialOf(*run, *cell));
    }
    if (const auto chosen = stored.chosen.find(step.label); chosen != stored.chosen.end()) {
      size.decided = chosen->second;
      // What it was chosen from; a run that a changed file asked for since is not.
      const auto tried = stored.tried.find(step.label);
      std::erase_if(size.trials, [&](const stages::Trial& trial) {
        return tried == stored.tried.end() || std::find(tried->second.begin(), tried->second.end(),
                                                        trial.rate) == tried->second.end();
      });
    }
    view.sizes.push_back(std::move(size));
  }
  view.decision = stages::DecideLadder(view.rule, view.sizes);
  view.cost = stages::CostOfLadder(view.rule, view.sizes);
  for (const stages::SizeDecision& size : view.decision.sizes) {
    view.as_stored.trials[size.label] = RatesOf(size);
    if (!size.chosen) continue;
    view.as_decided.chosen[size.label] = *size.chosen;
    if (stored.chosen.contains(size.label)) {
      view.as_stored.chosen[size.label] = *size.chosen;
    } else {
      view.decides = true;
    }
  }
  view.as_decided.trials = view.as_stored.trials;
  return view;
}

v1::StageResult ToStageResult(const LadderView& view) {
  v1::StageResult result;
  result.set_name(run::NameOf(run::Stage::kLadder));
  result.set_rule(absl::StrFormat("%s; tuning runs: %s, first seed, constant rate",
                                  stages::LadderRuleText(view.rule), view.tune));
  result.set_done(view.decision.done);
  for (const stages::SizeDecision& size : view.decision.sizes) result.add_lines(size.sentence);
  if (view.decision.done) {
    Json rates = Json::object();
    for (const auto& size : view.decision.sizes) rates[size.label] = *size.chosen;
    result.set_result_json(rates.dump());
    return result;
  }
  const size_t open = view.sizes.size() - view.decision.sizes.size();
  if (open > 0) {
    result.add_lines(absl::StrFormat("%d larger size%s follow%s", open, open == 1 ? "" : "s",
                                     open == 1 ? "s" : ""));
  }
  result.add_lines(absl::StrFormat(
      "tuning costs at least %d runs of %s FLOPs together, at most %d of %s, for the sizes without "
      "a rate; the grid continues the run at the chosen rate",
      view.cost.least_runs, cost::FlopsText(view.cost.least_flops), view.cost.most_runs,
      cost::FlopsText(view.cost.most_flops)));
  return result;
}

std::string LadderDecisionJson(const LadderView& view, absl::Span<const v1::Run> runs,
                               absl::Span<const v1::Cell> cells) {
  std::map<int64_t, const v1::Run*> by_id;
  for (const v1::Run& run : runs) by_id[run.run_id()] = &run;
  std::set<std::pair<std::string, double>> asked;
  Json inputs = Json::array();
  for (const v1::Cell& cell : cells) {
    if (StageOf(cell) != run::Stage::kLadder) continue;
    const v1::Run& run = *by_id.at(cell.run_id());
    const double rate = run.spec().identity().learning_rate();
    asked.emplace(cell.size(), rate);
    inputs.push_back({{"size", cell.size()},
                      {"learning_rate", rate},
                      {"run_key", run.key()},
                      {"step", cell.step()},
                      {"state", cell.done() ? "MEASURED" : v1::ExitReason_Name(run.failure())},
                      {"loss", cell.done() ? Json(cell.loss()) : Json()}});
  }
  Json json = {{"stage", run::NameOf(run::Stage::kLadder)},
               {"rule", stages::LadderRuleText(view.rule)},
               {"sentences", Json::array()},
               {"inputs", std::move(inputs)},
               {"chosen", Json::object()},
               {"tried", Json::object()},
               {"asks", Json::array()}};
  for (const stages::SizeDecision& size : view.decision.sizes) {
    json["sentences"].push_back(size.sentence);
    if (size.chosen) {
      json["chosen"][size.label] = *size.chosen;
      json["tried"][size.label] = RatesOf(size);
      continue;
    }
    for (const double rate : RatesOf(size)) {
      if (asked.contains({size.label, rate})) continue;
      json["asks"].push_back({{"size", size.label}, {"learning_rate", rate}});
    }
  }
  return json.dump();
}

namespace {

absl::StatusOr<StageStep> Step(const StageInput& input, bool decide) {
  ALLO_ASSIGN_OR_RETURN(const LadderView view,
                        ViewLadder(input.file, input.manifest, input.stored.runs,
                                   input.stored.cells, input.decisions));
  StageStep step;
  step.result = ToStageResult(view);
  step.is_active = !view.decision.done && !view.decision.blocked;
  step.decides = view.decides;
  ALLO_ASSIGN_OR_RETURN(
      step.expansion,
      sweep::ExpandLadder(input.file, input.manifest, decide ? view.as_decided : view.as_stored));
  if (!decide) return step;
  step.text = LadderDecisionJson(view, input.stored.runs, input.stored.cells);
  for (const stages::SizeDecision& size : view.decision.sizes) {
    if (size.chosen && !view.as_stored.chosen.contains(size.label)) {
      step.sentences.push_back(size.sentence);
    }
  }
  return step;
}

}  // namespace

extern const StageRow kLadderStage;
const StageRow kLadderStage = {
    .name = run::NameOf(run::Stage::kLadder),
    .changed_rule = "changes the rule of the learning-rate ladder",
    .choice = [](const sweep::SweepFile& file) -> const sweep::StageChoice* {
      return file.ladder.has_value() ? &*file.ladder : nullptr;
    },
    .step = &Step,
};

}  // namespace allometry::coordinator
