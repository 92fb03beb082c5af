// run.json: what an attempt must do, written by the agent (or by hand), read by the trainer.
//
// Layout of a run root. Messages carry paths relative to it; no other file in it is ours:
//
//   ROOT/root_id                     32 hex digits, written at first use
//   ROOT/run-7/run.json              this file; rewritten for every attempt
//   ROOT/run-7/attempt-2/spool       see spool.h; only rank 0 writes here
//   ROOT/run-7/attempt-2/log         standard output and error of all ranks
//   ROOT/run-7/attempt-2/checkpoint-000000001200.safetensors
//
// The JSON has the field names below, nested as here; fields.h has a row for each, with what is
// allowed. Unknown fields are refused by name, so that a misspelt one cannot be ignored. The proto
// message allometry.v1.RunSpec carries the same fields between coordinator and agent
// (proto/run_conversion.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "run/choices.h"

namespace allometry::run {

// The family of models that a command of the sweep file trains: their layers, heads, width and
// vocabulary are not known here, and 0.
inline constexpr char kExternalFamily[] = "external";

struct Shape {
  std::string family = "gpt";
  int layers = 0;
  int heads = 0;
  int width = 0;    // d_model
  int context = 0;  // tokens a sequence
  int vocabulary = 0;
  int image_height = 0;  // of families that see pixels; otherwise 0
  int image_width = 0;
  int image_channels = 0;
  Positions positions = Positions::kAbsolute;
  int frame_tokens = 0;  // tokens of a frame, where positions are not absolute; otherwise 0

  friend bool operator==(const Shape&, const Shape&) = default;
};

struct Optimizer {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double weight_decay = 0.1;
  double epsilon = 1e-8;
  double clip_norm = 1.0;  // 0: no clipping
  UpdateRule name = UpdateRule::kAdamW;
};

// A JSON value as its text, without spaces and with sorted keys; empty: none.
struct JsonText {
  std::string text;

  bool empty() const { return text.empty(); }
  friend bool operator==(const JsonText&, const JsonText&) = default;
};

// The command that trains in place of allo-trainer (docs/trainer.md). Its texts have placeholders
// (run/placeholders.h), which the agent replaces.
struct Trainer {
  JsonText command;  // ["torchrun", "--nproc-per-node={devices}", "train.py"]; empty: allo-trainer
  JsonText environment;   // {"NAME": "value"}
  JsonText args;          // what the sweep file has for the command: an object
  JsonText size;          // of models that are not ours: label, params, flops_per_token, args, ...
  JsonText files;         // {"train.py": hash}: HashFileHex of each file of the command
  JsonText capabilities;  // what the command can do, where that is not everything
  std::string working_dir;  // absolute, and the same on all workers

  friend bool operator==(const Trainer&, const Trainer&) = default;
};

// What a run of kind evaluate measures of each checkpoint (worker/trainer/evaluation.h).
struct Evaluation {
  int64_t videos = 0;       // windows of the held-out split that are generated again
  int64_t seed = 0;         // of the sampled tokens, actions and of the feature networks
  int64_t frames = 0;       // of a video; 0: those of the model's window
  int64_t episodes = 0;     // that a model of objective `action` plays; 0: it generates videos
  std::string environment;  // where (environments/environment.h)

  friend bool operator==(const Evaluation&, const Evaluation&) = default;
};

// How a policy is trained and evaluated (worker/trainer/policy_training.h); the world model is
// identity.shape.
struct PolicyRecipe {
  Teacher teacher = Teacher::kImagination;
  std::string model_key;    // of the run whose checkpoint is the world model; empty: no policy
  int64_t model_step = 0;   // of that checkpoint
  std::string environment;  // where it is evaluated (environments/environment.h)
  int64_t starts = 128;     // rows of an update's roll-outs
  int64_t horizon = 6;      // steps of a roll-out
  int64_t burn = 2;         // real frames that a model has seen when the agent acts first
  double discount = 0.97;   // gamma
  double lambda = 0.95;
  double entropy = 0.03;   // weight of the policy's entropy
  double clip = 0.2;       // of the surrogate
  int64_t passes = 2;      // over the same roll-outs
  int64_t width = 256;     // of the networks
  int64_t episodes = 128;  // of an evaluation
  bool gate = true;        // no policy in a model that foresees no rewards

  friend bool operator==(const PolicyRecipe&, const PolicyRecipe&) = default;
};

struct Identity {
  Shape shape;
  std::string dataset;       // the folder DATA_DIR/<dataset>
  std::string dataset_hash;  // HashHex of its dataset.json; empty by hand: not checked
  std::string tokenizer_hash;
  int64_t batch_tokens = 0;  // tokens an update over all ranks; a multiple of context
  Schedule schedule = Schedule::kConstant;  // see LearningRateAt
  int64_t warmup_steps = 0;  // learning rate at update s (from 1): peak * min(1, s / warmup_steps)
  double learning_rate = 0;
  int64_t seed = 0;
  Optimizer optimizer;
  std::string objective;       // what counts as loss; empty: every next token
  int64_t objective_seed = 0;  // of a random map that the objective needs; otherwise 0
  int64_t decay_begin = 0;     // a schedule that ends is constant up to this update
  int64_t decay_end = 0;       // and at final_rate_fraction * peak at this one, its last
  double final_rate_fraction = 0;
  std::string tokenizer_key;  // of the tokenizer run whose tokens are trained on; empty: none
  Precision precision = Precision::kFp32;  // of matrix products
  Trainer trainer;
  Evaluation evaluation;
  PolicyRecipe policy;
};

// A checkpoint to start from: of this run, or of the trunk that this run branches off.
struct StartCheckpoint {
  int attempt = 0;
  int64_t step = 0;
  std::string file;    // relative to the run directory (of run_id)
  std::string hash;    // HashFileHex; a mismatch ends the attempt as CHECKPOINT
  int64_t run_id = 0;  // 0: this run; otherwise the directory is RUN_DIR/../run-<run_id>
};

// Something that another run made.
struct RunInput {
  InputKind kind = InputKind::kTokenizer;
  std::string run_key;  // of the run that made it
  int64_t run_id = 0;   // its directory is RUN_DIR/../run-<run_id>
  std::string file;     // relative to that directory
  std::string hash;     // HashFileHex
  int64_t step = 0;     // of a checkpoint that is read as a model
};

struct RunSpec {
  int attempt = 1;
  Identity identity;
  int64_t steps = 0;
  std::vector<int64_t> evaluation_steps;  // ascending, each in 1..steps
  int64_t log_every = 10;
  double checkpoint_every_s = 60;
  int64_t evaluation_windows = 256;  // held-out windows of `context` tokens
  int ranks = 1;
  int micro_batch = 0;  // sequences a rank computes at once; 0: all of its share
  DeviceKind device = DeviceKind::kCpu;
  bool deterministic = false;
  std::string step_backend = "auto";
  std::optional<StartCheckpoint> start;
  // Ascending, each in 1..steps: a checkpoint is written after these updates, whatever the time.
  std::vector<int64_t> checkpoint_steps;
  RunKind kind = RunKind::kTrain;
  bool keep_checkpoints = false;  // those at checkpoint_steps are for evaluations
  std::vector<RunInput> inputs;
};

// If no step computes in `precision` on `device`: what is allowed instead. Otherwise empty.
std::string PrecisionProblem(Precision precision, DeviceKind device);

// InvalidArgument names the field, its value and what was allowed.
absl::StatusOr<RunSpec> ParseRunSpec(absl::string_view json);
std::string RunSpecJson(const RunSpec& spec);
// The identity alone, on one line, as a checkpoint stores it. Equal identities give equal bytes.
std::string IdentityJson(const Identity& identity);
// And back; InvalidArgument as ParseRunSpec, for the fields' names and types alone.
absl::StatusOr<Identity> ParseIdentityJson(absl::string_view json);

// RUN_DIR/run.json.
absl::StatusOr<RunSpec> ReadRunSpec(const std::string& run_dir);
absl::Status WriteRunSpec(const std::string& run_dir, const RunSpec& spec);

// "RUN_DIR/attempt-K" and, relative to RUN_DIR, "attempt-K/checkpoint-000000001200.safetensors".
std::string AttemptDir(const std::string& run_dir, int attempt);
std::string CheckpointFile(int attempt, int64_t step);
// Whether `file` names a checkpoint so: "attempt-K/checkpoint-STEP", with any ending.
bool IsCheckpointFile(absl::string_view file);

}  // namespace allometry::run
