#include "coordinator/sweep/policy_runs.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "environments/environment.h"
#include "models/shape.h"
#include "models/vq_network.h"
#include "proto/run_conversion.h"
#include "run/choices.h"

namespace allometry::sweep {
namespace {

// Adam's usual averages; a policy's batches are noisier than a model's.
constexpr run::Optimizer kOptimizer = {
    .beta1 = 0.9, .beta2 = 0.999, .weight_decay = 0, .epsilon = 1e-5, .clip_norm = 1};
constexpr int kMicroBatch = 16;  // sequences of activations that memory is planned for

// Numbers of an observation that an agent sees (worker/trainer/agent_features.h).
double FeaturesOf(const SweepFile& file, const data::Manifest& manifest, int width) {
  const auto tokens = static_cast<double>(manifest.frames->tokens_per_observation);
  if (file.tokenizer) {
    models::Shape shape;
    shape.family = file.tokenizer->family;
    shape.width = file.tokenizer->width;
    return tokens * models::CodeWidth(shape);
  }
  int64_t view = 0, zo = 0;
  const bool strata =
      std::sscanf(manifest.tokenizer.c_str(), "strata-view%ld-zo%ld", &view, &zo) == 2;
  if (strata && zo > 0 && view * view / zo <= 4) return 8.0 * static_cast<double>(view * view);
  return tokens * width;
}

// An update's: every token of the roll-outs through the model, and actor and critic forward in the
// roll-out, and forward and backward in each pass over it.
double UpdateFlops(const SweepFile& file, const data::Manifest& manifest, const v1::Run& model,
                   const run::PolicyRecipe& recipe) {
  const auto rows = static_cast<double>(recipe.starts), steps = static_cast<double>(recipe.horizon);
  const auto w = static_cast<double>(recipe.width);
  const double features = FeaturesOf(file, manifest, model.spec().identity().shape().width());
  const auto actions = static_cast<double>(data::ActionVocabulary(manifest));
  const double agent = 2 * (features * w + w * w) + w * (actions + 1);
  const auto frames =
      static_cast<double>(recipe.teacher == run::Teacher::kCloning
                              ? recipe.starts * file.context / manifest.frames->tokens_per_frame()
                              : recipe.starts * recipe.horizon);
  if (recipe.teacher == run::Teacher::kRandom) return 1;
  if (recipe.teacher == run::Teacher::kCloning) return 6 * frames * agent;
  double flops = frames * agent * (2 + 6 * static_cast<double>(recipe.passes));
  if (recipe.teacher == run::Teacher::kImagination) {
    const double active = static_cast<double>(model.params().blocks()) +
                          static_cast<double>(model.params().token_embedding());
    flops += 2 * active * rows * (static_cast<double>(recipe.burn) + steps) *
             static_cast<double>(manifest.frames->tokens_per_frame());
  }
  return flops;
}

v1::Run PolicyRun(const SweepFile& file, const data::Manifest& manifest, const v1::Run& model,
                  run::Teacher teacher, int64_t seed) {
  const ImagineChoice& choice = *file.imagine;
  const v1::RunSpec& trained = model.spec();
  const absl::StatusOr<run::Identity> of_model = ToIdentity(trained.identity());
  ALLO_CHECK(of_model.ok()) << of_model.status();
  run::Identity identity;
  identity.shape = of_model->shape;
  identity.dataset = of_model->dataset;
  identity.dataset_hash = of_model->dataset_hash;
  identity.tokenizer_hash = of_model->tokenizer_hash;
  identity.tokenizer_key = of_model->tokenizer_key;
  identity.objective = of_model->objective;
  identity.batch_tokens = choice.recipe.starts * identity.shape.context;
  identity.learning_rate = choice.learning_rate;
  identity.seed = seed;
  identity.optimizer = kOptimizer;
  identity.policy = choice.recipe;
  identity.policy.teacher = teacher;
  identity.policy.model_key = model.key();
  identity.policy.model_step = trained.steps();

  v1::Run run;
  v1::RunSpec& spec = *run.mutable_spec();
  *spec.mutable_identity() = ToProto(identity);
  spec.set_kind(run::NameOf(run::RunKind::kPolicy));
  const int64_t updates = choice.updates.at(teacher);
  spec.set_steps(updates);
  const int64_t evaluations = std::min(choice.evaluations, updates);
  for (int64_t i = 1; i <= evaluations; ++i) {
    spec.add_evaluation_steps(updates * i / evaluations);
  }
  spec.set_log_every(std::min(file.log_every, updates));
  spec.set_checkpoint_every_s(file.checkpoint_every_s);
  spec.set_evaluation_windows(file.evaluation_windows);
  spec.set_ranks(1);
  spec.set_micro_batch(static_cast<int>(std::min<int64_t>(kMicroBatch, choice.recipe.starts)));
  spec.set_device(run::NameOf(run::DeviceKind::kCpu));
  spec.set_step_backend("auto");
  v1::RunInput& input = *spec.add_inputs();
  input.set_kind(run::NameOf(run::InputKind::kModel));
  input.set_run_key(model.key());
  input.set_step(trained.steps());
  if (!identity.tokenizer_key.empty()) {
    v1::RunInput& tokenizer = *spec.add_inputs();
    tokenizer.set_kind(run::NameOf(run::InputKind::kTokenizer));
    tokenizer.set_run_key(identity.tokenizer_key);
  }

  run.set_key(RunKey(spec.identity()));
  run.set_size(absl::StrCat(model.size(), " ", run::NameOf(teacher)));
  run.set_stage(run::NameOf(run::Stage::kPolicy));
  *run.mutable_params() = model.params();
  run.set_n_params(model.n_params());
  const double flops = UpdateFlops(file, manifest, model, identity.policy) /
                       static_cast<double>(identity.batch_tokens);
  run.set_flops_per_token_6n(flops);
  run.set_flops_per_token_exact(flops);
  run.set_state(v1::PENDING);
  return run;
}

}  // namespace

std::string StrataOf(const data::Manifest& manifest) {
  if (absl::StartsWith(manifest.name, "strata:")) return manifest.name;
  for (const absl::string_view word : absl::StrSplit(manifest.generator, ' ')) {
    if (absl::StartsWith(word, "strata:")) return std::string(word);
  }
  return "";
}

void CheckImagine(const data::Manifest& manifest, SweepFile& file, Mistakes& mistakes) {
  ImagineChoice& choice = *file.imagine;
  const auto fail = [&](const std::string& text) {
    mistakes.Add(choice.line, absl::StrCat("imagine: ", text));
  };
  if (file.ladder || !file.stages.empty() || file.trainer) {
    return fail(absl::StrCat("it does not go with ", file.ladder ? "learning_rate: {ladder: ...}"
                                                     : !file.stages.empty()
                                                         ? file.stages.begin()->first
                                                         : "trainer"));
  }
  if (file.device != run::DeviceKind::kCpu) {
    return fail("policies are trained on CPUs: device cpu is allowed");
  }
  if (file.objective != "world") {
    return fail(
        absl::StrFormat("training.objective is %s: a policy needs models of objective world",
                        file.objective.empty() ? "dense" : file.objective));
  }
  const data::Frames& frames = *manifest.frames;
  if (frames.tokens_per_action != 1) {
    return fail(absl::StrFormat("dataset %s has %d action tokens a frame: allowed is 1",
                                manifest.name, frames.tokens_per_action));
  }
  const int64_t window = file.context / frames.tokens_per_frame();
  if (choice.recipe.burn + choice.recipe.horizon > window) {
    return fail(
        absl::StrFormat("burn %d and horizon %d are more than the %d frames of the models' window",
                        choice.recipe.burn, choice.recipe.horizon, window));
  }
  if (choice.recipe.environment.empty()) choice.recipe.environment = StrataOf(manifest);
  if (choice.recipe.environment.empty()) {
    fail(
        absl::StrFormat("environment is missing: dataset %s is not Strata, so it cannot be told "
                        "where its policies play, such as process:PROGRAM:GAME",
                        manifest.name));
  }
}

std::vector<v1::Run> PolicyRuns(const SweepFile& file, const data::Manifest& manifest,
                                const v1::Run& model) {
  std::vector<v1::Run> runs;
  std::vector<int64_t> seeds = file.imagine->seeds;
  if (seeds.empty()) seeds = {model.spec().identity().seed()};
  for (const run::Teacher teacher : file.imagine->teachers) {
    for (const int64_t seed : seeds) {
      runs.push_back(PolicyRun(file, manifest, model, teacher, seed));
    }
  }
  return runs;
}

}  // namespace allometry::sweep
