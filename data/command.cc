#include "data/command.h"

#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_format.h"
#include "data/command_output.h"
#include "data/command_trajectories.h"
#include "data/generated.h"
#include "data/import_bin.h"
#include "data/manifest.h"
#include "data/text.h"
#include "data/verify.h"

namespace allometry::data {
namespace {

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

Output Where(const Arguments& arguments) {
  return {.data_dir = arguments.data_dir, .json = arguments.json};
}

int MakeText(const Arguments& arguments) {
  const absl::StatusOr<MadeDataset> made = MakeTextDataset(arguments.text, arguments.data_dir);
  return made.ok() ? ReportMade(Where(arguments), *made) : Fail(made.status());
}

int ImportTokens(const Arguments& arguments) {
  const absl::StatusOr<MadeDataset> made = ImportBin(arguments.bin, arguments.data_dir);
  return made.ok() ? ReportMade(Where(arguments), *made) : Fail(made.status());
}

int List(const Arguments& arguments) {
  absl::StatusOr<std::vector<FoundDataset>> datasets = FindDatasets(arguments.data_dir);
  // A data directory that is not there yet holds no dataset.
  if (absl::IsNotFound(datasets.status())) datasets.emplace();
  if (!datasets.ok()) return Fail(datasets.status());
  // A bad neighbour is named, and the list is still a list.
  for (const FoundDataset& found : *datasets) {
    if (!found.manifest.ok()) Fail(found.manifest.status());
  }
  if (arguments.json) {
    Json json = Json::array();
    for (const FoundDataset& found : *datasets) {
      json.push_back(found.manifest.ok() ? ToJson(*found.manifest, arguments.data_dir)
                                         : Json({{"name", found.name},
                                                 {"error", found.manifest.status().message()}}));
    }
    Print(json);
    return 0;
  }
  if (datasets->empty()) {
    std::cout << "no datasets yet in " << arguments.data_dir
              << ": make one with 'allo data text FILE --name NAME' (see 'allo data --help')\n";
  }
  for (const FoundDataset& found : *datasets) {
    std::cout << absl::StreamFormat(
        "%-24s %s\n", found.name,
        found.manifest.ok() ? Summary(*found.manifest) : "is no dataset: see the error");
  }
  return 0;
}

int Describe(const Arguments& arguments) {
  Json json = Json::array();
  for (const std::string& name : arguments.names) {
    const absl::StatusOr<Manifest> manifest = FindManifest(arguments.data_dir, name);
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
  absl::StatusOr<std::vector<FoundDataset>> all = FindDatasets(arguments.data_dir);
  if (absl::IsNotFound(all.status())) all.emplace();
  ALLO_RETURN_IF_ERROR(all.status());
  std::vector<std::string> names;
  for (const FoundDataset& found : *all) names.push_back(found.name);
  return names;
}

absl::Status VerifyNamed(const std::string& data_dir, const std::string& name) {
  ALLO_ASSIGN_OR_RETURN(const Manifest manifest, FindManifest(data_dir, name));
  for (const UnionMember& member : manifest.members) {
    ALLO_RETURN_IF_ERROR(VerifyNamed(data_dir, member.name));
  }
  if (!manifest.has_files()) return absl::OkStatus();
  return VerifyDataset(absl::StrCat(data_dir, "/", name)).status();
}

int Verify(const Arguments& arguments) {
  const absl::StatusOr<std::vector<std::string>> names = NamesToVerify(arguments);
  if (!names.ok()) return Fail(names.status());
  Json json = Json::array();
  int exit_code = 0;
  for (const std::string& name : *names) {
    const absl::Status status = VerifyNamed(arguments.data_dir, name);
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
      ->required();
  command.add_option("--name", options.name, "the dataset's name")->required();
  command
      .add_option("--tokenizer", options.tokenizer,
                  "chars: one token a byte; bpe:N: byte pairs, N merges on 256 bytes")
      ->capture_default_str();
  command
      .add_option("--documents", options.documents,
                  "auto, dictd, paragraphs, lines, or jsonl:KEY for a field of JSON Lines: what "
                  "is deduplicated and held out")
      ->capture_default_str();
  command
      .add_option("--encoding", options.encoding,
                  "auto: bytes of text, and what is none is refused; utf-8, utf-16, utf-16le, "
                  "utf-16be, utf-32, latin-1, windows-1252: converted; bytes: any file as it is")
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
  command
      .add_option("--train", options.train,
                  "ids: raw (nanoGPT's train.bin), with llm.c's header, or a NumPy .npy")
      ->required();
  command.add_option("--heldout", options.heldout, "the same, of text that is never trained on")
      ->required();
  command
      .add_option("--dtype", options.dtype,
                  "of raw ids: u8, u16, u32, i32 or i64; auto: u16, or u32 for more than 65,536 "
                  "ids, refused where they do not look so")
      ->capture_default_str();
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
  const auto add_any = [&](const char* name, const char* help,
                           std::function<int(const Output&)> action) {
    CLI::App* command = data->add_subcommand(name, help);
    command->fallthrough();
    command->add_flag("--json", arguments->json, "print as JSON");
    command->callback([arguments, action, run, &app] {
      const CLI::Option* json = app.get_option_no_throw("--json");
      if (json != nullptr && json->count() > 0) arguments->json = true;
      *run = [arguments, action] { return action(Where(*arguments)); };
    });
    return command;
  };
  const auto add = [&](const char* name, const char* help, Action action) {
    return add_any(name, help, [arguments, action](const Output&) { return action(*arguments); });
  };
  AddTextOptions(*add("text", "make a dataset from text files", &MakeText), arguments->text);
  AddBinOptions(
      *add("import-bin", "make a dataset from files of token ids (.bin, .npy)", &ImportTokens),
      arguments->bin);
  AddTrajectoryCommands(add_any);
  add("list", "the datasets that are there", &List);
  add("describe", "what a dataset is", &Describe)
      ->add_option("names", arguments->names, "datasets, or texts as strata:universe=7")
      ->required();
  add("verify", "read every shard again and compare it with the manifest", &Verify)
      ->add_option("names", arguments->names, "datasets; none: all of them");
}

}  // namespace allometry::data
