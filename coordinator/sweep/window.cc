#include "coordinator/sweep/window.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "models/objective.h"

namespace allometry::sweep {
namespace {

constexpr int64_t kMostContext = 1'000'000;

bool SeesImages(const SweepFile& file) {
  const models::Family* family = models::FindFamily(file.family);
  return family != nullptr && family->encoder_channels > 0;
}

std::string FramesText(const data::Frames& frames) {
  return absl::StrFormat("frames of %d tokens (%d of the observation, %d of the action)",
                         frames.tokens_per_frame(), frames.tokens_per_observation,
                         frames.tokens_per_action);
}

// The context, or 0 after a mistake.
int64_t ContextOf(const data::Manifest& manifest, const SweepFile& file, Mistakes& mistakes) {
  const auto fail = [&](const std::string& text) {
    mistakes.Add(file.window_line, text);
    return 0;
  };
  if (!manifest.frames.has_value()) {
    if (file.frames == 0) return file.context;
    return fail(
        absl::StrFormat("frames %d, but dataset %s has none: give context, tokens a sequence",
                        file.frames, manifest.name));
  }
  const data::Frames& frames = *manifest.frames;
  const int64_t frame = frames.tokens_per_frame();
  if (file.frames == 0 && SeesImages(file)) {
    return fail(absl::StrFormat("family %s has a position for each frame: give frames, not context",
                                file.family));
  }
  if (file.frames == 0 && file.context % frame != 0) {
    return fail(absl::StrFormat("context %d is not whole frames: dataset %s has %s; give frames",
                                file.context, manifest.name, FramesText(frames)));
  }
  const int64_t window_frames = file.frames > 0 ? file.frames : file.context / frame;
  const bool in_episodes = manifest.has_files() || manifest.kind == data::DatasetKind::kUnion;
  if (in_episodes && window_frames > frames.frames_per_episode) {
    return fail(absl::StrFormat("frames %d are more than an episode of dataset %s has: %d",
                                window_frames, manifest.name, frames.frames_per_episode));
  }
  const int64_t context = SeesImages(file) ? window_frames : window_frames * frame;
  if (context > kMostContext) {
    return fail(absl::StrFormat("a window of %d frames has %d tokens: allowed are at most %d",
                                window_frames, context, kMostContext));
  }
  return context;
}

// Height, width and channels, and the actions as the vocabulary.
void SetImages(const data::Manifest& manifest, const SweepFile& file, models::Shape& shape,
               Mistakes& mistakes) {
  if (!manifest.frames.has_value() || manifest.frames->image_height == 0 ||
      manifest.frames->tokens_per_action == 0) {
    mistakes.Add(file.model_line,
                 absl::StrFormat("family %s needs a dataset of frames with images and actions: %s "
                                 "has not both",
                                 file.family, manifest.name));
    return;
  }
  shape.image_height = static_cast<int>(manifest.frames->image_height);
  shape.image_width = static_cast<int>(manifest.frames->image_width);
  shape.image_channels = static_cast<int>(manifest.frames->image_channels);
  shape.vocabulary = static_cast<int>(data::ActionVocabulary(manifest));
}

// Text is frames of one token.
void SetPositions(const data::Manifest& manifest, const SweepFile& file, models::Shape& shape,
                  Mistakes& mistakes) {
  if (file.positions == run::Positions::kAbsolute) return;
  if (SeesImages(file)) {
    mistakes.Add(
        file.positions_line,
        absl::StrFormat("positions %s: family %s has a position for each frame, allowed is "
                        "absolute",
                        run::NameOf(file.positions), file.family));
    return;
  }
  shape.positions = file.positions;
  shape.frame_tokens =
      manifest.frames.has_value() ? static_cast<int>(manifest.frames->tokens_per_frame()) : 1;
}

void CheckObjective(const data::Manifest& manifest, const models::Shape& shape, SweepFile& file,
                    Mistakes& mistakes) {
  if (file.family == run::kExternalFamily) return;  // the trainer's own affair
  if (SeesImages(file)) {
    if (!file.objective.empty() && file.objective != "action") {
      mistakes.Add(file.objective_line,
                   absl::StrFormat("objective %s: family %s predicts actions, allowed is action",
                                   file.objective, file.family));
    }
    file.objective = "action";
    return;
  }
  models::FrameTokens frame;
  if (manifest.frames.has_value()) {
    frame = {.observation = static_cast<int>(manifest.frames->tokens_per_observation),
             .action = static_cast<int>(manifest.frames->tokens_per_action),
             .outcome = static_cast<int>(manifest.frames->tokens_per_outcome)};
  }
  const auto objective = models::Objective::Create(file.objective, file.objective_seed,
                                                   shape.vocabulary, shape.context, frame);
  if (!objective.ok()) {
    mistakes.Add(file.objective_line,
                 absl::StrFormat("dataset %s: %s", manifest.name, objective.status().message()));
  }
}

// Both splits must have one window: a run would fail when it opens them.
void CheckSplits(const data::Manifest& manifest, const SweepFile& file, const models::Shape& shape,
                 Mistakes& mistakes) {
  const int64_t tokens =
      SeesImages(file) ? shape.context * manifest.frames->tokens_per_frame() : shape.context;
  for (const data::UnionMember& member : data::MembersRead(manifest)) {
    for (const auto& [split, there] :
         {std::pair("train", member.unique_tokens), {"held-out", member.heldout_tokens}}) {
      if (data::WindowsPerEpoch(manifest, there, tokens) >= 1) continue;
      mistakes.Add(file.window_line,
                   absl::StrFormat("dataset %s: member %s has no whole episode of %d tokens in its "
                                   "%s split of %d tokens",
                                   manifest.name, member.name,
                                   manifest.frames->tokens_per_episode(), split, there));
    }
  }
  if (manifest.shards.empty()) return;  // generated: there is no end
  for (const auto& [split, there] :
       {std::pair("train", manifest.unique_tokens), {"held-out", manifest.heldout_tokens}}) {
    if (data::WindowsPerEpoch(manifest, there, tokens) >= 1) continue;
    mistakes.Add(
        file.window_line,
        manifest.frames.has_value()
            ? absl::StrFormat("dataset %s has no whole episode of %d tokens in its %s "
                              "split of %d tokens",
                              manifest.name, manifest.frames->tokens_per_episode(), split, there)
            : absl::StrFormat("context %d is more than dataset %s can fill: its %s split "
                              "has %d tokens, and one window needs %d; allowed is up to %d",
                              tokens, manifest.name, split, there, tokens + 1,
                              std::max<int64_t>(0, there - 1)));
  }
}

void CheckUnion(const data::Manifest& manifest, const SweepFile& file, Mistakes& mistakes) {
  const auto members = static_cast<int64_t>(data::MembersRead(manifest).size());
  if (file.evaluation_windows < members) {
    mistakes.Add(file.window_line,
                 absl::StrFormat("dataset %s: evaluation.windows %d for %d members: allowed is one "
                                 "for each, or more",
                                 manifest.name, file.evaluation_windows, members));
  }
}

void SetBatch(SweepFile& file, Mistakes& mistakes) {
  if (file.batch_sequences > 0) {
    file.batch_tokens = file.batch_sequences * file.context;
    return;
  }
  if (file.batch_tokens % file.context == 0) return;
  mistakes.Add(
      file.batch_line,
      absl::StrFormat(
          "batch_tokens %d is not a multiple of context %d%s", file.batch_tokens, file.context,
          file.frames == 0
              ? ""
              : absl::StrFormat(" (%d frames): give batch_sequences instead", file.frames)));
}

}  // namespace

void ReadWindowTraining(const Fields& training, SweepFile& file, Mistakes& mistakes) {
  file.objective_line = training.line();
  if (const auto objective = training.Find("objective")) {
    file.objective_line = objective->line;
    const auto name = ReadText(*objective, mistakes);
    const auto row = models::FindObjective(name.value_or(""));
    if (!row.ok()) mistakes.Add(objective->line, row.status().message());
    // The name of the first row is not stored: older runs have none.
    if (row.ok()) file.objective = row->name == models::Objectives()[0].name ? "" : row->name;
  }
  if (const auto seed = training.Find("objective_seed")) {
    const auto row = models::FindObjective(file.objective);
    if (row.ok() && !row->takes_seed) {
      mistakes.Add(seed->line,
                   absl::StrFormat("objective_seed beside objective %s, which does not read it: it "
                                   "is allowed with super",
                                   row->name));
    }
    file.objective_seed = ReadInteger(*seed, {0, 9e15}, mistakes).value_or(0);
  }
  const auto tokens = training.Find("batch_tokens"), sequences = training.Find("batch_sequences");
  if (tokens && sequences) {
    mistakes.Add(sequences->line,
                 "batch_tokens and batch_sequences are both given: one of them is allowed");
  } else if (sequences) {
    file.batch_line = sequences->line;
    file.batch_sequences = ReadInteger(*sequences, {1, 1e9}, mistakes).value_or(0);
  } else if (tokens || file.batch_sequences == 0) {
    const auto batch = training.Require("batch_tokens",
                                        "tokens an update over all devices, a multiple of context");
    if (!batch) return;
    file.batch_line = batch->line;
    file.batch_sequences = 0;
    file.batch_tokens = ReadInteger(*batch, {1, 1e12}, mistakes).value_or(0);
    // With frames the context is the dataset's.
    if (file.batch_tokens > 0 && file.context > 0) SetBatch(file, mistakes);
  }
}

models::Shape ResolveWindow(const data::Manifest& manifest, SweepFile& file, Mistakes& mistakes) {
  models::Shape shape;
  shape.family = file.family;
  shape.vocabulary = static_cast<int>(manifest.vocabulary);
  const int64_t context = ContextOf(manifest, file, mistakes);
  if (SeesImages(file)) SetImages(manifest, file, shape, mistakes);
  if (file.vocabulary != 0 && file.vocabulary < shape.vocabulary) {
    mistakes.Add(
        file.vocabulary_line,
        absl::StrFormat("vocabulary %d, but dataset %s has %d ids: allowed is that or more",
                        file.vocabulary, manifest.name, shape.vocabulary));
  }
  shape.vocabulary = std::max(shape.vocabulary, file.vocabulary);
  if (context == 0) return shape;
  file.context = static_cast<int>(context);
  shape.context = file.context;
  SetPositions(manifest, file, shape, mistakes);
  CheckObjective(manifest, shape, file, mistakes);
  CheckSplits(manifest, file, shape, mistakes);
  CheckUnion(manifest, file, mistakes);
  SetBatch(file, mistakes);
  return shape;
}

double EpochsOf(const SweepFile& file, const data::Manifest& manifest, int64_t tokens) {
  int64_t window = file.context;
  if (SeesImages(file)) window *= manifest.frames->tokens_per_frame();
  return data::Epochs(manifest, tokens / file.context, window);
}

}  // namespace allometry::sweep
