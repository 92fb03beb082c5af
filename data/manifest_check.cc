#include "data/manifest_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "data/npy.h"
#include "data/outcome.h"
#include "data/union.h"

namespace allometry::data {
namespace {

absl::Status CheckSegments(const Manifest& manifest) {
  for (const VocabularySegment& a : manifest.segments) {
    if (a.begin >= a.end || a.end > manifest.vocabulary) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "segments: '%s' has ids %d to %d: allowed is begin < end <= vocabulary %d", a.name,
          a.begin, a.end, manifest.vocabulary));
    }
    for (const VocabularySegment& b : manifest.segments) {
      if (&a != &b && a.begin < b.end && b.begin < a.end) {
        return absl::InvalidArgumentError(
            absl::StrFormat("segments: '%s' (%d to %d) and '%s' (%d to %d) share ids", a.name,
                            a.begin, a.end, b.name, b.begin, b.end));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFrames(const Manifest& manifest) {
  const Frames& frames = *manifest.frames;
  // So that products of them cannot overflow.
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [name, value] :
       {std::pair("tokens_per_observation", frames.tokens_per_observation),
        {"tokens_per_action", frames.tokens_per_action},
        {"frames_per_episode", frames.frames_per_episode},
        {"image_height", frames.image_height},
        {"image_width", frames.image_width},
        {"image_channels", frames.image_channels}}) {
    if (value > kMost) {
      return absl::InvalidArgumentError(
          absl::StrFormat("frames.%s is %d: allowed is up to %d", name, value, kMost));
    }
  }
  if (frames.tokens_per_outcome > 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "frames.tokens_per_outcome is %d: allowed are 0 and 1", frames.tokens_per_outcome));
  }
  const bool image = frames.image_height > 0;
  if (image != (frames.image_width > 0) || image != (frames.image_channels > 0)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("frames: images of %d x %d x %d: allowed is all of them positive, or all 0",
                        frames.image_height, frames.image_width, frames.image_channels));
  }
  std::set<std::string> segments;
  for (const VocabularySegment& segment : manifest.segments) {
    segments.insert(segment.name);
    if (segment.name == "outcome" && segment.end - segment.begin != kOutcomes) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "segments: 'outcome' has %d ids: allowed is %d", segment.end - segment.begin, kOutcomes));
    }
  }
  std::set<std::string> wanted = {"observation"};
  for (int64_t i = 0; i < frames.tokens_per_action; ++i) wanted.insert(absl::StrCat("action:", i));
  if (frames.tokens_per_outcome > 0) wanted.insert("outcome");
  for (const std::string& name : wanted) {
    if (segments.count(name) > 0) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "segments: '%s' is missing: a frame has observation tokens, %d action tokens and %d of the "
        "outcome",
        name, frames.tokens_per_action, frames.tokens_per_outcome));
  }
  return absl::OkStatus();
}

absl::Status CheckShard(const Shard& shard, const Manifest& manifest) {
  const auto fail = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrFormat("shards: '%s' %s", shard.file, why));
  };
  if (!CheckDatasetName(shard.file).ok()) return fail("is not a plain file name");
  if (shard.split != "train" && shard.split != "heldout") {
    return fail(absl::StrFormat("has split '%s': allowed are train and heldout", shard.split));
  }
  const absl::StatusOr<TokenType> type = ParseTokenType(shard.dtype);
  if (!type.ok()) return fail(absl::StrCat("has ", type.status().message()));
  int64_t bytes_each = BytesOf(*type);
  if (shard.role == "images") {
    if (!manifest.frames.has_value() || manifest.frames->image_height == 0) {
      return fail("has images: 'frames' does not say their size");
    }
    if (*type != TokenType::kU8)
      return fail(absl::StrFormat("has images of %s: allowed is u8", shard.dtype));
    bytes_each = manifest.frames->image_height * manifest.frames->image_width *
                 manifest.frames->image_channels;
  } else if (shard.role == "actions") {
    if (!manifest.frames.has_value()) return fail("has actions: there is no 'frames'");
  } else if (shard.role != "tokens") {
    return fail(
        absl::StrFormat("has role '%s': allowed are tokens, images and actions", shard.role));
  } else if (BytesOf(*type) < BytesOf(NarrowestType(manifest.vocabulary))) {
    return fail(absl::StrFormat("has dtype %s, too narrow for a vocabulary of %d", shard.dtype,
                                manifest.vocabulary));
  }
  if (shard.bytes / bytes_each < shard.tokens) {
    return fail(absl::StrFormat("has %d bytes, too few for %d %s of %s", shard.bytes, shard.tokens,
                                shard.role, shard.dtype));
  }
  const auto is_hex = [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
  if (shard.hash.size() != 16 || !std::all_of(shard.hash.begin(), shard.hash.end(), is_hex)) {
    return fail(absl::StrFormat("has hash '%s': allowed are 16 hexadecimal digits", shard.hash));
  }
  return absl::OkStatus();
}

// Whole episodes, and the images and actions of a split for all of its frames or none.
absl::Status CheckEpisodes(const Manifest& manifest,
                           std::map<std::pair<std::string, std::string>, int64_t>& count) {
  const Frames& frames = *manifest.frames;
  for (const char* split : {"train", "heldout"}) {
    const int64_t tokens = *split == 't' ? manifest.unique_tokens : manifest.heldout_tokens;
    if (tokens % frames.tokens_per_episode() != 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the %s split has %d tokens, not whole episodes of %d", split, tokens,
                          frames.tokens_per_episode()));
    }
    const int64_t of_split = tokens / frames.tokens_per_frame();
    const int64_t images = count[{split, "images"}], actions = count[{split, "actions"}];
    if ((images != 0 && images != of_split) ||
        (actions != 0 && actions != of_split * frames.tokens_per_action)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the %s split has %d frames, %d images and %d actions: allowed is one "
                          "image and %d actions a frame, or none at all",
                          split, of_split, images, actions, frames.tokens_per_action));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTotals(const Manifest& manifest) {
  std::map<std::pair<std::string, std::string>, int64_t> count;  // by split and role
  std::set<std::string> files;
  for (const Shard& shard : manifest.shards) {
    ALLO_RETURN_IF_ERROR(CheckShard(shard, manifest));
    if (!files.insert(shard.file).second) {
      return absl::InvalidArgumentError(
          absl::StrFormat("shards: '%s' is listed twice", shard.file));
    }
    count[{shard.split, shard.role}] += shard.tokens;
  }
  const int64_t train = count[{"train", "tokens"}], heldout = count[{"heldout", "tokens"}];
  const bool has_files = manifest.has_files();
  if (has_files && manifest.unique_tokens != train) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "unique_tokens is %d: the train shards have %d", manifest.unique_tokens, train));
  }
  if (has_files && manifest.heldout_tokens != heldout) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "heldout_tokens is %d: the heldout shards have %d", manifest.heldout_tokens, heldout));
  }
  return manifest.frames.has_value() ? CheckEpisodes(manifest, count) : absl::OkStatus();
}

absl::Status CheckKind(const Manifest& manifest) {
  const DatasetKindRow& kind = RowOf(manifest.kind);
  if (kind.has_frames != manifest.frames.has_value()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "kind is '%s', %s", kind.name,
        kind.has_frames ? "and 'frames' is missing"
                        : absl::StrCat("and 'frames' is there: ", kind.name, " has none")));
  }
  if (!kind.has_files && (manifest.name != manifest.generator || !IsGenerated(manifest.name))) {
    return absl::InvalidArgumentError(
        absl::StrFormat("name is '%s' and generator '%s': allowed for a %s dataset is the "
                        "generator's text for both",
                        manifest.name, manifest.generator, kind.name));
  }
  if (!kind.has_files && !manifest.shards.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "shards has %d entries: a %s dataset has none", manifest.shards.size(), kind.name));
  }
  return absl::OkStatus();
}

absl::Status CheckMeasured(const Manifest& manifest) {
  for (const Entropy& entropy : manifest.entropies) {
    if (!(entropy.nats_per_token >= 0 && entropy.standard_error >= 0 &&
          std::isfinite(entropy.nats_per_token + entropy.standard_error))) {
      return absl::InvalidArgumentError(
          absl::StrFormat("entropies: %g +- %g nats a token: allowed are numbers of 0 or more",
                          entropy.nats_per_token, entropy.standard_error));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckManifest(const Manifest& manifest) {
  ALLO_RETURN_IF_ERROR(CheckKind(manifest));
  if (manifest.has_files()) ALLO_RETURN_IF_ERROR(CheckDatasetName(manifest.name));
  if (manifest.vocabulary > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrFormat("vocabulary is %d: allowed is up to %d",
                                                      manifest.vocabulary,
                                                      std::numeric_limits<int32_t>::max()));
  }
  if (!manifest.token_bytes.empty() &&
      static_cast<int64_t>(manifest.token_bytes.size()) != manifest.vocabulary) {
    return absl::InvalidArgumentError(
        absl::StrFormat("token_bytes has %d entries: the vocabulary has %d",
                        manifest.token_bytes.size(), manifest.vocabulary));
  }
  ALLO_RETURN_IF_ERROR(CheckSegments(manifest));
  if (manifest.frames.has_value()) ALLO_RETURN_IF_ERROR(CheckFrames(manifest));
  ALLO_RETURN_IF_ERROR(CheckMeasured(manifest));
  if (manifest.kind == DatasetKind::kUnion || !manifest.members.empty()) {
    ALLO_RETURN_IF_ERROR(CheckMembers(manifest));
  }
  return CheckTotals(manifest);
}

}  // namespace allometry::data
