#include "cli/plan_json.h"

#include <cmath>

namespace allometry::cli {
namespace {

using Json = nlohmann::ordered_json;

Json Number(const std::optional<double>& value) {
  return value.has_value() && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json RunJson(const cost::PlannedRun& run) {
  return {{"run_id", run.run_id},
          {"key", run.key},
          {"size", run.size},
          {"params", run.params},
          {"layers", run.layers},
          {"heads", run.heads},
          {"width", run.width},
          {"learning_rate", run.learning_rate},
          {"seed", run.seed},
          {"device", run.device ? run::NameOf(*run.device) : ""},
          {"devices", run.ranks},
          {"cells", run.cells},
          {"from_step", run.from},
          {"steps", run.steps},
          {"tokens", run.tokens},
          {"flops", run.flops},
          {"epochs", run.epochs},
          {"memory_bytes", run.memory_bytes},
          {"memory_measured", run.memory_measured},
          {"seconds", Number(run.seconds)},
          {"time_source", run.time_source.empty() ? Json(nullptr) : Json(run.time_source)},
          {"trains", run.new_work}};
}

Json CellJson(const v1::Cell& cell) {
  return {{"size", cell.size()},     {"params", cell.params()},
          {"run_id", cell.run_id()}, {"asked_tokens", cell.asked_tokens()},
          {"tokens", cell.tokens()}, {"step", cell.step()},
          {"flops", cell.flops()},   {"epochs", cell.epochs()},
          {"done", cell.done()}};
}

Json BuyJson(const cost::ExpectedPrecision& buy) {
  Json widths = Json::object();
  for (const fitting::ExpectedWidth& width : buy.widths.widths) {
    Json one = {{"value", width.value},
                {"half_width", width.half},
                {"error", width.error},
                {"df", Number(width.df)}};
    if (width.quantity.kind == fitting::QuantityKind::kLoss) one["flops"] = buy.flops;
    widths[width.quantity.name()] = std::move(one);
  }
  return {{"law",
           {{"E", buy.pilot.law.floor},
            {"A", buy.pilot.law.a_term},
            {"B", buy.pilot.law.b_term},
            {"alpha", buy.pilot.law.alpha},
            {"beta", buy.pilot.law.beta}}},
          {"errors",
           {{"sd", buy.pilot.noise.sd},
            {"shared", buy.pilot.noise.shared},
            {"serial", buy.pilot.noise.serial},
            {"length", buy.pilot.noise.length},
            {"tilt", buy.pilot.noise.tilt}}},
          {"source", buy.pilot.source},
          {"interval", buy.widths.method},
          {"reason", buy.widths.reason.empty() ? Json(nullptr) : Json(buy.widths.reason)},
          {"sizes", buy.widths.clusters},
          {"evaluations", buy.widths.points},
          {"widths", std::move(widths)}};
}

}  // namespace

Json PlanJson(const cost::SweepPlan& plan, const cost::ExpectedPrecision& buy,
              const std::string& workers, const std::vector<std::string>& changes,
              const std::vector<std::string>& notes) {
  Json runs = Json::array(), cells = Json::array(), sections = Json::object();
  for (const cost::PlannedRun& run : plan.runs) runs.push_back(RunJson(run));
  for (const v1::Cell& cell : plan.cells) cells.push_back(CellJson(cell));
  for (const cost::PlanSection& section : plan.sections) {
    sections[section.title] = section.sentences;
  }
  return {{"name", plan.name},
          {"dataset", plan.dataset},
          {"params_policy", plan.params_policy},
          {"flops_convention", run::NameOf(plan.flops_convention)},
          {"tokens", plan.tokens},
          {"flops", plan.flops},
          {"flops_whole", plan.flops_whole},
          {"flops_saved", plan.flops_saved},
          {"device_seconds", Number(plan.device_seconds)},
          {"makespan_seconds", Number(plan.makespan_seconds)},
          {"slots", plan.slots},
          {"workers", workers},
          {"runs", std::move(runs)},
          {"cells", std::move(cells)},
          {"left_out", plan.left_out},
          {"impossible", plan.impossible},
          {"changes", changes},
          {"expected", BuyJson(buy)},
          {"sections", std::move(sections)},
          {"notes", notes}};
}

}  // namespace allometry::cli
