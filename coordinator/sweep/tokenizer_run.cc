#include "coordinator/sweep/tokenizer_run.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/evaluation_steps.h"
#include "data/tokenized_manifest.h"
#include "data/union_name.h"
#include "models/micro_batch.h"
#include "models/shape.h"
#include "proto/run_conversion.h"
#include "run/choices.h"

namespace allometry::sweep {
namespace {

constexpr double kFinalRateFraction = 0.1;
constexpr double kActivationBytes = 1.0 * (1 << 30);

models::Shape ShapeOf(const TokenizerChoice& choice, const data::Frames& frames) {
  models::Shape shape;
  shape.family = choice.family;
  shape.layers = choice.layers;
  shape.heads = choice.heads;
  shape.width = choice.width;
  shape.context = choice.grid * choice.grid;
  shape.vocabulary = choice.codebook;
  shape.image_height = static_cast<int>(frames.image_height);
  shape.image_width = static_cast<int>(frames.image_width);
  shape.image_channels = static_cast<int>(frames.image_channels);
  return shape;
}

v1::RunIdentity IdentityOf(const SweepFile& file, const data::Manifest& manifest,
                           const models::Shape& built) {
  const TokenizerChoice& choice = *file.tokenizer;
  run::Identity identity;
  identity.shape = built;
  identity.dataset = manifest.name;
  identity.dataset_hash = manifest.hash;
  if (manifest.kind == data::DatasetKind::kUnion) {
    const absl::StatusOr<data::UnionName> name = data::ParseUnionName(manifest.name);
    // Of all members, whichever are trained on: one tokenizer for all sweeps of them.
    identity.dataset = data::WholeUnion(*name);
    identity.dataset_hash = *data::UnionHash(identity.dataset, [&](const std::string& member) {
      const auto found =
          std::find_if(manifest.members.begin(), manifest.members.end(),
                       [&](const data::UnionMember& one) { return one.name == member; });
      return std::optional(found->hash);
    });
  }
  identity.batch_tokens = choice.batch_images * built.context;
  identity.schedule = run::Schedule::kCosine;
  identity.warmup_steps = choice.warmup_steps;
  identity.decay_begin = choice.warmup_steps;
  identity.decay_end = choice.steps;
  identity.final_rate_fraction = kFinalRateFraction;
  identity.learning_rate = choice.learning_rate;
  identity.seed = choice.seed;
  identity.optimizer = file.recipe.optimizer;
  identity.optimizer.weight_decay = 0;
  return ToProto(identity);
}

}  // namespace

std::optional<v1::Run> TokenizerRun(const SweepFile& file, const data::Manifest& manifest,
                                    Mistakes& mistakes) {
  const TokenizerChoice& choice = *file.tokenizer;
  const auto fail = [&](const std::string& text) {
    mistakes.Add(choice.line, absl::StrCat("tokenizer: ", text));
    return std::nullopt;
  };
  if (!manifest.frames.has_value() || manifest.frames->image_height == 0) {
    return fail(absl::StrFormat("dataset %s has no frames with images", manifest.name));
  }
  if (models::FindFamily(file.family)->encoder_channels > 0) {
    return fail(absl::StrFormat("family %s sees the images themselves", file.family));
  }
  if (file.device != run::DeviceKind::kCpu) {
    return fail("tokenizers are trained and used on CPUs: device cpu is allowed");
  }
  const models::Shape shape = ShapeOf(choice, *manifest.frames);
  if (const absl::Status valid = models::Validate(shape); !valid.ok()) {
    return fail(std::string(valid.message()));
  }
  v1::Run run;
  v1::RunSpec& spec = *run.mutable_spec();
  *spec.mutable_identity() = IdentityOf(file, manifest, shape);
  spec.set_kind(run::NameOf(run::RunKind::kTokenizer));
  spec.set_steps(choice.steps);
  for (const int64_t step :
       LogSpacedSteps(file.evaluations_per_decade, choice.warmup_steps, choice.steps)) {
    spec.add_evaluation_steps(step);
  }
  if (spec.evaluation_steps().empty() || *spec.evaluation_steps().rbegin() != choice.steps) {
    spec.add_evaluation_steps(choice.steps);
  }
  spec.set_log_every(file.log_every);
  spec.set_checkpoint_every_s(file.checkpoint_every_s);
  spec.set_evaluation_windows(file.evaluation_windows);
  spec.set_ranks(1);
  spec.set_micro_batch(models::MicroBatchFor(shape, choice.batch_images, kActivationBytes));
  spec.set_device(run::NameOf(file.device));
  spec.set_deterministic(file.deterministic);
  spec.set_step_backend("auto");

  const models::ParamCounts counts = models::CountParams(shape);
  run.set_key(RunKey(spec.identity()));
  run.set_size(kTokenizerSize);
  run.set_stage(run::NameOf(run::Stage::kTokenizer));
  run.mutable_params()->set_blocks(counts.blocks);
  run.mutable_params()->set_token_embedding(counts.token_embedding);
  run.set_n_params(models::CountN(counts, file.params_policy));
  run.set_flops_per_token_6n(models::FlopsPerToken6N(counts, file.params_policy));
  run.set_flops_per_token_exact(models::FlopsPerTokenExact(shape));
  run.set_state(v1::PENDING);
  return run;
}

data::Manifest ReadByGrid(const SweepFile& file, const data::Manifest& manifest) {
  const TokenizerChoice& choice = *file.tokenizer;
  return *data::TokenizedManifest(manifest,
                                  {.tokens_per_observation = int64_t{choice.grid} * choice.grid,
                                   .codes = choice.codebook,
                                   .tokenizer_hash = ""});
}

std::string TokenizerText(const v1::Run* tokenizer) {
  if (tokenizer == nullptr) return "none";
  const v1::RunIdentity& identity = tokenizer->spec().identity();
  const auto side = std::lround(std::sqrt(identity.shape().context()));
  return absl::StrFormat("%s, %d x %d codes of %d, %d steps (key %s)", identity.shape().family(),
                         side, side, identity.shape().vocabulary(), tokenizer->spec().steps(),
                         tokenizer->key());
}

}  // namespace allometry::sweep
