#include "data/generated.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "data/outcome.h"
#include "data/strata/episode.h"
#include "data/strata/tokens.h"
#include "data/union.h"
#include "data/union_name.h"

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
  if (spec.outcomes > 0) {
    manifest.segments.push_back(
        {.name = "outcome", .begin = manifest.vocabulary, .end = manifest.vocabulary + kOutcomes});
    manifest.vocabulary += kOutcomes;
  }
  manifest.tokenizer = absl::StrFormat("strata-view%d-zo%d", spec.view, spec.zo);
  manifest.tokenizer_hash = TokenizerHash(manifest.tokenizer, {});
  manifest.frames = Frames{.tokens_per_observation = spec.zo,
                           .tokens_per_action = 1,
                           .frames_per_episode = spec.frames,
                           .frames_left_out = 0,
                           .image_height = spec.pixels,
                           .image_width = spec.pixels,
                           .image_channels = spec.pixels > 0 ? 3 : 0,
                           .tokens_per_outcome = spec.outcomes};
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

absl::StatusOr<Manifest> ExternalManifest(absl::string_view text) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "dataset '%s': %s; allowed is external:NAME,tokens=COUNT,heldout=NAME", text, what));
  };
  Manifest manifest;
  manifest.name = manifest.generator = std::string(text);
  manifest.kind = DatasetKind::kExternal;
  manifest.licence = manifest.source = "of the trainer that reads it";
  manifest.vocabulary = 1;  // the trainer's own affair; a manifest has at least one
  absl::string_view rest = text;
  if (!IsExternal(text) || !IsGenerated(text)) return wrong("not such a text");
  absl::ConsumePrefix(&rest, kExternal);
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, ',');
  if (parts[0].empty()) return wrong("it has no name");
  for (size_t i = 1; i < parts.size(); ++i) {
    absl::string_view value = parts[i];
    if (absl::ConsumePrefix(&value, "tokens=")) {
      if (!absl::SimpleAtoi(value, &manifest.unique_tokens) || manifest.unique_tokens < 2) {
        return wrong("its tokens are no whole number of 2 or more");
      }
    } else if (!absl::ConsumePrefix(&value, "heldout=")) {
      return wrong(absl::StrCat("'", parts[i], "' is not known"));
    }
  }
  if (manifest.unique_tokens == 0) return wrong("its tokens are missing");
  return ParseManifest(ManifestJson(manifest));
}

absl::StatusOr<Manifest> FindManifest(const std::string& data_dir, const std::string& name) {
  if (IsExternal(name)) return ExternalManifest(name);
  if (IsUnion(name)) return UnionManifest(data_dir, name);
  return IsGenerated(name) ? GeneratedManifest(name) : ReadManifest(data_dir, name);
}

}  // namespace allometry::data
