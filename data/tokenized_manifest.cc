#include "data/tokenized_manifest.h"

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace allometry::data {

absl::StatusOr<Manifest> TokenizedManifest(const Manifest& source, const ImageCodes& codes) {
  if (!source.frames.has_value() || source.frames->image_height == 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("dataset %s has no images, which a tokenizer needs", source.name));
  }
  Manifest tokenized = source;
  Frames& frames = *tokenized.frames;
  const int64_t old_frame = frames.tokens_per_frame();
  frames.tokens_per_observation = codes.tokens_per_observation;
  frames.image_height = frames.image_width = frames.image_channels = 0;
  tokenized.segments = {{.name = "observation", .begin = 0, .end = codes.codes}};
  int64_t next = codes.codes;
  for (const VocabularySegment& segment : SegmentsAfterObservation(source)) {
    const int64_t end = next + segment.end - segment.begin;
    tokenized.segments.push_back({.name = segment.name, .begin = next, .end = end});
    next = end;
  }
  tokenized.vocabulary = next;
  tokenized.tokenizer = "image-codes";
  tokenized.tokenizer_hash = codes.tokenizer_hash;
  tokenized.shards.clear();
  tokenized.entropies.clear();
  tokenized.unique_tokens = source.unique_tokens / old_frame * frames.tokens_per_frame();
  tokenized.heldout_tokens = source.heldout_tokens / old_frame * frames.tokens_per_frame();
  for (UnionMember& member : tokenized.members) {
    member.unique_tokens = member.unique_tokens / old_frame * frames.tokens_per_frame();
    member.heldout_tokens = member.heldout_tokens / old_frame * frames.tokens_per_frame();
  }
  return tokenized;
}

absl::Status RenumberAfterObservation(const Manifest& source, const Manifest& tokenized,
                                      std::span<const int32_t> from, std::span<int32_t> to) {
  const auto old_segments = SegmentsAfterObservation(source);
  const auto new_segments = SegmentsAfterObservation(tokenized);
  ALLO_CHECK(from.size() == old_segments.size() && to.size() == from.size()) << from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] < old_segments[i].begin || from[i] >= old_segments[i].end) {
      return absl::DataLossError(
          absl::StrFormat("token id %d where one of %s (%d to %d) is expected", from[i],
                          old_segments[i].name, old_segments[i].begin, old_segments[i].end - 1));
    }
    to[i] = static_cast<int32_t>(from[i] - old_segments[i].begin + new_segments[i].begin);
  }
  return absl::OkStatus();
}

}  // namespace allometry::data
