#include "data/command.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "data/import_bin.h"
#include "data/manifest.h"
#include "data/text.h"
#include "data/verify.h"

namespace allometry::data {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string data_dir;
  bool json = false;
  TextOptions text;
  ImportBinOptions bin;
  std::vector<std::string> names;
};

std::string DefaultDataDir() {
  const char* data_dir = std::getenv("ALLO_DATA_DIR");
  if (data_dir != nullptr && *data_dir != '\0') return data_dir;
  const char* home = std::getenv("HOME");
  return absl::StrCat(home != nullptr ? home : ".", "/.local/share/allometry/data");
}

int Fail(const absl::Status& status) {
  std::cerr << "allo data: " << status.message() << "\n";
  const bool bad_input = absl::IsInvalidArgument(status) || absl::IsOutOfRange(status);
  return bad_input ? 2 : 1;
}

// "39,952,321".
std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
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

int ReportMade(const Arguments& arguments, const Manifest& manifest, bool existed,
               int64_t duplicates) {
  if (arguments.json) {
    Json json = ToJson(manifest, arguments.data_dir);
    json["existed"] = existed;
    json["duplicates"] = duplicates;
    Print(json);
    return 0;
  }
  if (existed) {
    std::cout << "dataset " << manifest.name
              << " is there already, of the same source and options: nothing done\n";
  } else {
    std::cout << "made dataset " << manifest.name << " from " << Grouped(manifest.documents)
              << " documents (" << Grouped(duplicates) << " duplicates left out)\n";
  }
  std::cout << "  " << Summary(manifest) << "\n  in " << arguments.data_dir << "/" << manifest.name
            << "\n";
  return 0;
}

int MakeText(const Arguments& arguments) {
  const absl::StatusOr<TextDataset> made = MakeTextDataset(arguments.text, arguments.data_dir);
  if (!made.ok()) return Fail(made.status());
  return ReportMade(arguments, made->manifest, made->existed, made->duplicates);
}

int ImportTokens(const Arguments& arguments) {
  bool existed = false;
  const absl::StatusOr<Manifest> made = ImportBin(arguments.bin, arguments.data_dir, &existed);
  if (!made.ok()) return Fail(made.status());
  return ReportMade(arguments, *made, existed, 0);
}

int List(const Arguments& arguments) {
  const absl::StatusOr<std::vector<Manifest>> datasets = ListDatasets(arguments.data_dir);
  if (!datasets.ok()) return Fail(datasets.status());
  if (arguments.json) {
    Json json = Json::array();
    for (const Manifest& manifest : *datasets) {
      json.push_back(ToJson(manifest, arguments.data_dir));
    }
    Print(json);
    return 0;
  }
  if (datasets->empty()) {
    std::cout << "no dataset in " << arguments.data_dir
              << ": make one with 'allo data text', see 'allo data text --help'\n";
  }
  for (const Manifest& manifest : *datasets) {
    std::cout << absl::StreamFormat("%-24s %s\n", manifest.name, Summary(manifest));
  }
  return 0;
}

void PrintFrames(const Manifest& manifest) {
  const Frames& frames = *manifest.frames;
  std::cout << absl::StreamFormat(
      "  frame      %d observation tokens and %d action tokens; %d frames an episode",
      frames.tokens_per_observation, frames.tokens_per_action, frames.frames_per_episode);
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
        "  entropy    %.5f +- %.5f nats an observation token, in windows of %d frames\n",
        entropy.nats_per_token, entropy.standard_error, entropy.frames);
  }
}

void PrintDescription(const Manifest& manifest, const std::string& data_dir) {
  std::cout << manifest.name << " (" << manifest.kind << "), licence " << manifest.licence << "\n"
            << "  folder     " << data_dir << "/" << manifest.name << "\n"
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
  if (manifest.frames.has_value()) PrintFrames(manifest);
  for (const Shard& shard : manifest.shards) {
    std::cout << "  shard      " << shard.file << ": " << Grouped(shard.tokens) << " "
              << (shard.role == "tokens" ? "" : shard.role + " ") << "of " << shard.dtype
              << ", hash " << shard.hash << "\n";
  }
  std::string bytes;
  for (const std::string& token : manifest.token_bytes) bytes += token;
  if (!bytes.empty()) std::cout << "  bytes      " << absl::CHexEscape(bytes) << "\n";
  std::cout << "  hash       " << manifest.hash << "\n";
}

int Describe(const Arguments& arguments) {
  Json json = Json::array();
  for (const std::string& name : arguments.names) {
    const absl::StatusOr<Manifest> manifest = ReadManifest(arguments.data_dir, name);
    if (!manifest.ok()) return Fail(manifest.status());
    if (arguments.json) {
      json.push_back(ToJson(*manifest, arguments.data_dir));
    } else {
      PrintDescription(*manifest, arguments.data_dir);
    }
  }
  if (arguments.json) Print(json);
  return 0;
}

// Names given, or every folder with a manifest.
absl::StatusOr<std::vector<std::string>> NamesToVerify(const Arguments& arguments) {
  if (!arguments.names.empty()) return arguments.names;
  ALLO_ASSIGN_OR_RETURN(const std::vector<Manifest> all, ListDatasets(arguments.data_dir));
  std::vector<std::string> names;
  for (const Manifest& manifest : all) names.push_back(manifest.name);
  return names;
}

int Verify(const Arguments& arguments) {
  const absl::StatusOr<std::vector<std::string>> names = NamesToVerify(arguments);
  if (!names.ok()) return Fail(names.status());
  Json json = Json::array();
  int exit_code = 0;
  for (const std::string& name : *names) {
    absl::Status status = ReadManifest(arguments.data_dir, name).status();
    if (status.ok()) status = VerifyDataset(absl::StrCat(arguments.data_dir, "/", name)).status();
    json.push_back(Json({{"name", name}, {"ok", status.ok()}, {"error", status.message()}}));
    if (!status.ok()) {
      exit_code = Fail(status);
    } else if (!arguments.json) {
      std::cout << name << ": every shard is as its manifest says\n";
    }
  }
  if (arguments.json) Print(json);
  return exit_code;
}

using Action = int (*)(const Arguments&);

void AddTextOptions(CLI::App& command, TextOptions& options) {
  command
      .add_option("files", options.inputs,
                  "text files, gzip too; a dictd dictionary (X.dict.dz beside X.index) gives its "
                  "entries as documents")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--name", options.name, "the dataset's name")->required();
  command.add_option("--tokenizer", options.tokenizer, "chars: one token a byte")
      ->capture_default_str();
  command
      .add_option("--documents", options.documents,
                  "auto, dictd, paragraphs or lines: what is deduplicated and held out")
      ->capture_default_str();
  command
      .add_option("--heldout", options.heldout_fraction,
                  "share of documents, by their hash, that is never trained on")
      ->capture_default_str();
  command.add_option("--max-bytes", options.max_bytes,
                     "stop after the document that passes this size; 0: everything");
  command.add_option("--licence", options.licence,
                     "the text's licence; known corpora say theirs, others are 'unknown'");
  command.add_flag("--replace", options.replace, "replace a dataset of that name");
}

void AddBinOptions(CLI::App& command, ImportBinOptions& options) {
  command.add_option("--name", options.name, "the dataset's name")->required();
  command.add_option("--train", options.train, "raw u16 ids (nanoGPT's train.bin)")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--heldout", options.heldout, "raw u16 ids (nanoGPT's val.bin)")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--vocabulary", options.vocabulary, "number of ids")->capture_default_str();
  command.add_option("--tokenizer", options.tokenizer, "its name")->capture_default_str();
  command.add_option("--licence", options.licence, "the text's licence")->capture_default_str();
  command.add_flag("--replace", options.replace, "replace a dataset of that name");
}

}  // namespace

void AddDataCommand(CLI::App& app, std::function<int()>* run) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->data_dir = DefaultDataDir();
  CLI::App* data = app.add_subcommand("data", "make, list, describe and verify datasets");
  data->require_subcommand(1);
  data->fallthrough();
  data->add_option("--data-dir", arguments->data_dir, "where datasets lie (ALLO_DATA_DIR)")
      ->capture_default_str();
  const auto add = [&](const char* name, const char* help, Action action) {
    CLI::App* command = data->add_subcommand(name, help);
    command->fallthrough();
    command->add_flag("--json", arguments->json, "print as JSON");
    command->callback([arguments, action, run, &app] {
      const CLI::Option* json = app.get_option_no_throw("--json");
      if (json != nullptr && json->count() > 0) arguments->json = true;
      *run = [arguments, action] { return action(*arguments); };
    });
    return command;
  };
  AddTextOptions(*add("text", "make a dataset from text files", &MakeText), arguments->text);
  AddBinOptions(*add("import-bin", "make a dataset from nanoGPT's .bin files", &ImportTokens),
                arguments->bin);
  add("list", "the datasets that are there", &List);
  add("describe", "what a dataset is", &Describe)
      ->add_option("names", arguments->names, "datasets")
      ->required();
  add("verify", "read every shard again and compare it with the manifest", &Verify)
      ->add_option("names", arguments->names, "datasets; none: all of them");
}

}  // namespace allometry::data
