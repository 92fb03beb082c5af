#include "coordinator/sweep/trainer_section.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "coordinator/sweep/json_object.h"
#include "data/manifest.h"
#include "nlohmann/json.hpp"
#include "run/placeholders.h"
#include "run/trainer_rules.h"

namespace allometry::sweep {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostFiles = 200;
constexpr absl::string_view kCapabilities[] = {"resume", "branch", "evaluation_steps"};

bool IsVariableName(const std::string& name) {
  return !name.empty() && !absl::ascii_isdigit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

bool IsPathBelow(const std::string& path) {
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return path.find('\n') == path.npos;
}

bool IsDatasetWord(const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

class TrainerReader {
 public:
  TrainerReader(absl::Span<const Section> sections, SweepFile& file, Mistakes& mistakes)
      : sections_(sections), file_(file), mistakes_(mistakes) {}

  void Read(const Field& trainer) {
    const Fields fields(trainer, "trainer", sections_, mistakes_);
    TrainerChoice& choice = file_.trainer.emplace();
    choice.line = trainer.line;
    if (!trainer.node.IsMap()) return;
    MakeExamples();
    if (const auto command =
            fields.Require("command", "program and arguments, such as [python3, train.py]")) {
      choice.trainer.command = {ReadCommand(*command).dump()};
    }
    if (const auto env = fields.Find("env")) {
      const Json environment = ReadEnvironment(*env);
      if (!environment.empty()) choice.trainer.environment = {environment.dump()};
    }
    if (const auto args = fields.Find("args")) {
      const Json read = ReadObject(*args, "names and values for the command", mistakes_);
      if (!read.empty()) choice.trainer.args = {read.dump()};
      CheckPlaceholders(args->line, {read.dump()}, /*of_process=*/false);
    }
    if (const auto folder = fields.Find("working_dir")) {
      choice.working_dir = ReadText(*folder, mistakes_).value_or("");
    }
    if (const auto files = fields.Find("files")) ReadFiles(*files, choice);
    if (const auto capabilities = fields.Find("capabilities")) ReadCapabilities(*capabilities);
    if (const auto describe = fields.Find("describe_command")) ReadDescribe(*describe, choice);
    fields.Real("describe_seconds", {0, 3600, /*open_low=*/true}, &choice.describe_seconds);
    if (const auto measure = fields.Find("measure")) {
      const Fields measured(*measure, "trainer.measure", sections_, mistakes_);
      measured.Real("seconds", {1, 3600}, &choice.measure_seconds);
    }
  }

 private:
  // One set of values for each size; names are what counts.
  void MakeExamples() {
    for (const SizeChoice& size : file_.sizes) {
      run::RunSpec spec;
      const models::Shape shape = {.family = file_.family};
      spec.identity.trainer.size = SizeJson(size, shape, 1, 1, 1);
      examples_.emplace_back(size.label, run::ValuesOf(spec, "/run", "/data"));
      run::PlaceholderValues& of_process = process_examples_.emplace_back(examples_.back()).second;
      run::AddPlace({}, of_process);
    }
  }

  // `args` are one for all processes: run.json has them.
  void CheckPlaceholders(int line, const run::JsonText& text, bool of_process = true) {
    for (const auto& [label, values] : of_process ? process_examples_ : examples_) {
      const auto replaced = run::ReplaceInJson(text, values);
      if (replaced.ok()) continue;
      const bool of_size = absl::StrContains(replaced.status().message(), "placeholder {size.");
      mistakes_.Add(line, absl::StrCat(of_size ? absl::StrCat("size ", label, ": ") : "",
                                       replaced.status().message()));
      if (!of_size) return;
    }
  }

  Json ReadCommand(const Field& command) {
    Json json = Json::array();
    for (const Field& item : ReadList(command, "[python3, train.py]", kMostEntries, mistakes_)) {
      const auto text = ReadText(item, mistakes_);
      if (!text) continue;
      if (json.empty() && text->empty()) {
        mistakes_.Add(item.line, "command begins with an empty word: a program is expected");
      }
      json.push_back(*text);
      CheckPlaceholders(item.line, run::JsonString(*text));
    }
    return json;
  }

  // It is started before there is a run: of placeholders it has those of its size.
  void ReadDescribe(const Field& describe, TrainerChoice& choice) {
    choice.describe_line = describe.line;
    if (file_.family != run::kExternalFamily) {
      mistakes_.Add(describe.line,
                    "describe_command says what a row of model.table leaves out, and "
                    "the file has no model.table");
      return;
    }
    for (const Field& item : ReadList(describe, "[python3, train.py, --describe, \"{size.label}\"]",
                                      kMostEntries, mistakes_)) {
      const auto text = ReadText(item, mistakes_);
      if (!text) continue;
      if (choice.describe_command.empty() && text->empty()) {
        mistakes_.Add(item.line,
                      "describe_command begins with an empty word: a program is expected");
      }
      choice.describe_command.push_back(*text);
      for (const SizeChoice& size : file_.sizes) {
        const auto replaced = run::Replace(*text, DescribedValues(size));
        if (replaced.ok()) continue;
        mistakes_.Add(item.line, absl::StrCat("describe_command for size ", size.label, ": ",
                                              replaced.status().message()));
        break;
      }
    }
  }

  Json ReadEnvironment(const Field& env) {
    Json json = Json::object();
    if (!IsMapOf(env, "names and values of variables, such as {OMP_NUM_THREADS: \"1\"}", mistakes_))
      return json;
    for (const Field& entry : ReadTable(env, kMostEntries, mistakes_)) {
      if (!IsVariableName(entry.name) || absl::StartsWith(entry.name, "ALLOMETRY_")) {
        mistakes_.Add(entry.line,
                      absl::StrFormat("env %s is not a variable's name: allowed are letters, "
                                      "digits and _, no digit first, and not ALLOMETRY_...",
                                      absl::CHexEscape(entry.name)));
        continue;
      }
      const auto text = ReadText(entry, mistakes_);
      if (!text) continue;
      json[entry.name] = *text;
      CheckPlaceholders(entry.line, run::JsonString(*text));
    }
    return json;
  }

  void ReadFiles(const Field& files, TrainerChoice& choice) {
    choice.files_line = files.line;
    for (const Field& item : ReadList(files, "[train.py, model.py]", kMostFiles, mistakes_)) {
      const auto text = ReadText(item, mistakes_);
      if (!text) continue;
      if (!IsPathBelow(*text)) {
        mistakes_.Add(item.line,
                      absl::StrFormat("files %s: allowed are paths below working_dir, without '..'",
                                      absl::CHexEscape(*text)));
      } else if (std::count(choice.files.begin(), choice.files.end(), *text) > 0) {
        mistakes_.Add(item.line, absl::StrFormat("files %s is given twice", *text));
      } else {
        choice.files.push_back(*text);
      }
    }
  }

  void ReadCapabilities(const Field& capabilities) {
    Json json = Json::array();
    if (!capabilities.node.IsSequence() || capabilities.node.size() > 0) {
      for (const Field& item :
           ReadList(capabilities, "[resume, branch, evaluation_steps]", 3, mistakes_)) {
        if (const auto word = ReadChoice(item, kCapabilities, mistakes_)) json.push_back(*word);
      }
    }
    std::sort(json.begin(), json.end());
    const std::set<Json> distinct(json.begin(), json.end());
    // All of them is what a command without the key can do.
    if (distinct.size() < std::size(kCapabilities)) {
      file_.trainer->trainer.capabilities = {Json(distinct).dump()};
    }
  }

  const absl::Span<const Section> sections_;
  SweepFile& file_;
  Mistakes& mistakes_;
  std::vector<std::pair<std::string, run::PlaceholderValues>> examples_, process_examples_;
};

}  // namespace

void ReadExternalDataset(const Field& dataset, absl::Span<const Section> sections, SweepFile& file,
                         Mistakes& mistakes) {
  const Fields fields(dataset, "dataset", sections, mistakes);
  file.dataset_line = dataset.line;
  const auto word = [&](const Field& field) -> std::string {
    const auto text = ReadText(field, mistakes);
    if (!text) return "";
    if (IsDatasetWord(*text)) return *text;
    mistakes.Add(field.line,
                 absl::StrFormat("%s '%s': allowed are 1 to 64 letters, digits, . _ and -",
                                 field.name, absl::CHexEscape(text->substr(0, 80))));
    return "";
  };
  const auto name = fields.Require("external", "the name of the data that the trainer reads");
  const auto tokens = fields.Require("tokens", "how many different tokens there are to train on");
  std::string text = absl::StrCat(data::kExternal, name ? word(*name) : "");
  if (tokens) {
    const int64_t count = ReadInteger(*tokens, {2, 9e15}, mistakes).value_or(0);
    absl::StrAppend(&text, ",tokens=", count);
  }
  if (const auto heldout = fields.Find("heldout")) {
    absl::StrAppend(&text, ",heldout=", word(*heldout));
  }
  file.dataset = std::move(text);
}

void ReadTrainer(const Field& trainer, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes) {
  TrainerReader(sections, file, mistakes).Read(trainer);
}

void ReadSubmitted(const Field& submitted, absl::Span<const Section> sections, SweepFile& file,
                   Mistakes& mistakes) {
  const Fields fields(submitted, "submitted", sections, mistakes);
  if (!file.trainer || !submitted.node.IsMap()) return;
  run::Trainer& trainer = file.trainer->trainer;
  if (const auto folder = fields.Require("working_dir", "where the command starts")) {
    trainer.working_dir = ReadText(*folder, mistakes).value_or("");
    if (!absl::StartsWith(trainer.working_dir, "/")) {
      mistakes.Add(folder->line, "submitted.working_dir is not an absolute path");
    }
  }
  const auto hashes = fields.Find("files");
  const Json read = hashes ? ReadObject(*hashes, "hashes by file", mistakes) : Json::object();
  Json files = Json::object();
  for (const std::string& name : file.trainer->files) {
    const auto found = read.find(name);
    if (found == read.end() || !found->is_string()) {
      mistakes.Add(submitted.line,
                   absl::StrFormat("submitted.files has no hash of %s: 'allo submit' makes this "
                                   "section anew where it is left out",
                                   name));
    } else {
      files[name] = *found;
    }
  }
  if (!files.empty()) trainer.files = {files.dump()};
  if (const auto sizes = fields.Find("sizes")) {
    ReadDescribedSizes(*sizes, sections, file, mistakes);
  }
  for (const SizeChoice& size : file.sizes) {
    if (size.row && size.params == 0) {
      mistakes.Add(submitted.line,
                   absl::StrFormat("submitted.sizes has no params of size %s: 'allo submit' makes "
                                   "this section anew where it is left out",
                                   size.label));
    }
  }
}

void CheckWithTrainer(const SweepFile& file, Mistakes& mistakes) {
  if (!file.trainer) {
    constexpr char kNeeds[] =
        "needs the section trainer: allo-trainer can neither build nor read it";
    if (file.family == run::kExternalFamily) {
      mistakes.Add(file.model_line, absl::StrCat("model.table ", kNeeds));
    }
    if (data::IsExternal(file.dataset)) {
      mistakes.Add(file.dataset_line, absl::StrCat("dataset.external ", kNeeds));
    }
    return;
  }
  const TrainerChoice& choice = *file.trainer;
  if (data::IsExternal(file.dataset) && file.family != run::kExternalFamily &&
      file.vocabulary == 0) {
    mistakes.Add(
        file.model_line,
        "model is missing: vocabulary, the ids that the models of sizes, shapes or presets "
        "have: of an external dataset it is not known (a table needs none)");
  }
  if (file.tokenizer) {
    mistakes.Add(choice.line,
                 "trainer and tokenizer are both given: the tokens of a tokenizer run are read by "
                 "allo-trainer alone");
  }
  if (!run::CanDo(choice.trainer, "evaluation_steps") &&
      file.schedule.kind == run::Schedule::kConstant && (file.budgets.size() > 1 || file.ladder)) {
    mistakes.Add(choice.line,
                 absl::StrFormat("trainer.capabilities without evaluation_steps: under schedule "
                                 "constant a run serves all its budgets, and this one could be "
                                 "evaluated only at its end: one budget is allowed, or schedule "
                                 "cosine or wsd"));
  }
}

}  // namespace allometry::sweep
