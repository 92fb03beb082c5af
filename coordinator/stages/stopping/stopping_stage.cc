#include "coordinator/stages/stopping/stopping_stage.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"
#include "coordinator/sweep/stopping_expansion.h"
#include "coordinator/sweep/yaml_fields.h"
#include "run/choices.h"

namespace allometry::coordinator {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kName = run::NameOf(run::Stage::kStopping);
constexpr absl::string_view kKeys[] = {"frontier", "margin"};

void CheckGrid(int line, const sweep::SweepFile& file, sweep::Mistakes& mistakes) {
  constexpr size_t kFewestBudgets = 3;
  if (file.budget_kind != sweep::BudgetKind::kFlops && !file.budgets.empty()) {
    mistakes.Add(line,
                 "stopping.frontier compares sizes at equal FLOPs: it needs budgets.flops, not "
                 "budgets in tokens");
  } else if (file.budgets.size() < kFewestBudgets) {
    mistakes.Add(line, absl::StrFormat("stopping.frontier decides from two budgets about the next "
                                       "one: it needs at least %d, and the file has %d",
                                       kFewestBudgets, file.budgets.size()));
  }
  if (file.schedule.kind != run::Schedule::kConstant) {
    mistakes.Add(line, absl::StrFormat("stopping.frontier goes with schedule constant, where a "
                                       "larger budget continues the run; the file has %s",
                                       run::NameOf(file.schedule.kind)));
  }
  if (file.ladder) {
    mistakes.Add(line,
                 "stopping.frontier does not go with a learning-rate ladder: sizes get their "
                 "budgets one after the other in either; give the rates that a ladder has found");
  }
}

std::shared_ptr<const sweep::StageChoice> ReadSection(const sweep::Fields& fields,
                                                      const sweep::SweepFile& file,
                                                      sweep::Mistakes& mistakes) {
  StoppingChoice choice;
  bool frontier = false;
  if (const auto field =
          fields.Require("frontier", "true: small sizes stop when the frontier has passed them")) {
    frontier = sweep::ReadFlag(*field, mistakes).value_or(false);
  }
  fields.Real("margin", {0, 1}, &choice.rule.margin);
  if (!frontier) return nullptr;
  CheckGrid(fields.line(), file, mistakes);
  for (const sweep::Budget& budget : file.budgets) choice.rule.budgets.push_back(budget.value);
  return std::make_shared<const StoppingChoice>(std::move(choice));
}

using FlopsOfSize = std::map<std::string, double>;

struct Stored {
  FlopsOfSize granted, stopped;
  std::map<std::string, std::string> sentences;  // why a size stopped
};

absl::StatusOr<Stored> ReadDecisions(absl::Span<const std::string> decisions) {
  Stored stored;
  const auto read = [](const Json& json, const char* key, FlopsOfSize& flops) {
    if (!json.contains(key) || !json[key].is_object()) return false;
    for (const auto& [size, value] : json[key].items()) {
      if (!value.is_number()) return false;
      flops[size] = value.get<double>();
    }
    return true;
  };
  for (const std::string& text : decisions) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("stage", "") != kName) continue;
    if (!read(json, "granted", stored.granted) || !read(json, "stopped", stored.stopped)) {
      return absl::DataLossError(
          "a stored decision about early stopping has no granted and stopped budgets");
    }
    if (!json.contains("sentences") || !json["sentences"].is_object()) continue;
    for (const auto& [size, sentence] : json["sentences"].items()) {
      if (sentence.is_string()) stored.sentences[size] = sentence.get<std::string>();
    }
  }
  return stored;
}

// A cell of the file and its rows of every seed.
struct Rows {
  std::vector<std::pair<const v1::Run*, const v1::Cell*>> of_seeds;
};

stages::StoppingCell StateOf(const Rows& rows, size_t seeds) {
  stages::StoppingCell cell;
  cell.state = stages::CellState::kOpen;
  double sum = 0;
  size_t measured = 0, diverged = 0;
  for (const auto& [run, stored] : rows.of_seeds) {
    if (stored->done()) {
      sum += stored->loss();
      ++measured;
    } else if (run->state() == v1::RUN_FAILED && run->failure() == v1::DIVERGED) {
      ++diverged;
    } else if (run->state() == v1::RUN_FAILED || run->state() == v1::RUN_CANCELLED) {
      cell.state = stages::CellState::kFailed;
      cell.reason =
          absl::StrFormat("run %d %s; 'allo retry' takes it up again", run->run_id(),
                          run->state() == v1::RUN_CANCELLED
                              ? "was cancelled"
                              : absl::StrCat("failed with ", v1::ExitReason_Name(run->failure())));
    }
  }
  if (measured + diverged < seeds) return cell;
  cell.state = measured > 0 ? stages::CellState::kMeasured : stages::CellState::kDiverged;
  cell.loss = measured > 0 ? sum / static_cast<double>(measured) : 0;
  return cell;
}

// The file's grid as sizes x budgets, with what is stored of it.
class Grid {
 public:
  Grid(const sweep::SweepFile& file, const sweep::Expansion& whole, absl::Span<const v1::Run> runs,
       absl::Span<const v1::Cell> cells)
      : file_(file), whole_(whole) {
    for (const v1::Cell& cell : whole.cells) {
      wanted_[{cell.size(), cell.asked_flops()}].push_back(&cell);
    }
    for (const v1::Run& run : runs) by_key_[run.key()] = &run;
    for (const v1::Cell& cell : cells) by_run_[cell.run_id()].push_back(&cell);
  }

  std::vector<stages::StoppingSize> Sizes(StoppingView& view) {
    std::map<std::string, int64_t> params;
    for (const v1::Cell& cell : whole_.cells) params[cell.size()] = cell.params();
    std::vector<std::pair<int64_t, std::string>> ordered;
    for (const auto& [label, n] : params) ordered.emplace_back(n, label);
    std::sort(ordered.begin(), ordered.end());
    std::vector<stages::StoppingSize> sizes;
    for (const auto& [n, label] : ordered) {
      stages::StoppingSize& size = sizes.emplace_back();
      size.label = label;
      for (const sweep::Budget& budget : file_.budgets) {
        size.cells.push_back(CellOf(label, budget.value, view));
      }
    }
    return sizes;
  }

 private:
  stages::StoppingCell CellOf(const std::string& label, double flops, StoppingView& view) {
    Rows rows;
    const std::vector<const v1::Cell*>& of_seeds = wanted_[{label, flops}];
    for (const v1::Cell* cell : of_seeds) {
      const v1::Run& wanted = whole_.runs[static_cast<size_t>(cell->run_id() - 1)];
      const auto run = by_key_.find(wanted.key());
      if (run == by_key_.end()) continue;
      const v1::Cell* stored = Find(by_run_[run->second->run_id()], *cell);
      if (stored == nullptr) continue;
      rows.of_seeds.emplace_back(run->second, stored);
      view.runs.push_back(*run->second);
      view.inputs.push_back(*stored);
    }
    return of_seeds.empty() ? stages::StoppingCell() : StateOf(rows, of_seeds.size());
  }

  // As the difference of a submission finds a cell again; nullptr: it is not there.
  static const v1::Cell* Find(const std::vector<const v1::Cell*>& cells, const v1::Cell& wanted) {
    for (const v1::Cell* cell : cells) {
      if (!cell->stage().empty()) continue;
      if (cell->step() == wanted.step() ||
          std::abs(cell->asked_tokens() - wanted.asked_tokens()) <= 1e-9 * wanted.asked_tokens()) {
        return cell;
      }
    }
    return nullptr;
  }

  const sweep::SweepFile& file_;
  const sweep::Expansion& whole_;
  std::map<std::pair<std::string, double>, std::vector<const v1::Cell*>> wanted_;  // of each seed
  std::map<std::string, const v1::Run*> by_key_;
  std::map<int64_t, std::vector<const v1::Cell*>> by_run_;
};

}  // namespace

bool StoppingChoice::SameAs(const sweep::StageChoice& other) const {
  return rule.margin == static_cast<const StoppingChoice&>(other).rule.margin;
}

const StoppingChoice* StoppingIn(const sweep::SweepFile& file) {
  const auto found = file.stages.find(kName);
  return found == file.stages.end() ? nullptr
                                    : static_cast<const StoppingChoice*>(found->second.get());
}

absl::StatusOr<StoppingView> ViewStopping(const sweep::SweepFile& file,
                                          const data::Manifest& manifest,
                                          absl::Span<const v1::Run> runs,
                                          absl::Span<const v1::Cell> cells,
                                          absl::Span<const std::string> decisions) {
  ALLO_ASSIGN_OR_RETURN(const sweep::Expansion whole, sweep::Expand(file, manifest));
  ALLO_ASSIGN_OR_RETURN(Stored stored, ReadDecisions(decisions));
  StoppingView view;
  view.rule = StoppingIn(file)->rule;
  std::vector<stages::StoppingSize> sizes = Grid(file, whole, runs, cells).Sizes(view);
  // What is granted before anything is known.
  std::vector<stages::StoppingSize> unknown = sizes;
  for (size_t i = 0; i < sizes.size(); ++i) {
    for (stages::StoppingCell& cell : unknown[i].cells) {
      if (cell.state != stages::CellState::kLeftOut) cell = {stages::CellState::kOpen, 0, ""};
    }
    const auto stopped = stored.stopped.find(sizes[i].label);
    if (stopped != stored.stopped.end()) sizes[i].stopped_after = stopped->second;
  }
  for (const stages::SizeGrant& grant : stages::DecideStopping(view.rule, unknown).sizes) {
    double& most = stored.granted[grant.label];
    if (!stored.stopped.contains(grant.label)) most = std::max(most, grant.up_to);
  }
  view.decision = stages::DecideStopping(view.rule, sizes);
  for (stages::SizeGrant& grant : view.decision.sizes) {
    view.decides |= grant.stopped_now;
    const auto sentence = stored.sentences.find(grant.label);
    if (grant.stopped && !grant.stopped_now && sentence != stored.sentences.end()) {
      grant.sentence = sentence->second;
    }
    view.granted[grant.label] = std::max(grant.up_to, stored.granted[grant.label]);
  }
  for (const stages::SizeGrant& grant : view.decision.sizes) {
    if (!grant.stopped) continue;
    double most = 0, trained = 0;  // of one seed's run
    for (const v1::Cell& cell : whole.cells) {
      if (cell.size() != grant.label) continue;
      most = std::max(most, cell.flops());
      if (cell.asked_flops() <= view.granted[grant.label])
        trained = std::max(trained, cell.flops());
    }
    view.withheld_flops += (most - trained) * static_cast<double>(file.seeds.size());
  }
  view.as_stored = sweep::UpTo(whole, stored.granted);
  view.as_decided = sweep::UpTo(whole, view.granted);
  return view;
}

v1::StageResult ToStageResult(const StoppingView& view) {
  v1::StageResult result;
  result.set_name(kName);
  result.set_rule(stages::StoppingRuleText(view.rule));
  result.set_done(view.decision.done);
  Json stopped = Json::object();
  for (const stages::SizeGrant& grant : view.decision.sizes) {
    if (!grant.stopped) continue;
    result.add_lines(grant.sentence);
    stopped[grant.label] = grant.up_to;
  }
  if (view.withheld_flops > 0) {
    result.add_lines(absl::StrFormat("not trained: %s FLOPs of the file's grid",
                                     cost::FlopsText(view.withheld_flops)));
  }
  if (!view.decision.waits.empty()) result.add_lines(view.decision.waits);
  if (view.decision.done) result.set_result_json(stopped.dump());
  return result;
}

std::string StoppingDecisionJson(const StoppingView& view) {
  Json json = {{"stage", kName},
               {"rule", stages::StoppingRuleText(view.rule)},
               {"sentences", Json::object()},
               {"inputs", Json::array()},
               {"granted", Json::object()},
               {"stopped", Json::object()}};
  for (const stages::SizeGrant& grant : view.decision.sizes) {
    json["granted"][grant.label] = view.granted.at(grant.label);
    if (!grant.stopped) continue;
    json["stopped"][grant.label] = grant.up_to;
    json["sentences"][grant.label] = grant.sentence;
  }
  for (size_t i = 0; i < view.inputs.size(); ++i) {
    const v1::Cell& cell = view.inputs[i];
    const v1::Run& run = view.runs[i];
    json["inputs"].push_back(
        {{"size", cell.size()},
         {"flops", cell.asked_flops()},
         {"run_key", run.key()},
         {"step", cell.step()},
         {"state", cell.done()                     ? "MEASURED"
                   : run.state() == v1::RUN_FAILED ? v1::ExitReason_Name(run.failure())
                                                   : "OPEN"},
         {"loss", cell.done() ? Json(cell.loss()) : Json()}});
  }
  return json.dump();
}

absl::StatusOr<std::map<std::string, double>> StoppedSizes(
    absl::Span<const std::string> decisions) {
  ALLO_ASSIGN_OR_RETURN(Stored stored, ReadDecisions(decisions));
  return std::move(stored.stopped);
}

namespace {

absl::StatusOr<StageStep> Step(const StageInput& input, bool decide) {
  ALLO_ASSIGN_OR_RETURN(StoppingView view,
                        ViewStopping(input.file, input.manifest, input.stored.runs,
                                     input.stored.cells, input.decisions));
  StageStep step;
  step.result = ToStageResult(view);
  step.is_active = !view.decision.done && !view.decision.blocked;
  step.decides = view.decides;
  if (decide) {
    step.text = StoppingDecisionJson(view);
    for (const stages::SizeGrant& grant : view.decision.sizes) {
      if (grant.stopped_now) step.sentences.push_back(grant.sentence);
    }
  }
  step.expansion = std::move(decide ? view.as_decided : view.as_stored);
  return step;
}

}  // namespace

extern const StageRow kStoppingStage;
const StageRow kStoppingStage = {
    .name = kName,
    .changed_rule = "changes the rule of early stopping",
    .keys = kKeys,
    .read = &ReadSection,
    .step = &Step,
};

}  // namespace allometry::coordinator
