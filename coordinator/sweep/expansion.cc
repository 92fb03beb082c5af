#include "coordinator/sweep/expansion.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "coordinator/sweep/evaluate_run.h"
#include "coordinator/sweep/evaluation_steps.h"
#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/policy_runs.h"
#include "coordinator/sweep/tokenizer_run.h"
#include "coordinator/sweep/trainer_section.h"
#include "coordinator/sweep/window.h"
#include "models/micro_batch.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "run/trainer_rules.h"

namespace allometry::sweep {
namespace {

constexpr double kMostTokens = 1e15;
// Activations of a rank beyond which its share of a batch is cut into micro-batches.
constexpr double kCpuActivationBytes = 2.0 * (1 << 30);
constexpr double kCudaActivationBytes = 24.0 * (1 << 30);

// A size with its arithmetic.
struct BuiltSize {
  const SizeChoice* choice = nullptr;
  models::Shape shape;
  models::ParamCounts counts;
  int64_t params = 0;  // N under the policy
  double flops_per_token_6n = 0;
  double flops_per_token_exact = 0;
  double flops_per_token = 0;  // under the convention
};

absl::StatusOr<models::Shape> ShapeOf(const SizeChoice& size, const SweepFile& file,
                                      const models::Shape& like) {
  if (size.params != 0) {
    return models::NearestShape(size.params, file.params_policy, like, file.shape_rule);
  }
  models::Shape shape = like;
  shape.layers = size.layers;
  shape.heads = size.heads;
  shape.width = size.width;
  ALLO_RETURN_IF_ERROR(models::Validate(shape));
  return shape;
}

std::string ShapeText(const models::Shape& shape) {
  return absl::StrFormat("%d layers, %d heads, width %d", shape.layers, shape.heads, shape.width);
}

// N and the FLOPs of a token, from the counts and the exact FLOPs.
void Count(const SweepFile& file, BuiltSize& size) {
  size.params = models::CountN(size.counts, file.params_policy);
  size.flops_per_token_6n = models::FlopsPerToken6N(size.counts, file.params_policy);
  size.flops_per_token = file.flops_convention == run::FlopsConvention::k6nd
                             ? size.flops_per_token_6n
                             : size.flops_per_token_exact;
}

// A row of model.table. What it leaves out is a mistake where a convention of the file needs it.
BuiltSize BuildRow(const SweepFile& file, const SizeChoice& size, const models::Shape& like,
                   Mistakes& mistakes) {
  const SizeRow& row = *size.row;
  if (!row.has_params_non_embedding && file.params_policy == models::ParamPolicy::kNonEmbedding) {
    mistakes.Add(size.line, absl::StrFormat("size %s: conventions.params non-embedding needs its "
                                            "params_non_embedding",
                                            size.label));
  }
  if (row.flops_per_token == 0 && file.flops_convention == run::FlopsConvention::kExact) {
    mistakes.Add(size.line, absl::StrFormat("size %s: conventions.flops exact needs its "
                                            "flops_per_token",
                                            size.label));
  }
  BuiltSize entry;
  entry.choice = &size;
  entry.shape = like;
  entry.shape.layers = entry.shape.heads = entry.shape.width = 0;
  entry.counts.blocks = row.params_non_embedding;
  entry.counts.token_embedding = size.params - row.params_non_embedding;
  entry.flops_per_token_exact = row.flops_per_token > 0
                                    ? row.flops_per_token
                                    : 6.0 * static_cast<double>(entry.counts.total());
  Count(file, entry);
  return entry;
}

// Of sizes whose shapes are chosen together, by their place in file.sizes; empty where each is
// chosen by itself. A size that cannot be built is told when it is built alone.
std::map<const SizeChoice*, models::Shape> ShapesTogether(const SweepFile& file,
                                                          const models::Shape& like) {
  std::map<const SizeChoice*, models::Shape> together;
  if (!file.smooth_shapes) return together;
  std::vector<const SizeChoice*> choices;
  std::vector<int64_t> params;
  for (const SizeChoice& size : file.sizes) {
    if (size.row || size.params == 0) continue;
    choices.push_back(&size);
    params.push_back(size.params);
  }
  const auto shapes = models::SmoothShapes(params, file.params_policy, like, file.shape_rule);
  for (size_t i = 0; shapes.ok() && i < choices.size(); ++i) together[choices[i]] = (*shapes)[i];
  return together;
}

// Sizes that cannot be built, and of two with one shape the later, are mistakes.
std::vector<BuiltSize> BuildSizes(const SweepFile& file, const models::Shape& like,
                                  Mistakes& mistakes) {
  std::vector<BuiltSize> built;
  std::map<std::tuple<int, int, int>, const SizeChoice*> known;
  const std::map<const SizeChoice*, models::Shape> together = ShapesTogether(file, like);
  for (const SizeChoice& size : file.sizes) {
    if (size.row) {
      built.push_back(BuildRow(file, size, like, mistakes));
      continue;
    }
    const auto chosen = together.find(&size);
    const absl::StatusOr<models::Shape> shape =
        chosen != together.end() ? chosen->second : ShapeOf(size, file, like);
    if (!shape.ok()) {
      mistakes.Add(size.line, absl::StrFormat("size %s: %s", size.label, shape.status().message()));
      continue;
    }
    const auto [same, added] =
        known.emplace(std::tuple(shape->layers, shape->heads, shape->width), &size);
    if (!added) {
      mistakes.Add(size.line, absl::StrFormat("sizes %s and %s are one shape (%s): leave one out",
                                              same->second->label, size.label, ShapeText(*shape)));
      continue;
    }
    BuiltSize entry;
    entry.choice = &size;
    entry.shape = *shape;
    entry.counts = models::CountParams(*shape);
    entry.flops_per_token_exact = models::FlopsPerTokenExact(*shape);
    Count(file, entry);
    built.push_back(std::move(entry));
  }
  return built;
}

double AskedTokens(const SweepFile& file, const Budget& budget, const BuiltSize& size) {
  switch (file.budget_kind) {
    case BudgetKind::kTokens:
      return budget.value;
    case BudgetKind::kFlops:
      return budget.value / size.flops_per_token;
    case BudgetKind::kTokensPerParam:
      return budget.value * static_cast<double>(size.params);
  }
  return 0;
}

std::string CellText(const SweepFile& file, const Budget& budget, const SizeChoice& size) {
  constexpr absl::string_view kUnits[] = {"tokens", "FLOPs", "tokens per parameter"};
  return absl::StrFormat("%s at %s %s", size.label, budget.label,
                         kUnits[static_cast<int>(file.budget_kind)]);
}

// Why a cell cannot be; empty when it can. `step_before` is that of the budget before, 0 if none.
std::string ReasonToLeaveOut(const SweepFile& file, const v1::Cell& cell, int64_t step_before) {
  if (cell.step() <= file.recipe.warmup_steps) {
    return absl::StrFormat("%d steps, within the warm-up of %d steps", cell.step(),
                           file.recipe.warmup_steps);
  }
  if (file.schedule.kind == run::Schedule::kWsd) {
    const int64_t decay_begin = *DecayBegin(file.schedule, file.recipe.warmup_steps, cell.step());
    if (decay_begin < std::max<int64_t>(1, file.recipe.warmup_steps)) {
      return absl::StrFormat(
          "%d steps, and its decay would begin at step %d, within the warm-up "
          "of %d steps",
          cell.step(), decay_begin, file.recipe.warmup_steps);
    }
  }
  if (!file.allow_repeat && cell.epochs() > file.max_epochs) {
    return absl::StrFormat("%s epochs of %s, more than max_epochs %s", FormatNumber(cell.epochs()),
                           file.dataset, FormatNumber(file.max_epochs));
  }
  if (cell.step() == step_before) {
    return absl::StrFormat("step %d, as of a smaller budget", cell.step());
  }
  return "";
}

// The cells of one size, ascending; the same for every seed.
std::vector<v1::Cell> CellsOf(const SweepFile& file, const BuiltSize& size,
                              const data::Manifest& manifest, v1::Sweep& sweep,
                              Mistakes& mistakes) {
  std::vector<v1::Cell> cells;
  int64_t step_before = 0;
  for (const Budget& budget : file.budgets) {
    const double asked = AskedTokens(file, budget, size);
    if (!(asked <= kMostTokens)) {
      mistakes.Add(budget.line,
                   absl::StrFormat("%s: %s tokens are out of range: allowed are at most %s",
                                   CellText(file, budget, *size.choice), FormatNumber(asked),
                                   FormatNumber(kMostTokens)));
      continue;
    }
    v1::Cell cell;
    cell.set_size(size.choice->label);
    cell.set_params(size.params);
    cell.set_asked_tokens(asked);
    if (file.budget_kind == BudgetKind::kFlops) cell.set_asked_flops(budget.value);
    cell.set_step(
        std::max<int64_t>(1, std::llround(asked / static_cast<double>(file.batch_tokens))));
    cell.set_tokens(cell.step() * file.batch_tokens);
    cell.set_flops(static_cast<double>(cell.tokens()) * size.flops_per_token);
    cell.set_epochs(EpochsOf(file, manifest, cell.tokens()));
    const std::string reason = ReasonToLeaveOut(file, cell, step_before);
    if (!reason.empty()) {
      sweep.add_left_out(absl::StrCat(CellText(file, budget, *size.choice), ": ", reason));
      continue;
    }
    step_before = cell.step();
    cells.push_back(std::move(cell));
  }
  if (cells.empty()) {
    sweep.add_left_out(absl::StrCat(size.choice->label, ": no run, as all its cells are left out"));
  }
  return cells;
}

// The log-spaced steps after `first` and up to `last`, and the cells' own.
std::vector<int64_t> EvaluationSteps(const SweepFile& file, int64_t first, int64_t last,
                                     absl::Span<const v1::Cell> cells) {
  std::vector<int64_t> steps = LogSpacedSteps(file.evaluations_per_decade, first, last);
  for (const v1::Cell& cell : cells) steps.push_back(cell.step());
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  return steps;
}

v1::RunIdentity IdentityOf(const SweepFile& file, const data::Manifest& manifest,
                           const BuiltSize& size, int64_t seed) {
  run::Identity identity = file.recipe;
  identity.shape = size.shape;
  identity.dataset = manifest.name;
  identity.dataset_hash = manifest.hash;
  identity.tokenizer_hash = manifest.tokenizer_hash;
  identity.batch_tokens = file.batch_tokens;
  identity.schedule = run::Schedule::kConstant;
  identity.learning_rate = size.choice->learning_rate;
  identity.seed = seed;
  identity.objective = file.objective;
  identity.objective_seed = file.objective_seed;
  if (file.trainer) {
    identity.trainer = file.trainer->trainer;
    identity.trainer.size =
        SizeJson(*size.choice, size.shape, size.counts.total(),
                 models::CountN(size.counts, models::ParamPolicy::kNonEmbedding),
                 size.flops_per_token_exact);
  }
  return ToProto(identity);
}

// A run of `identity` to `last`, evaluated after `first`.
v1::Run RunOf(const SweepFile& file, const BuiltSize& size, const v1::RunIdentity& identity,
              int64_t first, int64_t last, absl::Span<const v1::Cell> cells) {
  v1::Run run;
  v1::RunSpec& spec = *run.mutable_spec();
  *spec.mutable_identity() = identity;
  spec.set_steps(last);
  for (const int64_t step : EvaluationSteps(file, first, last, cells)) {
    spec.add_evaluation_steps(step);
  }
  spec.set_log_every(file.log_every);
  spec.set_checkpoint_every_s(file.checkpoint_every_s);
  spec.set_evaluation_windows(file.evaluation_windows);
  spec.set_ranks(size.choice->ranks);
  const int64_t sequences = file.batch_tokens / file.context;
  // A command divides its batch as it likes.
  if (!file.trainer) {
    spec.set_micro_batch(models::MicroBatchFor(
        size.shape, (sequences + size.choice->ranks - 1) / size.choice->ranks,
        file.device == run::DeviceKind::kCuda ? kCudaActivationBytes : kCpuActivationBytes,
        file.recipe.precision));
  }
  spec.set_device(run::NameOf(file.device));
  spec.set_deterministic(file.deterministic);
  spec.set_step_backend("auto");

  if (!identity.tokenizer_key().empty()) {
    v1::RunInput& input = *spec.add_inputs();
    input.set_kind(run::NameOf(run::InputKind::kTokenizer));
    input.set_run_key(identity.tokenizer_key());
  }

  run.set_key(RunKey(spec.identity()));
  run.set_size(size.choice->label);
  run.mutable_params()->set_blocks(size.counts.blocks);
  run.mutable_params()->set_token_embedding(size.counts.token_embedding);
  run.mutable_params()->set_position_embedding(size.counts.position_embedding);
  run.mutable_params()->set_head(size.counts.head);
  run.mutable_params()->set_extra(size.counts.extra);
  run.set_n_params(size.params);
  run.set_flops_per_token_6n(size.flops_per_token_6n);
  run.set_flops_per_token_exact(size.flops_per_token_exact);
  run.set_state(v1::PENDING);
  return run;
}

// A run with those of its cells.
struct RunCells {
  v1::Run run;
  absl::Span<const v1::Cell> cells;
};

// The constant run that the branches of `cells` leave, at one checkpoint each.
v1::Run TrunkOf(const SweepFile& file, const BuiltSize& size, const v1::RunIdentity& constant,
                absl::Span<const v1::Cell> cells) {
  std::vector<int64_t> leaves;
  for (const v1::Cell& cell : cells) {
    const int64_t step = *DecayBegin(file.schedule, file.recipe.warmup_steps, cell.step());
    if (leaves.empty() || leaves.back() < step) leaves.push_back(step);
  }
  v1::Run trunk = RunOf(file, size, constant, file.recipe.warmup_steps, leaves.back(), {});
  trunk.mutable_spec()->mutable_checkpoint_steps()->Add(leaves.begin(), leaves.end());
  return trunk;
}

// The runs of one size and seed.
std::vector<RunCells> RunsOf(const SweepFile& file, const BuiltSize& size,
                             const v1::RunIdentity& constant, absl::Span<const v1::Cell> cells) {
  std::vector<RunCells> runs;
  const int64_t warmup = file.recipe.warmup_steps;
  if (file.schedule.kind == run::Schedule::kConstant) {
    runs.push_back({RunOf(file, size, constant, warmup, cells.back().step(), cells), cells});
    return runs;
  }
  const bool has_trunk = file.schedule.kind == run::Schedule::kWsd &&
                         (!file.trainer || run::CanDo(file.trainer->trainer, "branch"));
  if (has_trunk) runs.push_back({TrunkOf(file, size, constant, cells), {}});
  for (size_t i = 0; i < cells.size(); ++i) {
    const absl::Span<const v1::Cell> cell = cells.subspan(i, 1);
    v1::RunIdentity identity = constant;
    identity.set_schedule(run::NameOf(file.schedule.kind));
    identity.set_decay_begin(*DecayBegin(file.schedule, warmup, cell[0].step()));
    identity.set_decay_end(cell[0].step());
    identity.set_final_rate_fraction(file.schedule.final_rate_fraction);
    v1::Run run = RunOf(file, size, identity, identity.decay_begin(), identity.decay_end(), cell);
    if (has_trunk) {
      v1::RunInput& input = *run.mutable_spec()->add_inputs();
      input.set_kind(run::NameOf(run::InputKind::kTrunk));
      input.set_run_key(runs.front().run.key());
      input.set_step(identity.decay_begin());
    }
    runs.push_back({std::move(run), cell});
  }
  return runs;
}

// What the manifest must be for the arithmetic to hold.
void CheckManifest(const SweepFile& file, const data::Manifest& manifest, Mistakes& mistakes) {
  const bool both_generated = data::IsGenerated(manifest.name) && data::IsGenerated(file.dataset);
  // Two texts of a generator may mean the same; the manifest's is the one that counts.
  if (manifest.name != file.dataset && !both_generated) {
    mistakes.Add(file.dataset_line,
                 absl::StrFormat("dataset %s, but the manifest that came with the file is of %s",
                                 file.dataset, manifest.name));
  }
  constexpr int64_t kMostVocabulary = 1 << 24;
  if (manifest.kind == data::DatasetKind::kExternal) return;
  if (manifest.vocabulary < 1 || manifest.vocabulary > kMostVocabulary) {
    mistakes.Add(file.dataset_line,
                 absl::StrFormat("dataset %s has a vocabulary of %d: allowed is 1 to %d",
                                 manifest.name, manifest.vocabulary, kMostVocabulary));
  }
  if (data::HasImagesAlone(manifest) && !file.tokenizer) {
    mistakes.Add(file.dataset_line,
                 absl::StrFormat("dataset %s: its members' own tokens differ, so only their images "
                                 "are common: give a section tokenizer",
                                 manifest.name));
  }
  if (manifest.unique_tokens < 1 && manifest.has_files()) {
    mistakes.Add(file.dataset_line,
                 absl::StrFormat("dataset %s has no token to train on", manifest.name));
  }
}

// Behind the runs that they evaluate: those with cells.
void AddEvaluations(const SweepFile& file, Expansion& expansion) {
  for (size_t i = 0, trained = expansion.runs.size(); i < trained; ++i) {
    if (!expansion.runs[i].spec().keep_checkpoints()) continue;
    expansion.runs.push_back(EvaluateRun(file, expansion.runs[i]));
    expansion.runs.back().set_run_id(static_cast<int64_t>(expansion.runs.size()));
  }
}

}  // namespace

absl::StatusOr<Expansion> Expand(const SweepFile& asked, const data::Manifest& source) {
  if (asked.ladder) return ExpandLadder(asked, source, {});
  Mistakes mistakes(asked.file_name);
  CheckManifest(asked, source, mistakes);
  SweepFile file = asked;
  std::optional<v1::Run> tokenizer;
  if (asked.tokenizer) {
    tokenizer = TokenizerRun(asked, source, mistakes);
    ALLO_RETURN_IF_ERROR(mistakes.ToStatus());
  }
  const data::Manifest manifest = tokenizer.has_value() ? ReadByGrid(file, source) : source;
  const models::Shape like = ResolveWindow(manifest, file, mistakes);
  CheckEvaluate(like.context, manifest, file, mistakes);
  if (file.imagine && mistakes.empty()) CheckImagine(manifest, file, mistakes);
  ALLO_RETURN_IF_ERROR(mistakes.ToStatus());

  Expansion expansion;
  v1::Sweep& sweep = expansion.sweep;
  expansion.schedule = file.schedule;
  sweep.set_name(file.name);
  sweep.set_dataset(manifest.name);
  sweep.set_params_policy(std::string(models::ParamPolicyName(file.params_policy)));
  sweep.set_flops_convention(run::NameOf(file.flops_convention));
  sweep.set_max_epochs(file.max_epochs);
  sweep.set_priority(file.priority);
  sweep.set_max_device_hours(file.max_device_hours);
  sweep.set_max_run_hours(file.max_run_hours);

  if (tokenizer.has_value()) {
    tokenizer->set_run_id(1);
    expansion.runs.push_back(*tokenizer);
  }
  const std::vector<BuiltSize> sizes = BuildSizes(file, like, mistakes);
  std::vector<v1::Run> models_of_policies;
  for (const BuiltSize& size : sizes) {
    const auto cells = CellsOf(file, size, manifest, sweep, mistakes);
    if (cells.empty()) continue;
    for (const int64_t seed : file.seeds) {
      v1::RunIdentity constant = IdentityOf(file, manifest, size, seed);
      if (tokenizer.has_value()) constant.set_tokenizer_key(tokenizer->key());
      for (RunCells& made : RunsOf(file, size, constant, cells)) {
        if (file.keep_checkpoints > 0 && !made.cells.empty()) {
          KeepCheckpoints(file.keep_checkpoints, *made.run.mutable_spec());
        }
        expansion.runs.push_back(std::move(made.run));
        expansion.runs.back().set_run_id(static_cast<int64_t>(expansion.runs.size()));
        for (v1::Cell cell : made.cells) {
          cell.set_run_id(expansion.runs.back().run_id());
          cell.set_cell_id(static_cast<int64_t>(expansion.cells.size()) + 1);
          expansion.cells.push_back(std::move(cell));
        }
      }
      // The last run of a size and seed holds its largest cell.
      if (file.imagine) models_of_policies.push_back(expansion.runs.back());
    }
  }
  for (const v1::Run& model : models_of_policies) {
    for (v1::Run& policy : PolicyRuns(file, manifest, model)) {
      expansion.runs.push_back(std::move(policy));
      expansion.runs.back().set_run_id(static_cast<int64_t>(expansion.runs.size()));
    }
  }
  if (file.evaluate) AddEvaluations(file, expansion);
  if (expansion.cells.empty() && mistakes.empty()) {
    mistakes.Add(file.budgets.front().line,
                 absl::StrCat("no cell of the sweep can be trained: ", sweep.left_out(0)));
  }
  ALLO_RETURN_IF_ERROR(mistakes.ToStatus());
  sweep.set_runs(static_cast<int>(expansion.runs.size()));
  sweep.set_cells(static_cast<int>(expansion.cells.size()));
  return expansion;
}

}  // namespace allometry::sweep
