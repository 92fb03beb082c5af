// The settings of a run: one row each. Everything that must know all settings reads these tables:
// the reader and the writer of run.json (run_spec.cc), the checks of values, the run's key
// (run_key.cc), the wire format (proto/run_conversion.cc), the sections `training` and
// `training.optimizer` of a sweep file, the comparison of two submissions, and docs/run-json.md.
//
// To add a setting: a member of Identity or Optimizer with its default (run_spec.h), a row here
// with `key_since` kYounger, and the code that acts on it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>

#include "absl/types/span.h"
#include "run/run_spec.h"

namespace allometry::run {

// Whether run.json must have a field, and whether it is written where it has its default.
enum class Presence {
  kRequired,  // must be there
  kOptional,  // may be absent, is always written
  kIfSet,     // may be absent, is written only where it differs from its default: for younger
              // fields, so that what an older trainer wrote into its checkpoints compares equal
};

// Whether the setting shapes a run's numbers, hence is part of its key (run_key.h).
enum class KeySince {
  kNever,
  kFirst,    // always part of the key
  kYounger,  // part of the key where it differs from its default, so that older keys stay
};

// The section of a sweep file whose key of this name sets the value for all runs of the sweep.
enum class SetIn {
  kNowhere,  // what sets it depends on more than one key, on the dataset or on the run
  kTraining,
  kTrainingOptimizer,
  kImagine,
};

// What a number may be. A choice (run/choices.h) may be any row of its table.
struct Allowed {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;     // `low` itself is not allowed
  bool open_high = false;    // `high` itself is not allowed
  const char* text = "any";  // the same in words: "0 or more"

  bool Contains(double value) const {
    return std::isfinite(value) && (open_low ? value > low : value >= low) &&
           (open_high ? value < high : value <= high);
  }
};

constexpr Allowed kAnything{};
constexpr Allowed kPositive{.low = 1, .text = "1 or more"};
constexpr Allowed kNotNegative{.low = 0, .text = "0 or more"};
constexpr Allowed kPositiveOfOurs{.low = 0, .text = "1 or more; 0 of family external"};

template <class Owner, class T>
struct Field {
  const char* name;  // in run.json, in the proto message of the same name, and in a sweep file
  T Owner::*member;
  Presence presence;
  Allowed allowed;
  KeySince key_since;
  SetIn set_in;
  const char* meaning;
  const char* key_name = nullptr;  // in the key's text, where it is not `name`
};

// What is allowed, in words: "0 or more", "cpu, cuda".
template <class Owner, class T>
std::string AllowedText(const Field<Owner, T>& row) {
  if constexpr (IsChoice<T>) return NamesOf<T>();
  return row.allowed.text;
}

// Calls visit(row) for each row of a table, in order.
template <class Table, class Visit>
constexpr void ForEach(const Table& table, Visit visit) {
  std::apply([&](const auto&... row) { (visit(row), ...); }, table);
}

inline constexpr std::tuple kShapeFields = {
    Field<Shape, std::string>{"family", &Shape::family, Presence::kOptional, kAnything,
                              KeySince::kFirst, SetIn::kNowhere, "model family (models/shape.h)"},
    Field<Shape, int>{"layers", &Shape::layers, Presence::kRequired, kPositiveOfOurs,
                      KeySince::kFirst, SetIn::kNowhere, "transformer blocks"},
    Field<Shape, int>{"heads", &Shape::heads, Presence::kRequired, kPositiveOfOurs,
                      KeySince::kFirst, SetIn::kNowhere, "attention heads; divides width"},
    Field<Shape, int>{"width", &Shape::width, Presence::kRequired, kPositiveOfOurs,
                      KeySince::kFirst, SetIn::kNowhere, "d_model"},
    Field<Shape, int>{"context", &Shape::context, Presence::kRequired, kPositive, KeySince::kFirst,
                      SetIn::kNowhere, "tokens a sequence"},
    Field<Shape, int>{"vocabulary", &Shape::vocabulary, Presence::kRequired, kPositiveOfOurs,
                      KeySince::kFirst, SetIn::kNowhere, "token ids"},
    Field<Shape, int>{"image_height", &Shape::image_height, Presence::kIfSet, kAnything,
                      KeySince::kYounger, SetIn::kNowhere, "pixels; 0: the family sees no images"},
    Field<Shape, int>{"image_width", &Shape::image_width, Presence::kIfSet, kAnything,
                      KeySince::kYounger, SetIn::kNowhere, "pixels"},
    Field<Shape, int>{"image_channels", &Shape::image_channels, Presence::kIfSet, kAnything,
                      KeySince::kYounger, SetIn::kNowhere, "values a pixel"},
    Field<Shape, Positions>{"positions", &Shape::positions, Presence::kIfSet, kAnything,
                            KeySince::kYounger, SetIn::kNowhere,
                            "how the model is told where a token stands"},
    Field<Shape, int>{"frame_tokens",
                      &Shape::frame_tokens,
                      Presence::kIfSet,
                      {.low = 0, .text = "0 or more"},
                      KeySince::kYounger,
                      SetIn::kNowhere,
                      "tokens of a frame; 0 where positions are absolute"},
};

inline constexpr Allowed kMomentum{.low = 0, .high = 1, .open_high = true, .text = "[0, 1)"};
inline constexpr std::tuple kOptimizerFields = {
    Field<Optimizer, double>{"beta1", &Optimizer::beta1, Presence::kOptional, kMomentum,
                             KeySince::kFirst, SetIn::kTrainingOptimizer,
                             "decay of the mean of gradients"},
    Field<Optimizer, double>{"beta2", &Optimizer::beta2, Presence::kOptional, kMomentum,
                             KeySince::kFirst, SetIn::kTrainingOptimizer,
                             "decay of the mean of squared gradients"},
    Field<Optimizer, double>{"weight_decay",
                             &Optimizer::weight_decay,
                             Presence::kOptional,
                             {.low = 0, .high = 10, .text = "0 or more, at most 10"},
                             KeySince::kFirst,
                             SetIn::kTrainingOptimizer,
                             "decoupled, of matrices and embeddings"},
    Field<Optimizer, double>{
        "epsilon",
        &Optimizer::epsilon,
        Presence::kOptional,
        {.low = 0, .high = 1, .open_low = true, .text = "more than 0, at most 1"},
        KeySince::kFirst,
        SetIn::kTrainingOptimizer,
        "added to the root of the second moment"},
    Field<Optimizer, double>{"clip_norm",
                             &Optimizer::clip_norm,
                             Presence::kOptional,
                             {.low = 0, .high = 1e9, .text = "0 (no clipping) or more"},
                             KeySince::kFirst,
                             SetIn::kTrainingOptimizer,
                             "largest global gradient norm; 0: no clipping"},
    Field<Optimizer, UpdateRule>{"name", &Optimizer::name, Presence::kIfSet, kAnything,
                                 KeySince::kYounger, SetIn::kTrainingOptimizer,
                                 "update rule; AdamW is the only one", "optimizer"},
};

inline constexpr Allowed kAnArray{.text = "an array of strings"};
inline constexpr Allowed kAnObject{.text = "an object"};
inline constexpr std::tuple kTrainerFields = {
    Field<Trainer, JsonText>{"command", &Trainer::command, Presence::kIfSet, kAnArray,
                             KeySince::kYounger, SetIn::kNowhere,
                             "program and arguments, with placeholders; none: allo-trainer",
                             "trainer_command"},
    Field<Trainer, JsonText>{"environment", &Trainer::environment, Presence::kIfSet, kAnObject,
                             KeySince::kYounger, SetIn::kNowhere, "variables of the command",
                             "trainer_environment"},
    Field<Trainer, JsonText>{"args", &Trainer::args, Presence::kIfSet, kAnObject,
                             KeySince::kYounger, SetIn::kNowhere,
                             "what the sweep file has for the command, by name", "trainer_args"},
    Field<Trainer, JsonText>{"size", &Trainer::size, Presence::kIfSet, kAnObject,
                             KeySince::kYounger, SetIn::kNowhere,
                             "the row of the sweep file's `model.table`", "trainer_size"},
    Field<Trainer, JsonText>{
        "files", &Trainer::files, Presence::kIfSet, kAnObject, KeySince::kYounger, SetIn::kNowhere,
        "XXH3 of the command's files, by path below working_dir", "trainer_files"},
    Field<Trainer, JsonText>{
        "capabilities", &Trainer::capabilities, Presence::kIfSet, kAnArray, KeySince::kNever,
        SetIn::kNowhere, "what the command can do: resume, branch, evaluation_steps; none: all"},
    Field<Trainer, std::string>{"working_dir", &Trainer::working_dir, Presence::kIfSet, kAnything,
                                KeySince::kNever, SetIn::kNowhere,
                                "folder in which the command starts"},
};

inline constexpr std::tuple kEvaluationFields = {
    Field<Evaluation, int64_t>{"videos",
                               &Evaluation::videos,
                               Presence::kIfSet,
                               {.low = 0, .high = 1e6, .text = "0 (none) to 1000000"},
                               KeySince::kYounger,
                               SetIn::kNowhere,
                               "of kind evaluate: windows that are generated again",
                               "evaluation_videos"},
    Field<Evaluation, int64_t>{"seed", &Evaluation::seed, Presence::kIfSet, kAnything,
                               KeySince::kYounger, SetIn::kNowhere,
                               "of sampled tokens and feature networks", "evaluation_seed"},
    Field<Evaluation, int64_t>{
        "frames",
        &Evaluation::frames,
        Presence::kIfSet,
        {.low = 0, .high = 4096, .text = "0 (those of the model's window) to 4096"},
        KeySince::kYounger,
        SetIn::kNowhere,
        "of a video",
        "evaluation_frames"},
    Field<Evaluation, int64_t>{"episodes",
                               &Evaluation::episodes,
                               Presence::kIfSet,
                               {.low = 0, .high = 65536, .text = "0 (none) to 65536"},
                               KeySince::kYounger,
                               SetIn::kNowhere,
                               "that a model of objective action plays, in place of videos",
                               "evaluation_episodes"},
    Field<Evaluation, std::string>{"environment", &Evaluation::environment, Presence::kIfSet,
                                   kAnything, KeySince::kYounger, SetIn::kNowhere,
                                   "where it plays them", "evaluation_environment"},
};

inline constexpr Allowed kShareOpen{
    .low = 0, .high = 1, .open_low = true, .text = "more than 0, at most 1"};
inline constexpr Allowed kShareFromZero{.low = 0, .high = 1, .text = "0 to 1"};
constexpr Allowed UpTo(double most, const char* text) {
  return {.low = 1, .high = most, .text = text};
}
inline constexpr std::tuple kPolicyFields = {
    Field<PolicyRecipe, Teacher>{"teacher", &PolicyRecipe::teacher, Presence::kIfSet, kAnything,
                                 KeySince::kYounger, SetIn::kNowhere, "what the policy learns from",
                                 "policy_teacher"},
    Field<PolicyRecipe, std::string>{"model_key", &PolicyRecipe::model_key, Presence::kIfSet,
                                     kAnything, KeySince::kYounger, SetIn::kNowhere,
                                     "key of the run that trains the world model", "policy_model"},
    Field<PolicyRecipe, int64_t>{"model_step", &PolicyRecipe::model_step, Presence::kIfSet,
                                 kNotNegative, KeySince::kYounger, SetIn::kNowhere,
                                 "update of its checkpoint", "policy_model_step"},
    Field<PolicyRecipe, std::string>{"environment", &PolicyRecipe::environment, Presence::kIfSet,
                                     kAnything, KeySince::kYounger, SetIn::kImagine,
                                     "where the policy is evaluated: strata:..., process:PROGRAM",
                                     "policy_environment"},
    Field<PolicyRecipe, int64_t>{"starts", &PolicyRecipe::starts, Presence::kIfSet,
                                 UpTo(65536, "1 to 65536"), KeySince::kYounger, SetIn::kImagine,
                                 "rows of an update's roll-outs", "policy_starts"},
    Field<PolicyRecipe, int64_t>{"horizon", &PolicyRecipe::horizon, Presence::kIfSet,
                                 UpTo(4096, "1 to 4096"), KeySince::kYounger, SetIn::kImagine,
                                 "steps of a roll-out", "policy_horizon"},
    Field<PolicyRecipe, int64_t>{"burn", &PolicyRecipe::burn, Presence::kIfSet,
                                 UpTo(4096, "1 to 4096"), KeySince::kYounger, SetIn::kImagine,
                                 "real frames before the first action", "policy_burn"},
    Field<PolicyRecipe, double>{"discount", &PolicyRecipe::discount, Presence::kIfSet, kShareOpen,
                                KeySince::kYounger, SetIn::kImagine, "gamma of the returns",
                                "policy_discount"},
    Field<PolicyRecipe, double>{"lambda", &PolicyRecipe::lambda, Presence::kIfSet, kShareFromZero,
                                KeySince::kYounger, SetIn::kImagine, "lambda of the returns",
                                "policy_lambda"},
    Field<PolicyRecipe, double>{"entropy", &PolicyRecipe::entropy, Presence::kIfSet, kNotNegative,
                                KeySince::kYounger, SetIn::kImagine,
                                "weight of the policy's entropy in the loss", "policy_entropy"},
    Field<PolicyRecipe, double>{"clip", &PolicyRecipe::clip, Presence::kIfSet, kShareOpen,
                                KeySince::kYounger, SetIn::kImagine,
                                "of the ratio of new and old probabilities", "policy_clip"},
    Field<PolicyRecipe, int64_t>{"passes", &PolicyRecipe::passes, Presence::kIfSet,
                                 UpTo(100, "1 to 100"), KeySince::kYounger, SetIn::kImagine,
                                 "over the same roll-outs", "policy_passes"},
    Field<PolicyRecipe, int64_t>{"width", &PolicyRecipe::width, Presence::kIfSet,
                                 UpTo(65536, "1 to 65536"), KeySince::kYounger, SetIn::kImagine,
                                 "of actor and critic", "policy_width"},
    Field<PolicyRecipe, int64_t>{"episodes", &PolicyRecipe::episodes, Presence::kIfSet,
                                 UpTo(65536, "1 to 65536"), KeySince::kYounger, SetIn::kImagine,
                                 "of an evaluation", "policy_episodes"},
    Field<PolicyRecipe, bool>{"gate", &PolicyRecipe::gate, Presence::kIfSet, kAnything,
                              KeySince::kYounger, SetIn::kImagine,
                              "no policy in a model that foresees no rewards", "policy_gate"},
};

inline constexpr std::tuple kIdentityFields = {
    Field<Identity, Shape>{"shape", &Identity::shape, Presence::kRequired, kAnything,
                           KeySince::kFirst, SetIn::kNowhere, "the model"},
    Field<Identity, std::string>{"dataset", &Identity::dataset, Presence::kRequired, kAnything,
                                 KeySince::kNever, SetIn::kNowhere, "folder of the data directory"},
    Field<Identity, std::string>{"dataset_hash", &Identity::dataset_hash, Presence::kOptional,
                                 kAnything, KeySince::kFirst, SetIn::kNowhere,
                                 "XXH3 of its dataset.json; empty: not checked", "dataset"},
    Field<Identity, std::string>{"tokenizer_hash", &Identity::tokenizer_hash, Presence::kOptional,
                                 kAnything, KeySince::kFirst, SetIn::kNowhere,
                                 "XXH3 of its tokenizer", "tokenizer"},
    Field<Identity, int64_t>{"batch_tokens", &Identity::batch_tokens, Presence::kRequired,
                             kAnything, KeySince::kFirst, SetIn::kNowhere,
                             "tokens an update over all ranks; a multiple of context"},
    Field<Identity, Schedule>{"schedule", &Identity::schedule, Presence::kOptional, kAnything,
                              KeySince::kFirst, SetIn::kNowhere, "of the learning rate"},
    Field<Identity, int64_t>{"warmup_steps",
                             &Identity::warmup_steps,
                             Presence::kOptional,
                             {.low = 0, .high = 1e9, .text = "0 or more"},
                             KeySince::kFirst,
                             SetIn::kTraining,
                             "updates until the learning rate is at its peak, linearly from 0"},
    Field<Identity, double>{"learning_rate",
                            &Identity::learning_rate,
                            Presence::kRequired,
                            {.low = 0, .open_low = true, .text = "more than 0"},
                            KeySince::kFirst,
                            SetIn::kNowhere,
                            "peak"},
    Field<Identity, int64_t>{"seed", &Identity::seed, Presence::kOptional, kAnything,
                             KeySince::kFirst, SetIn::kNowhere,
                             "of weights and of the order of data"},
    Field<Identity, Optimizer>{"optimizer", &Identity::optimizer, Presence::kOptional, kAnything,
                               KeySince::kFirst, SetIn::kNowhere, "the update rule"},
    Field<Identity, std::string>{
        "objective", &Identity::objective, Presence::kIfSet, kAnything, KeySince::kYounger,
        SetIn::kNowhere, "what counts as loss (models/objective.h); empty: every next token"},
    Field<Identity, int64_t>{"objective_seed", &Identity::objective_seed, Presence::kIfSet,
                             kAnything, KeySince::kYounger, SetIn::kNowhere,
                             "of a random map that the objective needs"},
    Field<Identity, int64_t>{"decay_begin", &Identity::decay_begin, Presence::kIfSet, kAnything,
                             KeySince::kYounger, SetIn::kNowhere,
                             "the last update at the peak rate"},
    Field<Identity, int64_t>{"decay_end", &Identity::decay_end, Presence::kIfSet, kAnything,
                             KeySince::kYounger, SetIn::kNowhere, "the last update"},
    Field<Identity, double>{"final_rate_fraction", &Identity::final_rate_fraction, Presence::kIfSet,
                            kAnything, KeySince::kYounger, SetIn::kNowhere,
                            "learning rate at decay_end, of the peak"},
    Field<Identity, std::string>{"tokenizer_key", &Identity::tokenizer_key, Presence::kIfSet,
                                 kAnything, KeySince::kYounger, SetIn::kNowhere,
                                 "key of the run whose tokens are trained on"},
    Field<Identity, Precision>{"precision", &Identity::precision, Presence::kIfSet, kAnything,
                               KeySince::kYounger, SetIn::kTraining,
                               "of matrix products; weights and sums are fp32"},
    Field<Identity, Trainer>{"trainer", &Identity::trainer, Presence::kIfSet, kAnything,
                             KeySince::kYounger, SetIn::kNowhere,
                             "the command that trains in place of allo-trainer"},
    Field<Identity, Evaluation>{"evaluation", &Identity::evaluation, Presence::kIfSet, kAnything,
                                KeySince::kYounger, SetIn::kNowhere,
                                "what is measured of each checkpoint"},
    Field<Identity, PolicyRecipe>{"policy", &Identity::policy, Presence::kIfSet, kAnything,
                                  KeySince::kYounger, SetIn::kNowhere, "of runs of kind policy"},
};

// Of an attempt. The fields `start` and `inputs` are objects of their own (run_spec.cc).
inline constexpr std::tuple kRunSpecFields = {
    Field<RunSpec, int>{"attempt", &RunSpec::attempt, Presence::kOptional, kPositive,
                        KeySince::kNever, SetIn::kNowhere,
                        "its number; rises on every start of the run"},
    Field<RunSpec, Identity>{"identity", &RunSpec::identity, Presence::kRequired, kAnything,
                             KeySince::kNever, SetIn::kNowhere,
                             "all that shapes the run's numbers"},
    Field<RunSpec, int64_t>{"steps", &RunSpec::steps, Presence::kRequired, kPositive,
                            KeySince::kNever, SetIn::kNowhere, "updates to train to"},
    Field<RunSpec, std::vector<int64_t>>{
        "evaluation_steps", &RunSpec::evaluation_steps, Presence::kOptional, kAnything,
        KeySince::kNever, SetIn::kNowhere,
        "ascending; the held-out loss is taken after these updates"},
    Field<RunSpec, std::vector<int64_t>>{"checkpoint_steps", &RunSpec::checkpoint_steps,
                                         Presence::kOptional, kAnything, KeySince::kNever,
                                         SetIn::kNowhere,
                                         "ascending; a checkpoint is written after these updates"},
    Field<RunSpec, int64_t>{"log_every", &RunSpec::log_every, Presence::kOptional, kPositive,
                            KeySince::kNever, SetIn::kNowhere,
                            "updates between points of the training loss"},
    Field<RunSpec, double>{"checkpoint_every_s",
                           &RunSpec::checkpoint_every_s,
                           Presence::kOptional,
                           {.low = 0, .open_low = true, .text = "more than 0"},
                           KeySince::kNever,
                           SetIn::kNowhere,
                           "seconds between checkpoints"},
    Field<RunSpec, int64_t>{"evaluation_windows", &RunSpec::evaluation_windows, Presence::kOptional,
                            kPositive, KeySince::kNever, SetIn::kNowhere,
                            "held-out windows of `context` tokens"},
    Field<RunSpec, int>{"ranks", &RunSpec::ranks, Presence::kOptional, kPositive, KeySince::kNever,
                        SetIn::kNowhere, "devices of the attempt"},
    Field<RunSpec, int>{"micro_batch",
                        &RunSpec::micro_batch,
                        Presence::kOptional,
                        {.low = 0, .text = "0 (all) or more"},
                        KeySince::kNever,
                        SetIn::kNowhere,
                        "sequences a rank computes at once; 0: all of its share"},
    Field<RunSpec, DeviceKind>{"device", &RunSpec::device, Presence::kOptional, kAnything,
                               KeySince::kNever, SetIn::kNowhere, "kind of device"},
    Field<RunSpec, bool>{"deterministic", &RunSpec::deterministic, Presence::kOptional, kAnything,
                         KeySince::kNever, SetIn::kNowhere, "bit-identical repetition on GPUs too"},
    Field<RunSpec, std::string>{"step_backend", &RunSpec::step_backend, Presence::kOptional,
                                kAnything, KeySince::kNever, SetIn::kNowhere,
                                "auto, or a row of the training-step table"},
    Field<RunSpec, RunKind>{"kind", &RunSpec::kind, Presence::kOptional, kAnything,
                            KeySince::kNever, SetIn::kNowhere, "what the run makes"},
    Field<RunSpec, bool>{"keep_checkpoints", &RunSpec::keep_checkpoints, Presence::kIfSet,
                         kAnything, KeySince::kNever, SetIn::kNowhere,
                         "those at checkpoint_steps are for evaluations"},
};

// The tables of nested settings, by the type of the member.
constexpr const auto& FieldsOf(const Shape*) { return kShapeFields; }
constexpr const auto& FieldsOf(const Optimizer*) { return kOptimizerFields; }
constexpr const auto& FieldsOf(const Trainer*) { return kTrainerFields; }
constexpr const auto& FieldsOf(const Evaluation*) { return kEvaluationFields; }
constexpr const auto& FieldsOf(const PolicyRecipe*) { return kPolicyFields; }
constexpr const auto& FieldsOf(const Identity*) { return kIdentityFields; }
constexpr const auto& FieldsOf(const RunSpec*) { return kRunSpecFields; }
template <class T>
concept HasFields = requires(const T* owner) {
  FieldsOf(owner);
};

// The rows as a Markdown table: name, default, allowed, meaning. Stands in docs/run-json.md.
std::string FieldsAsMarkdown();
// The same, with `start` and `inputs`, as a JSON schema (2020-12) for whoever reads run.json:
// fields that it does not know are a newer version's, and allowed.
std::string RunJsonSchema();

}  // namespace allometry::run
