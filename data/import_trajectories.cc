#include "data/import_trajectories.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/staged_folder.h"
#include "data/trajectories.h"

namespace allometry::data {
namespace {

constexpr int64_t kHeldoutEvery = 20;
constexpr int64_t kMostIds = int64_t{1} << 24;

int64_t Numbers(const Trajectory& t) {
  return std::accumulate(t.observation_shape.begin(), t.observation_shape.end(), int64_t{1},
                         std::multiplies<>());
}

// What all episodes have in common, and the largest numbers in them.
struct Survey {
  int64_t shortest = 0;
  int64_t steps = 0;  // of all
  int64_t observation_tokens = 0;
  int64_t action_dimensions = 0;
  int64_t largest_observation = 0;
  int64_t largest_action = 0;
};

absl::StatusOr<Survey> SurveyFile(const TrajectoryReader& reader, const std::string& file) {
  Survey survey;
  for (int64_t i = 0; i < reader.episodes(); ++i) {
    ALLO_ASSIGN_OR_RETURN(const Trajectory t, reader.Read(i));
    if (i == 0) {
      survey.shortest = t.steps();
      survey.observation_tokens = Numbers(t);
      survey.action_dimensions = t.action_dimensions;
    }
    if (Numbers(t) != survey.observation_tokens ||
        t.action_dimensions != survey.action_dimensions) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: %s: observations of %d numbers and actions of %d, the first "
                          "episode's of %d and %d",
                          file, reader.name(i), Numbers(t), t.action_dimensions,
                          survey.observation_tokens, survey.action_dimensions));
    }
    survey.shortest = std::min(survey.shortest, t.steps());
    survey.steps += t.steps();
    for (const uint16_t value : t.observations) {
      survey.largest_observation = std::max<int64_t>(survey.largest_observation, value);
    }
    for (const int64_t value : t.actions) {
      if (value < 0) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "%s: %s: actions has %d: allowed is 0 or more", file, reader.name(i), value));
      }
      survey.largest_action = std::max(survey.largest_action, value);
    }
  }
  return survey;
}

absl::Status Settle(const char* what, int64_t largest, int64_t& ids) {
  if (ids == 0) ids = largest + 1;
  if (ids > largest && ids <= kMostIds) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%d ids for %s: allowed is from %d, the largest that occurs and one, to %d",
                      ids, what, largest + 1, kMostIds));
}

// Cuts one trajectory to whole episodes of the dataset; the frames left over.
absl::StatusOr<int64_t> Append(const Trajectory& t, const Manifest& manifest,
                               const std::string& split, DatasetWriter& writer) {
  const Frames& frames = *manifest.frames;
  const int64_t used = t.steps() / frames.frames_per_episode * frames.frames_per_episode;
  std::vector<uint32_t> tokens;
  for (int64_t step = 0; step < used; ++step) {
    const auto at = t.observations.begin() + step * frames.tokens_per_observation;
    tokens.insert(tokens.end(), at, at + frames.tokens_per_observation);
    for (int64_t d = 0; d < frames.tokens_per_action; ++d) {
      const int64_t action = t.actions[static_cast<size_t>(step * frames.tokens_per_action + d)];
      tokens.push_back(
          static_cast<uint32_t>(manifest.segments[static_cast<size_t>(d + 1)].begin + action));
    }
  }
  ALLO_RETURN_IF_ERROR(writer.Append(split, tokens));
  return t.steps() - used;
}

absl::StatusOr<Manifest> Describe(const ImportTrajectoriesOptions& options, const Survey& survey) {
  int64_t observation_ids = options.observation_ids, action_ids = options.action_ids;
  ALLO_RETURN_IF_ERROR(Settle("observations", survey.largest_observation, observation_ids));
  ALLO_RETURN_IF_ERROR(Settle("actions", survey.largest_action, action_ids));
  Manifest manifest;
  manifest.name = options.name;
  manifest.kind = DatasetKind::kTrajectories;
  manifest.licence = options.licence;
  ALLO_ASSIGN_OR_RETURN(const std::string hash, HashFileHex(options.file));
  manifest.source = absl::StrFormat("%s (xxh3 %s)",
                                    std::filesystem::path(options.file).filename().string(), hash);
  manifest.segments = {{.name = "observation", .begin = 0, .end = observation_ids}};
  for (int64_t d = 0; d < survey.action_dimensions; ++d) {
    const int64_t begin = manifest.segments.back().end;
    manifest.segments.push_back(
        {.name = absl::StrCat("action:", d), .begin = begin, .end = begin + action_ids});
  }
  manifest.vocabulary = manifest.segments.back().end;
  manifest.tokenizer = "numbers";
  manifest.tokenizer_hash = TokenizerHash(manifest.tokenizer, {});
  manifest.frames = Frames();
  manifest.frames->tokens_per_observation = survey.observation_tokens;
  manifest.frames->tokens_per_action = survey.action_dimensions;
  manifest.frames->frames_per_episode = options.frames > 0 ? options.frames : survey.shortest;
  manifest.generator =
      absl::StrFormat("allo data import-hdf5 --frames %d --observation-ids %d --action-ids %d",
                      manifest.frames->frames_per_episode, observation_ids, action_ids);
  const TrajectoryReaderOptions defaults;
  if (options.reader.observations != defaults.observations) {
    absl::StrAppend(&manifest.generator, " --observations ", options.reader.observations);
  }
  if (options.reader.actions != defaults.actions) {
    absl::StrAppend(&manifest.generator, " --actions ", options.reader.actions);
  }
  if (options.reader.incomplete) absl::StrAppend(&manifest.generator, " --incomplete");
  return manifest;
}

absl::Status CheckSplits(const DatasetWriter& writer, const ImportTrajectoriesOptions& options,
                         const Manifest& manifest) {
  for (const char* split : {"train", "heldout"}) {
    if (writer.tokens(split) > 0) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: no episode of %d frames falls in the %s split: take fewer frames, or a file with more "
        "episodes",
        options.file, manifest.frames->frames_per_episode, split));
  }
  return absl::OkStatus();
}

absl::Status CheckSurvey(const ImportTrajectoriesOptions& options, const TrajectoryReader& reader,
                         const Survey& survey) {
  const std::optional<int64_t> stated = reader.stated_steps();
  if (stated.has_value() && *stated != survey.steps && !options.reader.incomplete) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: its total_steps is %d, its %d episodes have %d: pass --incomplete to take those that "
        "are there",
        options.file, *stated, reader.episodes(), survey.steps));
  }
  if (options.frames < 0 || (options.frames == 0 && survey.shortest < 1) ||
      survey.observation_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the shortest episode has %d steps, an observation %d numbers, and %d frames an "
        "episode are asked for: allowed are 1 or more (0 frames: as many as the shortest has)",
        options.file, survey.shortest, survey.observation_tokens, options.frames));
  }
  return absl::OkStatus();
}

void Report(const TrajectoryReader& reader, int64_t without_frames, MadeDataset& made) {
  const Frames& frames = *made.manifest.frames;
  made.from = Counted(reader.episodes(), "episode");
  made.left_out = reader.left_out();
  made.notes = reader.notes();
  if (without_frames > 0) {
    made.left_out.push_back(absl::StrFormat("%s shorter than %d frames",
                                            Counted(without_frames, "episode"),
                                            frames.frames_per_episode));
  }
  if (frames.frames_left_out > 0) {
    made.left_out.push_back(absl::StrFormat("%s that make no whole episode of %d",
                                            Counted(frames.frames_left_out, "frame"),
                                            frames.frames_per_episode));
  }
}

}  // namespace

absl::StatusOr<MadeDataset> ImportTrajectories(const ImportTrajectoriesOptions& options,
                                               const std::string& data_dir) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<TrajectoryReader> reader,
                        TrajectoryReader::Open(options.file, options.reader));
  ALLO_ASSIGN_OR_RETURN(const Survey survey, SurveyFile(*reader, options.file));
  ALLO_RETURN_IF_ERROR(CheckSurvey(options, *reader, survey));
  MadeDataset made;
  Manifest& manifest = made.manifest;
  ALLO_ASSIGN_OR_RETURN(manifest, Describe(options, survey));
  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock,
                        LockToMake(folder, {options.file}, options.replace, made));
  if (made.existed) return made;
  DatasetWriter writer(folder, NarrowestType(manifest.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  const int64_t episodes = reader->episodes();
  int64_t without_frames = 0;
  for (int64_t i = 0; i < episodes; ++i) {
    const bool heldout =
        episodes < kHeldoutEvery ? i == episodes - 1 : i % kHeldoutEvery == kHeldoutEvery - 1;
    ALLO_ASSIGN_OR_RETURN(const Trajectory t, reader->Read(i));
    ALLO_ASSIGN_OR_RETURN(const int64_t left_out,
                          Append(t, manifest, heldout ? "heldout" : "train", writer));
    manifest.frames->frames_left_out += left_out;
    without_frames += left_out == t.steps() ? 1 : 0;
  }
  ALLO_RETURN_IF_ERROR(reader->CheckUnchanged());
  ALLO_RETURN_IF_ERROR(CheckSplits(writer, options, manifest));
  manifest.documents =
      (writer.tokens("train") + writer.tokens("heldout")) / manifest.frames->tokens_per_episode();
  Report(*reader, without_frames, made);
  ALLO_ASSIGN_OR_RETURN(manifest, writer.Finish(std::move(manifest)));
  return made;
}

}  // namespace allometry::data
