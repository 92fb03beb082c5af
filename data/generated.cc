#include "data/generated.h"

#include "absl/strings/str_format.h"
#include "data/strata/episode.h"
#include "data/strata/tokens.h"

namespace allometry::data {

Manifest StrataManifest(const strata::Spec& spec) {
  const strata::Tokenizer tokenizer = *strata::Tokenizer::Create(spec.view, spec.zo);
  Manifest manifest;
  manifest.licence = "none: generated";
  manifest.source = "Strata, the built-in world";
  const int64_t observations = tokenizer.vocabulary();
  manifest.vocabulary = observations + strata::kActions;
  manifest.segments = {
      {.name = "observation", .begin = 0, .end = observations},
      {.name = "action:0", .begin = observations, .end = manifest.vocabulary},
  };
  manifest.tokenizer = absl::StrFormat("strata-view%d-zo%d", spec.view, spec.zo);
  manifest.tokenizer_hash = TokenizerHash(manifest.tokenizer, {});
  manifest.frames = Frames{.tokens_per_observation = spec.zo,
                           .tokens_per_action = 1,
                           .frames_per_episode = spec.frames,
                           .frames_left_out = 0,
                           .image_height = spec.pixels,
                           .image_width = spec.pixels,
                           .image_channels = spec.pixels > 0 ? 3 : 0};
  manifest.policy = spec.policy;
  return manifest;
}

absl::StatusOr<Manifest> GeneratedManifest(absl::string_view text) {
  ALLO_ASSIGN_OR_RETURN(const strata::Spec spec, strata::ParseSpec(text));
  Manifest manifest = StrataManifest(spec);
  manifest.kind = DatasetKind::kGenerated;
  manifest.generator = strata::SpecText(spec);
  manifest.name = manifest.generator;
  manifest.unique_tokens =
      static_cast<int64_t>(strata::kHeldoutEpisodes) * manifest.frames->tokens_per_episode();
  manifest.heldout_tokens = manifest.unique_tokens;
  manifest.documents = static_cast<int64_t>(2 * strata::kHeldoutEpisodes);
  // As it will be read where the text of the manifest is sent.
  return ParseManifest(ManifestJson(manifest));
}

absl::StatusOr<Manifest> FindManifest(const std::string& data_dir, const std::string& name) {
  return IsGenerated(name) ? GeneratedManifest(name) : ReadManifest(data_dir, name);
}

}  // namespace allometry::data
