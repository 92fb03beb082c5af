#include "data/union.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "data/generated.h"
#include "data/union_name.h"

namespace allometry::data {
namespace {

constexpr char kImagesAlone[] = "of images alone: the members' own tokens differ";

const UnionMember& MemberNamed(const Manifest& manifest, const std::string& name) {
  return *std::find_if(manifest.members.begin(), manifest.members.end(),
                       [&](const UnionMember& member) { return member.name == name; });
}

std::string SegmentsText(const Manifest& manifest) {
  return absl::StrJoin(
      manifest.segments, ", ", [](std::string* out, const VocabularySegment& segment) {
        absl::StrAppend(out, segment.name, " ", segment.begin, " to ", segment.end - 1);
      });
}

std::string FollowingText(const Manifest& manifest) {
  return absl::StrJoin(SegmentsAfterObservation(manifest), ", ",
                       [](std::string* out, const VocabularySegment& segment) {
                         absl::StrAppend(out, segment.end - segment.begin, " ids of ",
                                         segment.name);
                       });
}

struct Field {
  const char* name;
  std::string value;
};

// Of the tokens themselves: what a tokenizer of the images replaces.
std::vector<Field> TokenFields(const Manifest& manifest) {
  return {{"vocabulary", absl::StrCat(manifest.vocabulary)},
          {"segments", SegmentsText(manifest)},
          {"tokenizer", manifest.tokenizer},
          {"tokenizer_hash", manifest.tokenizer_hash},
          {"frames.tokens_per_observation", absl::StrCat(manifest.frames->tokens_per_observation)}};
}

std::vector<Field> FrameFields(const Manifest& manifest) {
  const Frames& frames = *manifest.frames;
  return {{"frames.tokens_per_action", absl::StrCat(frames.tokens_per_action)},
          {"frames.tokens_per_outcome", absl::StrCat(frames.tokens_per_outcome)},
          {"frames.frames_per_episode", absl::StrCat(frames.frames_per_episode)},
          {"frames.image_height", absl::StrCat(frames.image_height)},
          {"frames.image_width", absl::StrCat(frames.image_width)},
          {"frames.image_channels", absl::StrCat(frames.image_channels)},
          {"segments after the observation", FollowingText(manifest)}};
}

// The first that differs, as a sentence; empty: none does.
std::string Difference(const Manifest& first, const Manifest& other, const std::vector<Field>& a,
                       const std::vector<Field>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].value == b[i].value) continue;
    return absl::StrFormat("member %s has %s '%s', and member %s has '%s': all must have the same",
                           other.name, b[i].name, b[i].value, first.name, a[i].value);
  }
  return "";
}

// The first `share` of a member's training episodes, at least one.
absl::StatusOr<int64_t> SharedEpisodes(const Manifest& member, double share) {
  const int64_t all = member.unique_tokens / member.frames->tokens_per_episode();
  if (share == 1) return all;
  if (member.kind == DatasetKind::kGenerated) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "share=%g: member %s is generated and has no end; allowed is share=1", share, member.name));
  }
  return std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(all)));
}

// Within a union's manifest: a hash, whole episodes, and no dataset twice.
absl::Status CheckMember(const Manifest& manifest, const UnionMember& member) {
  const auto fail = [&](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrFormat("members: %s has %s", member.name, why));
  };
  const bool is_hash = member.hash.size() == 16 &&
                       member.hash.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hash) {
    return fail(absl::StrFormat("hash '%s': allowed are 16 hexadecimal digits", member.hash));
  }
  const int64_t episode = manifest.frames->tokens_per_episode();
  for (const int64_t tokens : {member.unique_tokens, member.heldout_tokens}) {
    if (tokens % episode == 0) continue;
    return fail(absl::StrFormat("%d tokens, not whole episodes of %d", tokens, episode));
  }
  for (const UnionMember& other : manifest.members) {
    if (&other == &member || other.hash != member.hash) continue;
    return fail(
        absl::StrFormat("hash %s, as %s: they are the same dataset", member.hash, other.name));
  }
  return absl::OkStatus();
}

// A sum of tokens. Generated datasets have so many that a sum can be out of range.
int64_t Sum(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

// Observations of one token of one id: no own tokens are read.
void KeepImagesAlone(Manifest& manifest) {
  manifest.frames->tokens_per_observation = 1;
  std::vector<VocabularySegment> segments = {{.name = "observation", .begin = 0, .end = 1}};
  int64_t next = 1;
  for (const VocabularySegment& segment : SegmentsAfterObservation(manifest)) {
    segments.push_back(
        {.name = segment.name, .begin = next, .end = next + segment.end - segment.begin});
    next = segments.back().end;
  }
  manifest.segments = std::move(segments);
  manifest.vocabulary = next;
  manifest.tokenizer = kImagesAlone;
  manifest.tokenizer_hash = TokenizerHash(manifest.tokenizer, {});
}

absl::StatusOr<Manifest> Compose(const std::string& data_dir, const UnionName& name) {
  Manifest manifest;
  std::vector<Manifest> members;
  bool images_alone = false;
  for (const std::string& member_name : name.members) {
    ALLO_ASSIGN_OR_RETURN(Manifest member, FindManifest(data_dir, member_name));
    member.name = member_name;  // as it is written, if it is generated
    if (!member.frames.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("member %s is of kind %s: allowed are datasets of frames", member_name,
                          RowOf(member.kind).name));
    }
    if (members.empty()) manifest = member;
    const std::string frames =
        Difference(manifest, member, FrameFields(manifest), FrameFields(member));
    if (!frames.empty()) return absl::InvalidArgumentError(frames);
    const std::string tokens =
        Difference(manifest, member, TokenFields(manifest), TokenFields(member));
    if (!tokens.empty() && member.frames->image_height == 0) {
      return absl::InvalidArgumentError(tokens);
    }
    images_alone |= !tokens.empty();
    members.push_back(std::move(member));
  }
  manifest.kind = DatasetKind::kUnion;
  manifest.name = manifest.generator = UnionText(name);
  manifest.source = absl::StrCat("union of ", absl::StrJoin(name.members, ", "));
  manifest.shards.clear();
  manifest.members.clear();
  manifest.entropies.clear();
  manifest.returns.reset();
  manifest.policy.clear();
  manifest.token_bytes.clear();
  manifest.unique_bytes = manifest.unique_tokens = manifest.heldout_tokens = 0;
  manifest.documents = manifest.frames->frames_left_out = 0;
  if (images_alone) KeepImagesAlone(manifest);
  const int64_t episode = manifest.frames->tokens_per_episode();
  std::vector<std::string> licences;
  for (const Manifest& member : members) {
    ALLO_ASSIGN_OR_RETURN(const int64_t train, SharedEpisodes(member, name.share));
    const int64_t heldout = member.heldout_tokens / member.frames->tokens_per_episode();
    const bool generated = member.kind == DatasetKind::kGenerated;
    manifest.members.push_back({.name = member.name,
                                .hash = generated ? HashHex(member.name) : member.hash,
                                .unique_tokens = train * episode,
                                .heldout_tokens = heldout * episode});
    if (std::count(licences.begin(), licences.end(), member.licence) == 0) {
      licences.push_back(member.licence);
    }
    if (!name.only.empty() && member.name != name.only) continue;
    manifest.documents = Sum(manifest.documents, member.documents);
    manifest.frames->frames_left_out += member.frames->frames_left_out;
    manifest.unique_tokens = Sum(manifest.unique_tokens, train * episode);
    manifest.heldout_tokens = Sum(manifest.heldout_tokens, heldout * episode);
  }
  manifest.licence = absl::StrJoin(licences, "; ");
  return manifest;
}

class MembersByTurns final : public WindowSource {
 public:
  MembersByTurns(std::vector<std::unique_ptr<WindowSource>> members, bool images_alone)
      : members_(std::move(members)), images_alone_(images_alone) {}

  absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const override {
    if (images_alone_) {
      return absl::FailedPreconditionError(
          "the members' own tokens differ: allowed is reading through a tokenizer");
    }
    const size_t context = count == 0 ? 0 : inputs.size() / static_cast<size_t>(count);
    for (int64_t row = 0; row < count; ++row) {
      const auto [member, window] = Of(first + row);
      const size_t at = static_cast<size_t>(row) * context;
      ALLO_RETURN_IF_ERROR(
          member.Fill(window, 1, inputs.subspan(at, context), targets.subspan(at, context)));
    }
    return absl::OkStatus();
  }

  absl::Status FillImages(int64_t first, int64_t count, std::span<uint8_t> images) const override {
    const size_t bytes = count == 0 ? 0 : images.size() / static_cast<size_t>(count);
    for (int64_t row = 0; row < count; ++row) {
      const auto [member, window] = Of(first + row);
      ALLO_RETURN_IF_ERROR(
          member.FillImages(window, 1, images.subspan(static_cast<size_t>(row) * bytes, bytes)));
    }
    return absl::OkStatus();
  }

 private:
  std::pair<const WindowSource&, int64_t> Of(int64_t window) const {
    const auto size = static_cast<int64_t>(members_.size());
    return {*members_[static_cast<size_t>(window % size)], window / size};
  }

  const std::vector<std::unique_ptr<WindowSource>> members_;
  const bool images_alone_;
};

}  // namespace

bool HasImagesAlone(const Manifest& manifest) {
  return manifest.kind == DatasetKind::kUnion && manifest.tokenizer == kImagesAlone;
}

absl::StatusOr<Manifest> UnionManifest(const std::string& data_dir, const std::string& text) {
  ALLO_ASSIGN_OR_RETURN(const UnionName name, ParseUnionName(text));
  absl::StatusOr<Manifest> manifest = Compose(data_dir, name);
  // As it will be read where the text of the manifest is sent.
  if (manifest.ok()) manifest = ParseManifest(ManifestJson(*manifest));
  if (!manifest.ok()) return Annotate(manifest.status(), absl::StrCat("dataset '", text, "'"));
  return manifest;
}

std::vector<UnionMember> MembersRead(const Manifest& manifest) {
  if (manifest.kind != DatasetKind::kUnion) return {};
  const absl::StatusOr<UnionName> name = ParseUnionName(manifest.name);
  if (!name.ok() || name->only.empty()) return manifest.members;
  return {MemberNamed(manifest, name->only)};
}

absl::Status CheckMembers(const Manifest& manifest) {
  if (manifest.kind != DatasetKind::kUnion) {
    return absl::InvalidArgumentError(
        absl::StrFormat("members has %d entries: a %s dataset has none", manifest.members.size(),
                        RowOf(manifest.kind).name));
  }
  ALLO_ASSIGN_OR_RETURN(const UnionName name, ParseUnionName(manifest.name));
  std::vector<std::string> listed;
  for (const UnionMember& member : manifest.members) listed.push_back(member.name);
  if (listed != name.members) {
    return absl::InvalidArgumentError(
        absl::StrFormat("members are %s: allowed are those of the name '%s', in its order",
                        absl::StrJoin(listed, ", "), manifest.name));
  }
  for (const UnionMember& member : manifest.members) {
    ALLO_RETURN_IF_ERROR(CheckMember(manifest, member));
  }
  int64_t train = 0, heldout = 0;
  for (const UnionMember& member : MembersRead(manifest)) {
    train = Sum(train, member.unique_tokens);
    heldout = Sum(heldout, member.heldout_tokens);
  }
  if (manifest.unique_tokens == train && manifest.heldout_tokens == heldout) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "unique_tokens is %d and heldout_tokens %d: the members that are read have %d and %d",
      manifest.unique_tokens, manifest.heldout_tokens, train, heldout));
}

std::string UnionHashOf(const Manifest& manifest) {
  return *UnionHash(manifest.name,
                    [&](const std::string& name) { return MemberNamed(manifest, name).hash; });
}

double UnionEpochs(const Manifest& manifest, int64_t windows, int64_t context) {
  const std::vector<UnionMember> members = MembersRead(manifest);
  int64_t fewest = std::numeric_limits<int64_t>::max();
  for (const UnionMember& member : members) {
    if (IsGenerated(member.name)) continue;
    fewest = std::min(fewest, WindowsPerEpoch(manifest, member.unique_tokens, context));
  }
  if (fewest == std::numeric_limits<int64_t>::max()) return 1;
  return fewest < 1 ? std::numeric_limits<double>::infinity()
                    : static_cast<double>(windows) /
                          (static_cast<double>(fewest) * static_cast<double>(members.size()));
}

absl::StatusOr<WindowSources> OpenMembers(const Manifest& manifest, const WindowOptions& options,
                                          const OpenMember& open) {
  const std::vector<UnionMember> members = MembersRead(manifest);
  const auto size = static_cast<int64_t>(members.size());
  if (options.context % manifest.frames->tokens_per_frame() != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset %s: context %d is not a number of whole frames of %d tokens",
                        manifest.name, options.context, manifest.frames->tokens_per_frame()));
  }
  if (options.heldout_windows < size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "dataset %s: %d held-out windows for %d members: allowed is one for each, or more",
        manifest.name, options.heldout_windows, size));
  }
  std::vector<WindowSources> opened;
  WindowSources sources;
  sources.heldout_count = options.heldout_windows / size;
  for (const UnionMember& member : members) {
    WindowOptions own = options;
    own.heldout_windows = options.heldout_windows / size;
    own.train_episodes =
        IsGenerated(member.name) ? 0 : member.unique_tokens / manifest.frames->tokens_per_episode();
    ALLO_ASSIGN_OR_RETURN(opened.emplace_back(), open(member.name, own));
    sources.heldout_count = std::min(sources.heldout_count, opened.back().heldout_count);
    sources.members.push_back(member.name);
  }
  // The fewest that any has: each member counts equally. Those of the others stay evenly spaced.
  for (size_t i = 0; i < members.size(); ++i) {
    if (opened[i].heldout_count == sources.heldout_count) continue;
    WindowOptions own = options;
    own.heldout_windows = sources.heldout_count;
    ALLO_ASSIGN_OR_RETURN(WindowSources again, open(members[i].name, own));
    opened[i].heldout = std::move(again.heldout);
  }
  std::vector<std::unique_ptr<WindowSource>> train, heldout;
  for (WindowSources& member : opened) {
    train.push_back(std::move(member.train));
    heldout.push_back(std::move(member.heldout));
  }
  sources.manifest = manifest;
  sources.heldout_count *= size;
  const bool images_alone = HasImagesAlone(manifest);
  sources.train = std::make_unique<MembersByTurns>(std::move(train), images_alone);
  sources.heldout = std::make_unique<MembersByTurns>(std::move(heldout), images_alone);
  return sources;
}

absl::StatusOr<WindowSources> OpenUnion(const std::string& data_dir, const std::string& name,
                                        const WindowOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const Manifest manifest, UnionManifest(data_dir, name));
  return OpenMembers(
      manifest, options,
      [&](const std::string& member, const WindowOptions& own) -> absl::StatusOr<WindowSources> {
        ALLO_ASSIGN_OR_RETURN(const Manifest found, FindManifest(data_dir, member));
        WindowOptions of_member = own;
        of_member.context =
            own.context / manifest.frames->tokens_per_frame() * found.frames->tokens_per_frame();
        return OpenDataset(found.kind, data_dir, member, of_member);
      });
}

}  // namespace allometry::data
