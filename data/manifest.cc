#include "data/manifest.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "data/manifest_check.h"
#include "data/union.h"

namespace allometry::data {
namespace {

using Json = nlohmann::ordered_json;

// The beginning of what may be megabytes.
std::string ShortDump(const Json& json) {
  constexpr size_t kLongest = 100;
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kLongest) return text;
  return absl::StrCat(text.substr(0, kLongest), "...");
}

// Reads the fields of one JSON object, each once; Finish names those that nobody asked for.
class FieldReader {
 public:
  FieldReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) Fail(where_, "is not an object");
  }

  void Read(const char* name, std::string& to) {
    if (const Json* value = Find(name, "a string", &Json::is_string)) to = *value;
  }
  void Read(const char* name, DatasetKind& to) {
    std::string text;
    Read(name, text);
    if (!status_.ok()) return;
    if (const DatasetKindRow* row = FindDatasetKind(text); row != nullptr) {
      to = row->kind;
    } else {
      Fail(Path(name), absl::StrFormat("is '%s': allowed are %s", text,
                                       absl::StrJoin(DatasetKinds(), ", ",
                                                     [](std::string* out, const auto& kind) {
                                                       absl::StrAppend(out, kind.name);
                                                     })));
    }
  }
  void Read(const char* name, int64_t& to, int64_t smallest) {
    const Json* value = Find(name, "an integer", &Json::is_number_integer);
    if (value == nullptr) return;
    to = *value;
    if (to < smallest)
      Fail(Path(name), absl::StrFormat("is %d: allowed is %d or more", to, smallest));
  }
  void Read(const char* name, std::vector<std::string>& to) {
    const Json* value = Find(name, "a list of strings", &Json::is_array);
    if (value == nullptr) return;
    for (const Json& element : *value) {
      if (!element.is_string()) return Fail(Path(name), "is not a list of strings");
      to.push_back(element);
    }
  }
  void Read(const char* name, double& to) {
    if (const Json* value = Find(name, "a number", &Json::is_number)) to = *value;
  }
  template <class ReadObject>
  void ReadObjectField(const char* name, ReadObject read) {
    const Json* value = Find(name, "an object", &Json::is_object);
    if (value == nullptr) return;
    const absl::Status status = read(*value);
    if (status_.ok()) status_ = status;
  }
  // Whether an optional field is there; it is a known one either way.
  bool Has(const char* name) {
    known_.emplace_back(name);
    return status_.ok() && object_.contains(name);
  }
  // Calls read(element, "name[i]") for each object of a list.
  template <class ReadElement>
  void ReadList(const char* name, ReadElement read) {
    const Json* value = Find(name, "a list", &Json::is_array);
    if (value == nullptr) return;
    for (size_t i = 0; i < value->size(); ++i) {
      const absl::Status status = read((*value)[i], absl::StrFormat("%s[%d]", Path(name), i));
      if (status_.ok()) status_ = status;
    }
  }

  absl::Status Finish() {
    if (!status_.ok()) return status_;
    for (const auto& [name, value] : object_.items()) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        Fail(Path(name), absl::StrCat("is not a field: allowed are ", absl::StrJoin(known_, ", ")));
      }
    }
    return status_;
  }

 private:
  std::string Path(const std::string& name) const {
    return where_.empty() ? name : absl::StrCat(where_, ".", name);
  }
  void Fail(absl::string_view what, absl::string_view why) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(what, " ", why));
  }
  const Json* Find(const char* name, const char* wanted, bool (Json::*is_wanted)() const noexcept) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) known_.emplace_back(name);
    if (!status_.ok()) return nullptr;
    const auto found = object_.find(name);
    if (found == object_.end()) {
      Fail(Path(name), "is missing");
      return nullptr;
    }
    if (!((*found).*is_wanted)()) {
      Fail(Path(name), absl::StrCat("is ", ShortDump(*found), ", not ", wanted));
      return nullptr;
    }
    return &*found;
  }

  const Json& object_;
  std::string where_;
  std::vector<std::string> known_;
  absl::Status status_;
};

// Bytes as the characters U+0000 to U+00FF, in UTF-8, and back.
std::string CharactersOfBytes(const std::string& bytes) {
  std::string characters;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      characters += c;
    } else {
      characters += static_cast<char>(0xc0 | byte >> 6);
      characters += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return characters;
}

absl::StatusOr<std::string> BytesOfCharacters(const std::string& characters) {
  std::string bytes;
  for (size_t i = 0; i < characters.size(); ++i) {
    const auto lead = static_cast<uint8_t>(characters[i]);
    if (lead < 0x80) {
      bytes += characters[i];
    } else if ((lead == 0xc2 || lead == 0xc3) && i + 1 < characters.size()) {
      bytes += static_cast<char>((lead & 0x03) << 6 | (characters[++i] & 0x3f));
    } else {
      return absl::InvalidArgumentError("has a character above U+00FF, which is not a byte");
    }
  }
  return bytes;
}

absl::Status ReadShard(const Json& json, const std::string& where, Shard& shard) {
  FieldReader fields(json, where);
  fields.Read("file", shard.file);
  fields.Read("split", shard.split);
  fields.Read("dtype", shard.dtype);
  fields.Read("tokens", shard.tokens, 0);
  fields.Read("bytes", shard.bytes, 1);
  fields.Read("hash", shard.hash);
  if (fields.Has("role")) fields.Read("role", shard.role);
  return fields.Finish();
}

absl::Status ReadSegment(const Json& json, const std::string& where, VocabularySegment& segment) {
  FieldReader fields(json, where);
  fields.Read("name", segment.name);
  fields.Read("begin", segment.begin, 0);
  fields.Read("end", segment.end, 1);
  return fields.Finish();
}

absl::Status ReadFrames(const Json& json, Frames& frames) {
  FieldReader fields(json, "frames");
  fields.Read("tokens_per_observation", frames.tokens_per_observation, 1);
  fields.Read("tokens_per_action", frames.tokens_per_action, 0);
  fields.Read("frames_per_episode", frames.frames_per_episode, 1);
  fields.Read("frames_left_out", frames.frames_left_out, 0);
  fields.Read("image_height", frames.image_height, 0);
  fields.Read("image_width", frames.image_width, 0);
  fields.Read("image_channels", frames.image_channels, 0);
  if (fields.Has("tokens_per_outcome")) {
    fields.Read("tokens_per_outcome", frames.tokens_per_outcome, 0);
  }
  return fields.Finish();
}

absl::Status ReadReturns(const Json& json, Returns& returns) {
  FieldReader fields(json, "returns");
  fields.Read("expert", returns.expert);
  fields.Read("random", returns.random);
  return fields.Finish();
}

absl::Status ReadEntropy(const Json& json, const std::string& where, Entropy& entropy) {
  FieldReader fields(json, where);
  fields.Read("frames", entropy.frames, 1);
  fields.Read("nats_per_token", entropy.nats_per_token);
  fields.Read("standard_error", entropy.standard_error);
  return fields.Finish();
}

absl::Status ReadMember(const Json& json, const std::string& where, UnionMember& member) {
  FieldReader fields(json, where);
  fields.Read("name", member.name);
  fields.Read("hash", member.hash);
  fields.Read("unique_tokens", member.unique_tokens, 1);
  fields.Read("heldout_tokens", member.heldout_tokens, 1);
  return fields.Finish();
}

absl::StatusOr<Manifest> ManifestOf(const Json& json) {
  Manifest manifest;
  FieldReader fields(json, "");
  int64_t version = 0;
  fields.Read("version", version, 0);
  fields.Read("name", manifest.name);
  fields.Read("kind", manifest.kind);
  fields.Read("licence", manifest.licence);
  fields.Read("source", manifest.source);
  fields.Read("generator", manifest.generator);
  fields.Read("vocabulary", manifest.vocabulary, 1);
  fields.ReadList("segments", [&](const Json& element, const std::string& where) {
    return ReadSegment(element, where, manifest.segments.emplace_back());
  });
  fields.Read("tokenizer", manifest.tokenizer);
  fields.Read("tokenizer_hash", manifest.tokenizer_hash);
  fields.Read("token_bytes", manifest.token_bytes);
  fields.ReadList("shards", [&](const Json& element, const std::string& where) {
    return ReadShard(element, where, manifest.shards.emplace_back());
  });
  fields.Read("documents", manifest.documents, 0);
  fields.Read("unique_tokens", manifest.unique_tokens, 0);
  fields.Read("heldout_tokens", manifest.heldout_tokens, 0);
  if (fields.Has("unique_bytes")) fields.Read("unique_bytes", manifest.unique_bytes, 1);
  if (fields.Has("frames")) {
    fields.ReadObjectField("frames", [&](const Json& object) {
      return ReadFrames(object, manifest.frames.emplace());
    });
  }
  if (fields.Has("policy")) fields.Read("policy", manifest.policy);
  if (fields.Has("returns")) {
    fields.ReadObjectField("returns", [&](const Json& object) {
      return ReadReturns(object, manifest.returns.emplace());
    });
  }
  if (fields.Has("entropies")) {
    fields.ReadList("entropies", [&](const Json& element, const std::string& where) {
      return ReadEntropy(element, where, manifest.entropies.emplace_back());
    });
  }
  if (fields.Has("members")) {
    fields.ReadList("members", [&](const Json& element, const std::string& where) {
      return ReadMember(element, where, manifest.members.emplace_back());
    });
  }
  // Before the fields: a newer version may have others.
  if (version > 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("version is %d: this program reads version 1", version));
  }
  ALLO_RETURN_IF_ERROR(fields.Finish());
  for (std::string& bytes : manifest.token_bytes) {
    absl::StatusOr<std::string> decoded = BytesOfCharacters(bytes);
    if (!decoded.ok()) return Annotate(decoded.status(), "token_bytes");
    bytes = *std::move(decoded);
  }
  ALLO_RETURN_IF_ERROR(CheckManifest(manifest));
  return manifest;
}

// Those that say something: the files of datasets without them stay as they were, byte for byte.
void AddOptionalFields(const Manifest& manifest, Json& json) {
  if (manifest.unique_bytes > 0) json["unique_bytes"] = manifest.unique_bytes;
  if (manifest.frames.has_value()) {
    const Frames& frames = *manifest.frames;
    json["frames"] = Json({{"tokens_per_observation", frames.tokens_per_observation},
                           {"tokens_per_action", frames.tokens_per_action},
                           {"frames_per_episode", frames.frames_per_episode},
                           {"frames_left_out", frames.frames_left_out},
                           {"image_height", frames.image_height},
                           {"image_width", frames.image_width},
                           {"image_channels", frames.image_channels}});
    if (frames.tokens_per_outcome > 0) {
      json["frames"]["tokens_per_outcome"] = frames.tokens_per_outcome;
    }
  }
  if (!manifest.policy.empty()) json["policy"] = manifest.policy;
  if (manifest.returns.has_value()) {
    json["returns"] =
        Json({{"expert", manifest.returns->expert}, {"random", manifest.returns->random}});
  }
  for (const Entropy& entropy : manifest.entropies) {
    json["entropies"].push_back(Json({{"frames", entropy.frames},
                                      {"nats_per_token", entropy.nats_per_token},
                                      {"standard_error", entropy.standard_error}}));
  }
  for (const UnionMember& member : manifest.members) {
    json["members"].push_back(Json({{"name", member.name},
                                    {"hash", member.hash},
                                    {"unique_tokens", member.unique_tokens},
                                    {"heldout_tokens", member.heldout_tokens}}));
  }
}

}  // namespace

absl::StatusOr<Manifest> ParseManifest(absl::string_view json) {
  ALLO_RETURN_IF_ERROR(CheckJsonShape(json));
  Json parsed;
  try {
    parsed = Json::parse(json.begin(), json.end());
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", error.what()));
  }
  ALLO_ASSIGN_OR_RETURN(Manifest manifest, ManifestOf(parsed));
  manifest.hash = HashHex(json);
  if (manifest.kind == DatasetKind::kUnion) manifest.hash = UnionHashOf(manifest);
  return manifest;
}

std::string ManifestJson(const Manifest& manifest) {
  Json json;
  json["version"] = manifest.version;
  json["name"] = manifest.name;
  json["kind"] = RowOf(manifest.kind).name;
  json["licence"] = manifest.licence;
  json["source"] = manifest.source;
  json["generator"] = manifest.generator;
  json["vocabulary"] = manifest.vocabulary;
  json["segments"] = Json::array();
  for (const VocabularySegment& segment : manifest.segments) {
    json["segments"].push_back(
        Json({{"name", segment.name}, {"begin", segment.begin}, {"end", segment.end}}));
  }
  json["tokenizer"] = manifest.tokenizer;
  json["tokenizer_hash"] = manifest.tokenizer_hash;
  json["token_bytes"] = Json::array();
  for (const std::string& bytes : manifest.token_bytes) {
    json["token_bytes"].push_back(CharactersOfBytes(bytes));
  }
  json["shards"] = Json::array();
  for (const Shard& shard : manifest.shards) {
    json["shards"].push_back(Json({{"file", shard.file},
                                   {"split", shard.split},
                                   {"dtype", shard.dtype},
                                   {"tokens", shard.tokens},
                                   {"bytes", shard.bytes},
                                   {"hash", shard.hash}}));
    if (shard.role != "tokens") json["shards"].back()["role"] = shard.role;
  }
  json["documents"] = manifest.documents;
  json["unique_tokens"] = manifest.unique_tokens;
  json["heldout_tokens"] = manifest.heldout_tokens;
  AddOptionalFields(manifest, json);
  // Text that is not UTF-8 (a source's path, say) is written with replacement characters.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool IsGenerated(absl::string_view name) {
  return absl::StrContains(name, ':') && name.size() <= 512 && absl::ascii_isalpha(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains(":=,._-", c);
         });
}

bool IsExternal(absl::string_view name) { return absl::StartsWith(name, kExternal); }

absl::Status CheckDatasetName(absl::string_view name) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  };
  if (!name.empty() && name.size() <= 128 && name[0] != '.' && name[0] != '-' &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "name '%s': allowed are up to 128 letters, digits, '.', '_' and '-', not '.' or '-' first",
      name));
}

std::string TokenizerHash(const std::string& tokenizer,
                          const std::vector<std::string>& token_bytes) {
  std::string text = absl::StrCat(tokenizer, "\n");
  for (const std::string& bytes : token_bytes) absl::StrAppend(&text, bytes.size(), ":", bytes);
  return HashHex(text);
}

std::vector<VocabularySegment> ActionSegments(const Manifest& manifest) {
  std::vector<VocabularySegment> found;
  for (const VocabularySegment& segment : manifest.segments) {
    if (absl::StartsWith(segment.name, "action:")) found.push_back(segment);
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  return found;
}

std::vector<VocabularySegment> SegmentsAfterObservation(const Manifest& manifest) {
  std::vector<VocabularySegment> found = ActionSegments(manifest);
  if (auto outcome = FindSegment(manifest, "outcome")) found.push_back(*std::move(outcome));
  return found;
}

std::optional<VocabularySegment> FindSegment(const Manifest& manifest, absl::string_view name) {
  for (const VocabularySegment& segment : manifest.segments) {
    if (segment.name == name) return segment;
  }
  return std::nullopt;
}

int64_t ActionVocabulary(const Manifest& manifest) {
  int64_t ids = 0;
  for (const VocabularySegment& segment : ActionSegments(manifest))
    ids += segment.end - segment.begin;
  return ids;
}

int64_t WindowsPerEpoch(int64_t train_tokens, int64_t context) {
  return train_tokens < 1 || context < 1 ? 0 : (train_tokens - 1) / context;
}

int64_t WindowsPerEpoch(const Manifest& manifest, int64_t tokens, int64_t context) {
  if (!manifest.frames.has_value()) return WindowsPerEpoch(tokens, context);
  const int64_t frame = manifest.frames->tokens_per_frame();
  if (context < 1 || frame < 1 || context % frame != 0) return 0;
  const int64_t episodes = tokens / manifest.frames->tokens_per_episode();
  return episodes * (manifest.frames->frames_per_episode / (context / frame));
}

double Epochs(const Manifest& manifest, int64_t windows, int64_t context) {
  if (manifest.kind == DatasetKind::kUnion) return UnionEpochs(manifest, windows, context);
  if (manifest.kind == DatasetKind::kGenerated) return 1;
  const int64_t epoch = WindowsPerEpoch(manifest, manifest.unique_tokens, context);
  if (epoch < 1) return std::numeric_limits<double>::infinity();
  return static_cast<double>(windows) / static_cast<double>(epoch);
}

}  // namespace allometry::data
