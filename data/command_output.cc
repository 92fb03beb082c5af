#include "data/command_output.h"

#include <iostream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::data {
namespace {

void PrintFrames(const Manifest& manifest) {
  const Frames& frames = *manifest.frames;
  std::cout << absl::StreamFormat(
      "  frame      %d observation tokens and %d action tokens%s; %d frames an episode",
      frames.tokens_per_observation, frames.tokens_per_action,
      frames.tokens_per_outcome > 0 ? ", and the outcome" : "", frames.frames_per_episode);
  if (frames.frames_left_out > 0) {
    std::cout << ", " << Grouped(frames.frames_left_out) << " frames left out to cut them so";
  }
  std::cout << "\n";
  if (frames.image_height > 0) {
    std::cout << absl::StreamFormat("  image      %d x %d pixels, %d channels\n",
                                    frames.image_height, frames.image_width, frames.image_channels);
  }
  if (!manifest.policy.empty()) std::cout << "  policy     " << manifest.policy << "\n";
  if (manifest.returns.has_value()) {
    std::cout << absl::StreamFormat("  returns    expert %.4g, random %.4g an episode\n",
                                    manifest.returns->expert, manifest.returns->random);
  }
  for (const Entropy& entropy : manifest.entropies) {
    std::cout << absl::StreamFormat(
        "  entropy    %.5f +- %.5f nats an observation token, in the first %d frames of episodes\n",
        entropy.nats_per_token, entropy.standard_error, entropy.frames);
  }
}

}  // namespace

int Fail(const absl::Status& status) {
  std::cerr << "allo data: " << status.message() << "\n";
  const bool bad_input = absl::IsInvalidArgument(status) || absl::IsOutOfRange(status);
  return bad_input ? 2 : 1;
}

// The manifest's file with its hash and its folder.
Json ToJson(const Manifest& manifest, const std::string& data_dir) {
  Json json = Json::parse(ManifestJson(manifest));
  json["hash"] = manifest.hash;
  json["folder"] = absl::StrCat(data_dir, "/", manifest.name);
  return json;
}

void Print(const Json& json) {
  std::cout << json.dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
}

std::string Summary(const Manifest& manifest) {
  return absl::StrFormat("%s tokens to train on, %s held out, vocabulary %d, hash %s",
                         Grouped(manifest.unique_tokens), Grouped(manifest.heldout_tokens),
                         manifest.vocabulary, manifest.hash);
}

void PrintDescription(const Manifest& manifest, const std::string& data_dir) {
  std::cout << manifest.name << " (" << RowOf(manifest.kind).name << "), licence "
            << manifest.licence << "\n"
            << "  folder     "
            << (!manifest.members.empty() ? "those of its members"
                : !manifest.has_files()   ? "none: made while it is read"
                                          : absl::StrCat(data_dir, "/", manifest.name))
            << "\n"
            << "  source     " << manifest.source << "\n"
            << "  made by    " << manifest.generator << "\n"
            << "  train      " << Grouped(manifest.unique_tokens) << " tokens\n"
            << "  held out   " << Grouped(manifest.heldout_tokens) << " tokens\n"
            << "  documents  " << Grouped(manifest.documents) << "\n"
            << "  tokenizer  " << manifest.tokenizer << ", " << manifest.vocabulary << " ids, hash "
            << manifest.tokenizer_hash << "\n";
  for (const VocabularySegment& segment : manifest.segments) {
    std::cout << "  segment    " << segment.name << ": ids " << segment.begin << " to "
              << segment.end - 1 << "\n";
  }
  if (manifest.unique_bytes > 0) {
    std::cout << absl::StreamFormat(
        "  text       %s bytes to train on, %.3f a token\n", Grouped(manifest.unique_bytes),
        static_cast<double>(manifest.unique_bytes) / static_cast<double>(manifest.unique_tokens));
  }
  if (manifest.frames.has_value()) PrintFrames(manifest);
  for (const UnionMember& member : manifest.members) {
    std::cout << "  member     " << member.name << ": " << Grouped(member.unique_tokens)
              << " tokens to train on, " << Grouped(member.heldout_tokens) << " held out, hash "
              << member.hash << "\n";
  }
  for (const Shard& shard : manifest.shards) {
    std::cout << "  shard      " << shard.file << ": " << Grouped(shard.tokens) << " "
              << (shard.role == "tokens" ? "" : shard.role + " ") << "of " << shard.dtype
              << ", hash " << shard.hash << "\n";
  }
  std::string bytes;
  if (manifest.token_bytes.size() <= 256) {
    for (const std::string& token : manifest.token_bytes) bytes += token;
  }
  if (!bytes.empty()) std::cout << "  bytes      " << absl::CHexEscape(bytes) << "\n";
  std::cout << "  hash       " << manifest.hash << "\n";
}

int ReportMade(const Output& output, const MadeDataset& made) {
  const Manifest& manifest = made.manifest;
  if (output.json) {
    Json json = ToJson(manifest, output.data_dir);
    json["existed"] = made.existed;
    json["duplicates"] = made.duplicates;
    json["from"] = made.from;
    json["left_out"] = made.left_out;
    json["notes"] = made.notes;
    Print(json);
    return 0;
  }
  if (made.existed) {
    std::cout << "dataset " << manifest.name
              << " is there already, of the same source and options: nothing done\n";
  } else {
    std::cout << "made dataset " << manifest.name << " from " << made.from << "; left out: "
              << (made.left_out.empty() ? "nothing" : absl::StrJoin(made.left_out, ", ")) << "\n";
    for (const std::string& note : made.notes) std::cout << "  note: " << note << "\n";
  }
  std::cout << "  " << Summary(manifest) << "\n  in " << output.data_dir << "/" << manifest.name
            << "\n";
  return 0;
}

}  // namespace allometry::data
