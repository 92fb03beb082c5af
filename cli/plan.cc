// allo plan: what a sweep will take and what it can be expected to buy, before it is trained.
#include "coordinator/cost/plan.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/command_line.h"
#include "base/host_name.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/ladder_input.h"
#include "cli/measure.h"
#include "cli/measure_command.h"
#include "cli/pilot_input.h"
#include "cli/plan_json.h"
#include "cli/sweep_input.h"
#include "cli/worker_slots.h"
#include "coordinator/cost/design.h"
#include "coordinator/cost/memory.h"
#include "coordinator/cost/schedule_cost.h"
#include "coordinator/stages/ladder/ladder_section.h"
#include "coordinator/stages/stopping/stopping_section.h"
#include "coordinator/stages/stopping/stopping_stage.h"
#include "data/manifest.h"
#include "data/union_name.h"
#include "run/trainer_rules.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;
constexpr int kLookTimeoutS = 2;  // for a coordinator that nobody named

struct Arguments {
  std::string file;
  std::string allow_commands = "auto";
  std::string slots;
  std::string pilot;
  double budget = 0;
  bool no_measure = false;
  bool measure_again = false;
  double measure_seconds = 1.5;
};

// The sweep as it would be, and where it would run.
struct PlanContext {
  v1::Sweep sweep;
  std::vector<v1::Run> runs;
  std::vector<v1::Cell> cells;
  std::vector<cost::WorkerSlots> workers;
  cost::Throughput throughput;  // that a coordinator has seen
  std::string said;             // which workers these are
  std::vector<std::string> notes;
  std::vector<std::string> changes;  // against the sweep that the coordinator has
  bool measurable = true;            // the workers are this machine
  std::optional<LadderPlan> ladder;
  std::optional<stages::StoppingRule> stopping;
  std::vector<v1::Cell> whole_grid;  // of the file, where it has stopping
};

template <class T>
std::vector<T> Copy(const google::protobuf::RepeatedPtrField<T>& field) {
  return {field.begin(), field.end()};
}

void NoteDataset(const v1::ListWorkersResponse& response, PlanContext* plan_context) {
  if (plan_context->runs.empty() || response.workers().empty()) return;
  const v1::RunIdentity& identity = plan_context->runs[0].spec().identity();
  const std::string& name = identity.dataset();
  if (identity.dataset_hash().empty() || (data::IsGenerated(name) && !data::IsUnion(name))) return;
  for (const v1::Worker& worker : response.workers()) {
    std::map<std::string, std::string> hashes;
    for (const v1::Dataset& dataset : worker.datasets()) hashes[dataset.name()] = dataset.hash();
    const auto hash_of = [&](const std::string& one) {
      const auto found = hashes.find(one);
      return found == hashes.end() ? std::nullopt : std::optional(found->second);
    };
    const auto has = data::IsUnion(name) ? data::UnionHash(name, hash_of) : hash_of(name);
    if (has == identity.dataset_hash()) return;
  }
  plan_context->notes.push_back(
      absl::StrFormat("no worker has dataset %s (%s) in its --data-dir: the runs will wait for it",
                      identity.dataset(), identity.dataset_hash()));
}

// The sweep against the coordinator, on its workers. nullopt: nobody answers.
absl::StatusOr<std::optional<PlanContext>> AskCoordinator(const Context& context,
                                                          const SweepInput& input, int timeout_s,
                                                          grpc::Status* refused) {
  const absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> connected = Connect(context);
  if (!connected.ok() && !context.coordinator_named) {
    // Nobody asked for one, and another user may have taken the place where it would be.
    *refused =
        grpc::Status(grpc::StatusCode::UNAVAILABLE, std::string(connected.status().message()));
    return std::nullopt;
  }
  ALLO_RETURN_IF_ERROR(connected.status());
  v1::ClientService::Stub* const stub = connected->get();
  v1::CreateSweepResponse sweep;
  *refused = stub->CreateSweep(MakeCall(context, timeout_s).get(), input.Request(true), &sweep);
  v1::ListWorkersResponse workers;
  if (refused->ok()) {
    *refused = stub->ListWorkers(MakeCall(context, kTimeoutS).get(), {}, &workers);
  }
  if (!refused->ok()) return std::nullopt;
  PlanContext plan_context;
  plan_context.sweep = sweep.sweep();
  plan_context.runs = Copy(sweep.runs());
  plan_context.cells = Copy(sweep.cells());
  if (!sweep.existed() && coordinator::StoppingIn(input.file) != nullptr) {
    // What is granted at first is not what it will cost.
    plan_context.runs = input.expansion.runs;
    plan_context.cells = input.expansion.cells;
  }
  if (sweep.existed()) plan_context.changes = Copy(sweep.changes());
  if (sweep.existed() && sweep.changes().empty()) {
    plan_context.changes.push_back("nothing: the sweep exists with all of this");
  }
  plan_context.workers = WorkersOf(workers);
  std::vector<cost::ThroughputSample> samples;
  for (const v1::MeasuredPace& pace : workers.pace()) {
    samples.push_back({pace.params(), pace.flops_per_s()});
  }
  plan_context.throughput = cost::Throughput(std::move(samples));
  plan_context.said = absl::StrFormat("planned on the workers of the coordinator at %s: %s",
                                      context.coordinator, WorkersText(plan_context.workers));
  const std::string here = HostName();
  for (const cost::WorkerSlots& worker : plan_context.workers) {
    plan_context.measurable &= worker.host == here;
  }
  NoteDataset(workers, &plan_context);
  return plan_context;
}

PlanContext WithoutCoordinator(const SweepInput& input, std::vector<cost::WorkerSlots> workers,
                               const std::string& why) {
  PlanContext plan_context;
  plan_context.sweep = input.expansion.sweep;
  plan_context.runs = input.expansion.runs;
  plan_context.cells = input.expansion.cells;
  plan_context.workers = std::move(workers);
  plan_context.said =
      absl::StrFormat("planned for this machine, %s (%s)", WorkersText(plan_context.workers), why);
  return plan_context;
}

// With --coordinator (or ALLO_COORDINATOR) that one, which must answer; with --slots alone, this
// machine; with neither, a coordinator at the default address if one answers, else this machine.
absl::StatusOr<PlanContext> ChoosePlanContext(const Context& context, const Arguments& arguments,
                                              const SweepInput& input, int* exit_code) {
  ALLO_ASSIGN_OR_RETURN(std::vector<cost::WorkerSlots> own,
                        SlotsOfThisMachine(arguments.slots.empty() ? "auto" : arguments.slots));
  if (!context.coordinator_named && !arguments.slots.empty()) {
    return WithoutCoordinator(input, std::move(own), "--slots; no coordinator was asked");
  }
  grpc::Status refused;
  ALLO_ASSIGN_OR_RETURN(
      std::optional<PlanContext> asked,
      AskCoordinator(context, input, context.coordinator_named ? kTimeoutS : kLookTimeoutS,
                     &refused));
  if (asked.has_value()) {
    if (!arguments.slots.empty()) {
      asked->workers = std::move(own);
      asked->measurable = true;
      absl::StrAppend(&asked->said, "; --slots: ", WorkersText(asked->workers), " instead");
    } else if (asked->workers.empty()) {
      asked->workers = std::move(own);
      absl::StrAppend(&asked->said, "; this machine, ", WorkersText(asked->workers),
                      ", in their place");
    }
    return *std::move(asked);
  }
  const bool away = refused.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    refused.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (away && !context.coordinator_named) {
    return WithoutCoordinator(input, std::move(own),
                              absl::StrCat("no coordinator answers at ", context.coordinator));
  }
  *exit_code = Fail(context, refused);
  return PlanContext();
}

int BusySlots(const PlanContext& plan_context) {
  int slots = 1;
  for (const cost::WorkerSlots& worker : plan_context.workers)
    slots = std::max(slots, worker.slots);
  return slots;
}

// A pace of the coordinator's own for a model of this very size goes before a measurement here.
bool HasPace(const cost::Throughput& throughput, double params) {
  return std::any_of(throughput.samples().begin(), throughput.samples().end(),
                     [params](const cost::ThroughputSample& sample) {
                       return std::abs(sample.params / params - 1) < 1e-9;
                     });
}

// What follows from what the trainer's command can and cannot do.
std::vector<std::string> TrainerSentences(const sweep::TrainerChoice& trainer) {
  std::vector<std::string> sentences;
  const auto cannot = [&](absl::string_view what) { return !run::CanDo(trainer.trainer, what); };
  if (cannot("resume")) {
    sentences.push_back(
        "the command cannot resume: an attempt that is stopped or killed begins again at step 0");
  }
  if (cannot("branch")) {
    sentences.push_back(
        "the command cannot branch: under schedule wsd every cell trains from step 0, without a "
        "trunk");
  }
  if (cannot("evaluation_steps")) {
    sentences.push_back(
        "the command cannot evaluate at given steps: only the loss at a run's last step counts");
  }
  if (trainer.measure_seconds == 0) {
    sentences.push_back(
        "the command's speed is not measured: trainer.measure: {seconds: 30} would");
  }
  return sentences;
}

MeasuredCosts Measure(const Context& context, const Arguments& arguments,
                      const PlanContext& plan_context,
                      const std::optional<sweep::TrainerChoice>& trainer) {
  if (!plan_context.measurable) return {};
  std::vector<v1::Run> runs;
  const auto add = [&](const std::vector<v1::Run>& more) {
    for (const v1::Run& run : more) {
      if (!HasPace(plan_context.throughput, static_cast<double>(run.n_params())))
        runs.push_back(run);
    }
  };
  add(plan_context.runs);
  if (plan_context.ladder) {
    add(plan_context.ladder->tuning.runs);
    add(plan_context.ladder->grid.runs);
  }
  MeasureOptions options;
  options.data_dir = context.data_dir;
  options.slots = BusySlots(plan_context);
  options.seconds = arguments.measure_seconds;
  options.measure = !arguments.no_measure;
  options.remember = !arguments.measure_again;
  if (!context.json) {
    options.progress = [](const std::string& line) { std::cerr << line << std::endl; };
  }
  if (!trainer) return MeasureRuns(runs, options);
  if (arguments.no_measure || trainer->measure_seconds == 0) return {};
  return MeasureCommands(runs, trainer->measure_seconds, options);
}

std::string WhyNoTimes(const cost::SweepPlan& plan, const Arguments& arguments,
                       const PlanContext& plan_context) {
  const auto unknown = std::count_if(
      plan.runs.begin(), plan.runs.end(),
      [](const cost::PlannedRun& run) { return run.new_work && !run.seconds.has_value(); });
  return absl::StrFormat(
      "the times of %d runs are not known, so neither is the sweep's: %s", unknown,
      !plan_context.measurable ? "the workers are other machines, and have trained nothing yet"
      : arguments.no_measure   ? "--no-measure, and nothing was measured or seen before"
                               : "they could not be measured");
}

template <class T>
std::vector<T> Joined(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> joined = a;
  joined.insert(joined.end(), b.begin(), b.end());
  return joined;
}

struct WholePlan {
  cost::SweepPlan plan;
  cost::ExpectedPrecision buy;
};

// What is known now, and of a ladder also what is to come: its bounds, its limits at the most that
// it may cost, and the widths that its grid buys.
WholePlan MakePlan(PlanContext& plan_context, const cost::PlanOptions& options,
                   const fitting::Pilot& pilot, double budget) {
  const v1::Sweep& sweep = plan_context.sweep;
  WholePlan made;
  cost::SweepPlan& plan = made.plan;
  plan = cost::Plan(sweep, plan_context.runs, plan_context.cells, options);
  std::vector<v1::Run> runs = plan_context.runs;
  std::vector<v1::Cell> cells = plan_context.cells;
  cost::SweepPlan most = plan;
  if (plan_context.ladder) {
    LadderPlan& ladder = *plan_context.ladder;
    ladder.outlook.tuning = cost::Plan(sweep, ladder.tuning.runs, ladder.tuning.cells, options);
    ladder.outlook.grid = cost::Plan(sweep, ladder.grid.runs, ladder.grid.cells, options);
    plan.sections.push_back(stages::LadderSection(ladder.outlook));
    for (const cost::SweepPlan* part : {&ladder.outlook.tuning, &ladder.outlook.grid}) {
      for (const std::string& why : part->impossible) {
        const auto known = std::find(plan.impossible.begin(), plan.impossible.end(), why);
        if (known == plan.impossible.end()) plan.impossible.push_back(why);
      }
    }
    runs = Joined(runs, ladder.grid.runs);
    cells = Joined(cells, ladder.grid.cells);
    most.runs = Joined(most.runs, ladder.outlook.grid.runs);
    most.device_seconds = stages::BoundsOf(ladder.outlook).most_seconds;
    for (size_t i = 0; most.device_seconds && i < plan_context.runs.size(); ++i) {
      const cost::PlannedRun& run = plan.runs[i];  // of a size with a rate
      if (!plan_context.runs[i].stage().empty() || !run.new_work) continue;
      *most.device_seconds += run.seconds.value_or(0) * run.ranks;
    }
  }
  if (plan_context.stopping) {
    plan.sections.push_back(
        stages::StoppingSection(*plan_context.stopping, plan_context.whole_grid));
  }
  std::vector<std::string> schedule =
      cost::ScheduleSentences(cost::CostOfSchedule(sweep, runs, cells));
  if (!schedule.empty()) plan.sections.push_back({"schedule", std::move(schedule)});
  std::vector<std::string> numerics = cost::NumericsSentences(runs);
  if (!numerics.empty()) plan.sections.push_back({"precision", std::move(numerics)});
  cost::PlanSection limits = cost::LimitsSection(sweep, most, runs);
  if (!limits.sentences.empty()) plan.sections.push_back(std::move(limits));
  made.buy = cost::ExpectPrecision(sweep, runs, cells, pilot, budget);
  plan.sections.push_back(cost::PrecisionSection(made.buy));
  return made;
}

int RunPlan(const Context& context, const Arguments& arguments) {
  const absl::StatusOr<SweepInput> input =
      ReadSweepInput(arguments.file, context.data_dir, arguments.allow_commands);
  if (!input.ok()) return Fail(NameWorkersWithDataset(context, input.status()));
  int exit_code = kExitOk;
  absl::StatusOr<PlanContext> plan_context =
      ChoosePlanContext(context, arguments, *input, &exit_code);
  if (!plan_context.ok()) return Fail(plan_context.status());
  if (exit_code != kExitOk) return exit_code;
  absl::StatusOr<std::optional<LadderPlan>> ladder = ReadLadderPlan(*input, plan_context->cells);
  if (!ladder.ok()) return Fail(ladder.status());
  plan_context->ladder = *std::move(ladder);
  if (const auto* stopping = coordinator::StoppingIn(input->file)) {
    plan_context->stopping = stopping->rule;
    plan_context->whole_grid = input->expansion.cells;
  }
  const absl::StatusOr<fitting::Pilot> pilot = ReadPilot(context, arguments.pilot);
  if (!pilot.ok()) return Fail(pilot.status());

  const MeasuredCosts measured = Measure(context, arguments, *plan_context, input->file.trainer);
  cost::PlanOptions options;
  options.throughput = plan_context->throughput;
  options.costs = measured.costs;
  options.workers = plan_context->workers;
  WholePlan made = MakePlan(*plan_context, options, *pilot, arguments.budget);
  if (input->file.trainer) {
    made.plan.sections.push_back({"trainer", TrainerSentences(*input->file.trainer)});
    if (made.plan.sections.back().sentences.empty()) made.plan.sections.pop_back();
  }
  const cost::SweepPlan& plan = made.plan;
  std::vector<std::string> notes = plan_context->notes;
  notes.insert(notes.end(), measured.problems.begin(), measured.problems.end());
  if (!plan.device_seconds.has_value()) notes.push_back(WhyNoTimes(plan, arguments, *plan_context));

  if (context.json) {
    std::cout << PlanJson(plan, made.buy, plan_context->said, plan_context->changes, notes).dump(2)
              << "\n";
  } else {
    std::cout << cost::PlanText(plan) << "\n" << plan_context->said << "\n";
    for (const std::string& change : plan_context->changes) std::cout << WouldAdd(change) << "\n";
    for (const std::string& note : notes) std::cout << "note: " << note << "\n";
  }
  std::cout << std::flush;
  for (const std::string& why : plan.impossible) {
    std::cerr << arguments.file << ": can never be scheduled: " << why << "\n";
  }
  return plan.impossible.empty() ? kExitOk : kExitBadInput;
}

}  // namespace

void AddPlan(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "plan",
      "what a sweep takes and what it can be expected to buy, before it is trained; needs no "
      "coordinator (with one: on its workers, and only what is new); 2 when a part of it can never "
      "be scheduled");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("FILE", arguments->file, "sweep file (YAML; docs/sweep-file.md)")->required();
  command->add_option("--allow-commands", arguments->allow_commands,
                      "programs that the file's trainer.describe_command may be: auto (all), none, "
                      "or programs with commas");
  command->add_option("--data-dir", context.data_dir, "folder of the datasets (ALLO_DATA_DIR)")
      ->capture_default_str();
  command->add_option("--slots", arguments->slots,
                      "plan for this machine's devices: auto, cpu:COUNT, cuda:INDEX, with commas");
  command->add_option("--pilot", arguments->pilot,
                      "where law and errors come from: a sweep of the coordinator, a file of runs "
                      "(.csv) or a report of 'allo fit --json' (.json)");
  command
      ->add_option("--budget", arguments->budget,
                   "FLOPs at which the width on L* is wanted; otherwise ten times the largest "
                   "cell's")
      ->transform(PlainNumbers)
      ->check(CheckAboveZero);
  command->add_flag("--no-measure", arguments->no_measure,
                    "no trainer is started: times only where they are remembered or the "
                    "coordinator has seen them");
  command->add_flag("--measure-again", arguments->measure_again, "remembered times are not used");
  AddDurationInSeconds(*command, "--measure-time", arguments->measure_seconds,
                       "how long updates of each shape are measured", {.least = 0.05, .most = 600});
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return RunPlan(context, *arguments); };
  });
}

}  // namespace allometry::cli
