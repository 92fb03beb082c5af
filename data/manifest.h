// dataset.json: what a dataset is. A run pins it by the hash of its bytes.
//
//   DATA_DIR/gcide-char/dataset.json
//   DATA_DIR/gcide-char/train-00000.npy      u8, u16 or u32, C order, one dimension
//   DATA_DIR/gcide-char/heldout-00000.npy
//
// A text dataset is one sequence of tokens a split. A trajectory dataset is episodes of frames, all
// of the same length; a frame is an observation's tokens, then an action's, then, where the dataset
// has them, that of the action's outcome (outcome.h):
//
//   z_1 .. z_{tokens_per_observation}, a_1 .. a_{tokens_per_action}, e, z_1 ..
//
// with ids from the segments "observation", "action:0", "action:1" ... and "outcome". A generated
// dataset has no shards: its `generator` is a text that data/generated.h makes any window from, on
// every machine. A union (union.h) has no file of its own: its manifest follows from those of its
// members, and its hash from theirs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/dataset_kind.h"

namespace allometry::data {

struct Shard {
  std::string file;   // relative to the manifest's folder, no '/' in it
  std::string split;  // "train" or "heldout"
  std::string dtype;  // "u8", "u16", "u32"
  // In a shard of images: frames; of actions: numbers.
  int64_t tokens = 0;
  int64_t bytes = 0;  // of the file
  std::string hash;   // HashFileHex
  // "tokens"; "images": u8 [frames, height, width, channels], frame by frame as the token shards of
  // the split; "actions": the actions alone, without the segments' offsets, tokens_per_action a
  // frame. Not in the file where it is "tokens".
  std::string role = "tokens";
};

// A named range of token ids; ranges never overlap.
struct VocabularySegment {
  std::string name;  // "text", "observation", "action:0"
  int64_t begin = 0;
  int64_t end = 0;  // exclusive
};

// What trajectories are made of.
struct Frames {
  int64_t tokens_per_observation = 0;
  int64_t tokens_per_action = 0;
  int64_t frames_per_episode = 0;  // of every episode; longer ones are cut when they are made
  int64_t frames_left_out = 0;     // by that cutting, over both splits
  int64_t image_height = 0;        // pixels; all three are 0 where there are no images
  int64_t image_width = 0;
  int64_t image_channels = 0;
  int64_t tokens_per_outcome = 0;  // 0 or 1

  int64_t tokens_per_frame() const {
    return tokens_per_observation + tokens_per_action + tokens_per_outcome;
  }
  int64_t tokens_per_episode() const { return frames_per_episode * tokens_per_frame(); }
};

// Mean return of an episode, measured.
struct Returns {
  double expert = 0;
  double random = 0;
};

// The least loss that a world model with a context of `frames` frames can have: the mean entropy of
// an observation token given what comes before it in its window, for windows that begin an episode
// (later ones differ a little: an agent that walks towards things is no longer anywhere).
struct Entropy {
  int64_t frames = 0;
  double nats_per_token = 0;
  double standard_error = 0;
};

// One of a union's datasets.
struct UnionMember {
  std::string name;
  std::string hash;           // of a generated one: of its text
  int64_t unique_tokens = 0;  // of its train split, less what the union's share leaves out
  int64_t heldout_tokens = 0;
};

struct Manifest {
  int version = 1;
  std::string name;
  DatasetKind kind = DatasetKind::kText;
  std::string licence;
  std::string source;     // what it was made from, with the source's hash
  std::string generator;  // command with its options, and version, that made it; see above
  int64_t vocabulary = 0;
  std::vector<VocabularySegment> segments;
  std::string tokenizer;  // "chars"
  std::string tokenizer_hash;
  // For text, the bytes of each id; empty where the tokenizer is not ours. In the file every byte
  // is the character of that number (U+0000 to U+00FF), so that any bytes are valid JSON.
  std::vector<std::string> token_bytes;
  std::vector<Shard> shards;
  int64_t documents = 0;
  int64_t unique_tokens = 0;  // tokens in the train split
  int64_t heldout_tokens = 0;
  // Fields below are in the file only where they say something. Episodes are `documents`.
  int64_t unique_bytes = 0;  // of text, that unique_tokens stand for, where they are not as many
  std::optional<Frames> frames;  // trajectories and generated datasets have them
  std::string policy;            // who acted: "mix3"
  std::optional<Returns> returns;
  std::vector<Entropy> entropies;
  std::vector<UnionMember> members;  // of a union, in the order of their turns; else empty

  std::string hash;  // HashHex of the file's bytes, or UnionHash; not a field of the file

  // Whether there is a folder with shards; otherwise windows are made while they are read.
  bool has_files() const { return RowOf(kind).has_files; }
};

inline constexpr char kManifestFile[] = "dataset.json";
inline constexpr char kTokenizerFile[] = "tokenizer.json";  // beside it, of byte pairs
inline constexpr char kTrajectoriesFile[] =
    "trajectories.hdf5";  // beside it, where it was asked for

// InvalidArgument names the field, its value and what was allowed: unknown and missing fields,
// overlapping segments, totals that are not the sums of the shards (manifest_check.h). Sets `hash`.
absl::StatusOr<Manifest> ParseManifest(absl::string_view json);
// The file's bytes: fields in the order above, indented. ParseManifest reads them back.
std::string ManifestJson(const Manifest& manifest);

// DATASET_DIR/dataset.json; errors carry the path.
absl::StatusOr<Manifest> ReadManifestFile(const std::string& dataset_dir);
// DATA_DIR/NAME/dataset.json. NotFound lists the datasets that are there and says how to make one.
absl::StatusOr<Manifest> ReadManifest(const std::string& data_dir, const std::string& name);
// A folder with a dataset.json below a data directory.
struct FoundDataset {
  std::string name;                   // of the folder
  absl::StatusOr<Manifest> manifest;  // or why it is no dataset
};
// All of them, by name, each judged alone; folders without a dataset.json are skipped. NotFound
// where `data_dir` does not exist.
absl::StatusOr<std::vector<FoundDataset>> FindDatasets(const std::string& data_dir);

// Whether a dataset's name is a generator's text (generated.h): up to 512 letters, digits and
// . _ - = , with a ':', which no folder's name has.
bool IsGenerated(absl::string_view name);

// Such a text that names a dataset which only the trainer reads: "external:...".
inline constexpr char kExternal[] = "external:";
bool IsExternal(absl::string_view name);

// Letters, digits, '.', '_' and '-', not starting with '.' or '-': a folder's name and nothing
// more. InvalidArgument otherwise.
absl::Status CheckDatasetName(absl::string_view name);

// Stored in tokenizer_hash: depends on the tokenizer's name and the bytes of every id.
std::string TokenizerHash(const std::string& tokenizer,
                          const std::vector<std::string>& token_bytes);

// The members that a union's windows come from: all of them, or that of only= in its name.
std::vector<UnionMember> MembersRead(const Manifest& manifest);
// Whether a union's members differ in their own tokens, so that only their images are common.
bool HasImagesAlone(const Manifest& manifest);

// The segments "action:0", "action:1", ..., in that order: side by side in the ids.
std::vector<VocabularySegment> ActionSegments(const Manifest& manifest);
std::optional<VocabularySegment> FindSegment(const Manifest& manifest, absl::string_view name);
// Those of all tokens of a frame after its observation, in their order.
std::vector<VocabularySegment> SegmentsAfterObservation(const Manifest& manifest);
// The ids of all action segments.
int64_t ActionVocabulary(const Manifest& manifest);

// Epochs are exact arithmetic. A training window is `context` inputs and their targets, shifted by
// one; windows do not overlap, so an epoch is floor((train_tokens - 1) / context) windows and
//   unique tokens seen = min(D, WindowsPerEpoch * context),   epochs = D / (WindowsPerEpoch *
//   context).
// 0 where not one window fits.
int64_t WindowsPerEpoch(int64_t train_tokens, int64_t context);
// The same for `tokens` of a dataset of any kind: of frames, the windows of whole frames inside
// episodes (window_source.h), 0 where `context` is not whole frames. A generated dataset has no
// end; ask Epochs.
int64_t WindowsPerEpoch(const Manifest& manifest, int64_t tokens, int64_t context);
// Passes over the train split after `windows` windows of `context` tokens: of a generated dataset
// 1, as it never repeats; of a union over that of the member that repeats most; infinite where the
// split has not one window.
double Epochs(const Manifest& manifest, int64_t windows, int64_t context);

}  // namespace allometry::data
