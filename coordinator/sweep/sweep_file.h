// A sweep file as a researcher writes it, read and checked (sweep_reader.h). Holds the line of each
// part that a later message may name. docs/sweep-file.md documents every key.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/stages/ladder/ladder.h"
#include "coordinator/sweep/schedule.h"
#include "models/shape.h"
#include "run/flops_convention.h"
#include "run/run_spec.h"

namespace allometry::sweep {

// What model.table says of a size that is not ours.
struct SizeRow {
  int64_t params_non_embedding = 0;
  bool has_params_non_embedding = false;
  double flops_per_token = 0;  // forward and backward; 0: not given
  run::JsonText args;          // an object
};

// One model size: a parameter count to come near to, an explicit shape, or a row of model.table,
// whose `params` are all of its model's.
struct SizeChoice {
  std::string label;   // as in the file: "40k"; of a shape its `label`, or "2x32" (layers x width)
  int64_t params = 0;  // asked N under the sweep's policy; 0: layers, heads and width are given
  int layers = 0;
  int heads = 0;
  int width = 0;
  double learning_rate = 0;  // peak; 0 where a ladder is to find it
  int ranks = 1;
  int line = 0;
  std::optional<SizeRow> row;
};

enum class BudgetKind { kTokens, kFlops, kTokensPerParam };

struct Budget {
  double value = 0;   // in the unit of the file's BudgetKind
  std::string label;  // as in the file: "3e10"
  int line = 0;
};

// What a sweep file asks of one stage (coordinator/stages/stage.h).
struct StageChoice {
  virtual ~StageChoice() = default;
  // Whether both ask for the same, wherever in the file and however written. `other` is of the same
  // stage.
  virtual bool SameAs(const StageChoice& other) const = 0;
};

// learning_rate: {ladder: ...}: rates that the sweep finds (coordinator/stages/ladder/ladder.h).
struct LadderChoice : stages::LadderRule, StageChoice {
  BudgetKind tune_kind = BudgetKind::kTokens;
  Budget tune;             // of a tuning run; 0 after a mistake
  int64_t tune_steps = 0;  // updates instead, when not 0
  int line = 0;

  bool SameAs(const StageChoice& other) const override;
};

// tokenizer: {...}: one of images, trained before the grid (tokenizer_file.h).
struct TokenizerChoice {
  std::string family = "vqvae";
  int grid = 0;         // side: grid^2 codes an image
  int codebook = 4096;  // codes
  int width = 64;
  int layers = 2;
  int heads = 1;
  int64_t steps = 0;
  int64_t batch_images = 128;  // an update
  double learning_rate = 0;
  int64_t seed = 1;
  int64_t warmup_steps = 100;
  int line = 0;
};

// evaluate: {...}: runs that measure the quality of kept checkpoints (evaluate_file.h).
struct EvaluateChoice {
  int64_t videos = 256;
  int64_t seed = 1;
  int64_t frames = 0;       // of a video; 0: those of the window
  int64_t episodes = 0;     // that models of objective action play; 0: none
  std::string environment;  // where; empty: the dataset's world
  int line = 0;
};

// imagine: {...}: policies in the trained models (imagine_file.h).
struct ImagineChoice {
  std::vector<run::Teacher> teachers = {run::Teacher::kImagination};
  std::map<run::Teacher, int64_t> updates;  // of each of `teachers`
  std::vector<int64_t> seeds = {1};         // empty: each policy has its model's
  double learning_rate = 5e-4;
  int64_t evaluations = 3;   // evenly spaced, the last after the last update
  run::PolicyRecipe recipe;  // but teacher and model
  int line = 0;
};

// trainer: {...}: a command in place of allo-trainer (trainer_section.h).
struct TrainerChoice {
  run::Trainer
      trainer;  // as every run has it, but for its size; files and working_dir as submitted
  std::vector<std::string> files;             // paths below working_dir
  std::string working_dir = ".";              // as written
  double measure_seconds = 0;                 // of allo plan; 0: it does not start the command
  std::vector<std::string> describe_command;  // prints a size as JSON; empty: the table says all
  double describe_seconds = 60;               // the most it takes for a size
  int line = 0;
  int files_line = 0;
  int describe_line = 0;
};

// run.json's defaults, but for a warm-up of 100 updates.
inline run::Identity DefaultRecipe() {
  run::Identity recipe;
  recipe.warmup_steps = 100;
  return recipe;
}

struct SweepFile {
  std::string file_name;  // for messages
  std::string name;
  std::string dataset;
  int dataset_line = 0;

  std::string family = "gpt";
  int context = 0;  // tokens a sequence; 0 where `frames` is given: then the dataset says it
  models::ShapeRule shape_rule;  // of sizes that are counts of parameters
  bool smooth_shapes = false;    // model.aspect: smooth
  int frames = 0;  // frames a window, of a dataset that has frames; 0: context is given
  int window_line = 0;
  int vocabulary = 0;  // ids of the model; 0: those of the dataset
  int vocabulary_line = 0;
  run::Positions positions = run::Positions::kAbsolute;
  int positions_line = 0;
  int model_line = 0;
  std::vector<SizeChoice> sizes;
  // trainer.describe_command is given: rows of model.table may leave params to it. They are 0 until
  // the section `submitted` has them.
  bool sizes_described = false;

  int64_t batch_tokens = 0;     // a multiple of context
  int64_t batch_sequences = 0;  // instead of it; 0: batch_tokens is given
  int batch_line = 0;
  std::string objective;  // a row of models/objective.h; empty: dense
  int64_t objective_seed = 0;
  int objective_line = 0;
  ScheduleChoice schedule;
  // The settings that all runs of the grid share: those whose row in run/fields.h says that a sweep
  // file sets them. The other members of the identity are not set.
  run::Identity recipe = DefaultRecipe();
  std::vector<int64_t> seeds = {1};
  std::optional<LadderChoice> ladder;        // then no size has a rate of its own
  std::optional<TokenizerChoice> tokenizer;  // then the grid reads its tokens
  std::optional<ImagineChoice> imagine;      // then policies follow the grid
  std::optional<TrainerChoice> trainer;      // then allo-trainer is not started
  std::optional<EvaluateChoice> evaluate;    // then keep_checkpoints is not 0

  BudgetKind budget_kind = BudgetKind::kFlops;
  std::vector<Budget> budgets;  // ascending
  // Of the stages that have a section of their own, under its key; each reads it.
  std::map<std::string, std::shared_ptr<const StageChoice>> stages;

  models::ParamPolicy params_policy = models::ParamPolicy::kPaper;
  run::FlopsConvention flops_convention = run::FlopsConvention::k6nd;
  double max_epochs = 4;
  bool allow_repeat = false;  // keep cells beyond max_epochs; fits still ask before they use them

  run::DeviceKind device = run::DeviceKind::kCpu;
  bool deterministic = false;
  int64_t evaluation_windows = 256;  // held-out windows of `context` tokens
  int evaluations_per_decade = 20;   // of steps
  int keep_checkpoints = 0;          // of each run of the grid, at evaluations, log-spaced
  int64_t log_every = 10;            // updates
  double checkpoint_every_s = 60;
  int priority = 0;  // larger goes first
  // Time x devices, in hours: of all runs together, of one run. 0: no limit.
  double max_device_hours = 0;
  double max_run_hours = 0;
};

// Names become folders, rows and arguments: letters, digits, and . _ - inside.
bool IsName(absl::string_view text);
inline constexpr char kAllowedNames[] =
    "allowed are 1 to 64 letters, digits, . _ and -, a letter or digit first";

}  // namespace allometry::sweep
