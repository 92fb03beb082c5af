#include "data/import_trajectories.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/folder_lock.h"
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
  int64_t observation_tokens = 0;
  int64_t action_dimensions = 0;
  int64_t largest_observation = 0;
  int64_t largest_action = 0;
};

absl::StatusOr<Survey> Look(const TrajectoryReader& reader, const std::string& file) {
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
          absl::StrFormat("%s: episode_%d: observations of %d numbers and actions of %d, the first "
                          "episode's of %d and %d",
                          file, i, Numbers(t), t.action_dimensions, survey.observation_tokens,
                          survey.action_dimensions));
    }
    survey.shortest = std::min(survey.shortest, t.steps());
    for (const uint16_t value : t.observations) {
      survey.largest_observation = std::max<int64_t>(survey.largest_observation, value);
    }
    for (const int64_t value : t.actions) {
      if (value < 0) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "%s: episode_%d: actions has %d: allowed is 0 or more", file, i, value));
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
  manifest.kind = "trajectories";
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

}  // namespace

absl::StatusOr<Manifest> ImportTrajectories(const ImportTrajectoriesOptions& options,
                                            const std::string& data_dir, bool* existed) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<TrajectoryReader> reader,
                        TrajectoryReader::Open(options.file));
  ALLO_ASSIGN_OR_RETURN(const Survey survey, Look(*reader, options.file));
  if (options.frames < 0 || (options.frames == 0 && survey.shortest < 1) ||
      survey.observation_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the shortest episode has %d steps, an observation %d numbers, and %d frames an "
        "episode "
        "are asked for: allowed are 1 or more (0 frames: as many as the shortest has)",
        options.file, survey.shortest, survey.observation_tokens, options.frames));
  }
  ALLO_ASSIGN_OR_RETURN(Manifest manifest, Describe(options, survey));
  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_RETURN_IF_ERROR(MakeDirectories(folder));
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(folder));
  *existed = false;
  if (!options.replace) {
    ALLO_ASSIGN_OR_RETURN(*existed, HoldsDataset(folder, manifest));
    if (*existed) return ReadManifestFile(folder);
  }
  DatasetWriter writer(folder, NarrowestType(manifest.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  const int64_t episodes = reader->episodes();
  for (int64_t i = 0; i < episodes; ++i) {
    const bool heldout =
        episodes < kHeldoutEvery ? i == episodes - 1 : i % kHeldoutEvery == kHeldoutEvery - 1;
    ALLO_ASSIGN_OR_RETURN(const Trajectory t, reader->Read(i));
    ALLO_ASSIGN_OR_RETURN(const int64_t left_out,
                          Append(t, manifest, heldout ? "heldout" : "train", writer));
    manifest.frames->frames_left_out += left_out;
  }
  ALLO_RETURN_IF_ERROR(CheckSplits(writer, options, manifest));
  manifest.documents =
      (writer.tokens("train") + writer.tokens("heldout")) / manifest.frames->tokens_per_episode();
  return writer.Finish(std::move(manifest));
}

}  // namespace allometry::data
