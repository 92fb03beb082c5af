#include "data/command_trajectories.h"

#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data/import_trajectories.h"
#include "data/own_process.h"
#include "data/strata/entropy.h"
#include "data/strata_dataset.h"

namespace allometry::data {
namespace {

// Options of `allo data strata` that are keys of a spec, with what they mean.
constexpr struct {
  const char* key;
  const char* help;
} kSpecKeys[] = {
    {"universe", "number of the universe: library, rules and palette"},
    {"universes", "so many universes from that one on, an episode each in turn"},
    {"regime", "rich, noisy or small: sets library, movers and noise"},
    {"library", "prefabs there are, up to 1048576"},
    {"alpha", "the k-th commonest prefab has a chance ~ k^-(1 + alpha)"},
    {"movers", "share of prefabs with a mover"},
    {"noise", "share of movers that walk at random"},
    {"share", "share of the library that is common to universes"},
    {"policy", "expert, random, half or mix3"},
    {"view", "side of the view in cells: 16 or 8"},
    {"zo", "tokens an observation: 256, 64, 16; of view 8: 64, 16, 4"},
    {"frames", "frames an episode"},
    {"pixels", "side of the images: 2, 4 or 8 times the view; 0: no images"},
    {"outcomes", "1: frames end with a token of reward and end; 0: they do not"},
    {"seed", "another stream of episodes"},
};

struct StrataArguments {
  StrataOptions options;
  std::string spec;
  std::vector<std::string> values = std::vector<std::string>(std::size(kSpecKeys));
};

// Says on standard error, every few seconds, how far the entropy is: it can take minutes.
std::function<void(int64_t, double)> EntropyProgress() {
  auto last =
      std::make_shared<std::chrono::steady_clock::time_point>(std::chrono::steady_clock::now());
  return [last](int64_t windows, double standard_error) {
    const auto now = std::chrono::steady_clock::now();
    if (now - *last < std::chrono::seconds(2)) return;
    *last = now;
    std::cerr << "entropy: " << windows << " windows"
              << (standard_error > 0
                      ? absl::StrFormat(", standard error so far %.5f nats", standard_error)
                      : "")
              << std::endl;
  };
}

int MakeStrata(StrataArguments arguments, const Output& output) {
  std::string text = arguments.spec.empty() ? "strata:" : arguments.spec;
  std::vector<std::string> entries;
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    if (arguments.values[i].empty()) continue;
    entries.push_back(absl::StrCat(kSpecKeys[i].key, "=", arguments.values[i]));
  }
  if (!entries.empty() && text.back() != ':') text += ",";
  text += absl::StrJoin(entries, ",");
  const absl::StatusOr<strata::Spec> spec = strata::ParseSpec(text);
  if (!spec.ok()) return Fail(spec.status());
  arguments.options.spec = *spec;
  arguments.options.entropy_progress = EntropyProgress();
  const absl::StatusOr<MadeDataset> made = MakeStrataDataset(arguments.options, output.data_dir);
  return made.ok() ? ReportMade(output, *made) : Fail(made.status());
}

void AddStrata(const AddCommand& add) {
  const auto arguments = std::make_shared<StrataArguments>();
  CLI::App& command =
      *add("strata", "record the built-in world as a dataset",
           [arguments](const Output& output) { return MakeStrata(*arguments, output); });
  StrataOptions& options = arguments->options;
  command.add_option("--name", options.name, "the dataset's name")->required();
  command.add_option("--spec", arguments->spec, "strata:KEY=VALUE,...; or the options below");
  for (size_t i = 0; i < std::size(kSpecKeys); ++i) {
    command.add_option(absl::StrCat("--", kSpecKeys[i].key), arguments->values[i],
                       kSpecKeys[i].help);
  }
  command.add_option("--steps", options.steps, "frames in all, rounded up to whole episodes")
      ->capture_default_str();
  command.add_option(
      "--entropy", options.entropy_frames,
      "measure the least possible loss for windows of the first so many frames of episodes");
  command.add_flag("--hdf5", options.hdf5, "write trajectories.hdf5 too (Minari's layout)");
  command.add_flag("--replace", options.replace, "replace a dataset of that name");
}

struct EntropyArguments {
  std::string spec;
  strata::EntropyOptions options;
};

int MeasureEntropy(EntropyArguments arguments, const Output& output) {
  const absl::StatusOr<strata::Spec> spec = strata::ParseSpec(arguments.spec);
  if (!spec.ok()) return Fail(spec.status());
  const absl::Status status = CheckEntropy(*spec, arguments.options.frames);
  if (!status.ok()) return Fail(status);
  if (!(arguments.options.standard_error > 0)) {
    return Fail(absl::InvalidArgumentError(
        absl::StrFormat("--error %g: allowed is more than 0", arguments.options.standard_error)));
  }
  arguments.options.progress = EntropyProgress();
  const strata::EntropyEstimate e =
      strata::EstimateEntropy(strata::World(*spec), arguments.options);
  if (output.json) {
    Print(Json({{"spec", strata::SpecText(*spec)},
                {"frames", arguments.options.frames},
                {"nats_per_token", e.nats_per_token},
                {"standard_error", e.standard_error},
                {"first_token_nats", e.first_token_nats},
                {"frame_nats_per_token", e.frame_nats_per_token},
                {"action_nats", e.action_nats},
                {"action_standard_error", e.action_standard_error},
                {"windows", e.windows}}));
    return 0;
  }
  std::cout << strata::SpecText(*spec) << "\n"
            << absl::StreamFormat(
                   "  world model   %.5f +- %.5f nats an observation token, windows of %d frames\n",
                   e.nats_per_token, e.standard_error, arguments.options.frames)
            << "  by frame     ";
  for (const double nats : e.frame_nats_per_token) std::cout << absl::StreamFormat(" %.5f", nats);
  std::cout << absl::StreamFormat(
      " (the first with its first token: %.4f nats)\n"
      "  demonstrator  %.4f +- %.4f nats an action\n  from %d windows\n",
      e.first_token_nats, e.action_nats, e.action_standard_error, e.windows);
  return 0;
}

void AddEntropy(const AddCommand& add) {
  const auto arguments = std::make_shared<EntropyArguments>();
  CLI::App& command =
      *add("entropy", "the least loss that any model can have on the built-in world",
           [arguments](const Output& output) { return MeasureEntropy(*arguments, output); });
  command.add_option("spec", arguments->spec, "strata:KEY=VALUE,...")->required();
  command.add_option("--frames", arguments->options.frames, "of a window")->capture_default_str();
  command
      .add_option("--error", arguments->options.standard_error,
                  "standard error to reach, in nats a token")
      ->capture_default_str();
}

// The HDF5 library believes what a file says of its own tables, and may not survive a damaged one.
absl::StatusOr<MadeDataset> Import(const ImportTrajectoriesOptions& options,
                                   const std::string& data_dir) {
  const absl::StatusOr<std::string> told =
      InItsOwnProcess(absl::StrCat(options.file, ": the HDF5 library"), [&] {
        const absl::StatusOr<MadeDataset> made = ImportTrajectories(options, data_dir);
        Json json = {{"code", static_cast<int>(made.status().code())},
                     {"message", made.status().message()}};
        if (made.ok()) {
          json.update({{"existed", made->existed},
                       {"from", made->from},
                       {"left_out", made->left_out},
                       {"notes", made->notes},
                       {"duplicates", made->duplicates}});
        }
        return json.dump(-1, ' ', false, Json::error_handler_t::replace);
      });
  ALLO_RETURN_IF_ERROR(told.status());
  const Json json = Json::parse(*told);
  const absl::Status status(static_cast<absl::StatusCode>(json.at("code").get<int>()),
                            json.at("message").get<std::string>());
  ALLO_RETURN_IF_ERROR(status);
  MadeDataset made;
  ALLO_ASSIGN_OR_RETURN(made.manifest, ReadManifest(data_dir, options.name));
  made.existed = json.at("existed");
  made.from = json.at("from");
  made.left_out = json.at("left_out").get<std::vector<std::string>>();
  made.notes = json.at("notes").get<std::vector<std::string>>();
  made.duplicates = json.at("duplicates");
  return made;
}

void AddImport(const AddCommand& add) {
  const auto options = std::make_shared<ImportTrajectoriesOptions>();
  CLI::App& command =
      *add("import-hdf5", "make a dataset from HDF5 trajectories", [options](const Output& output) {
        const absl::StatusOr<MadeDataset> made = Import(*options, output.data_dir);
        return made.ok() ? ReportMade(output, *made) : Fail(made.status());
      });
  command.add_option("file", options->file, "in Minari's layout, with numbers as observations")
      ->required();
  command.add_option("--name", options->name, "the dataset's name")->required();
  command
      .add_option("--observations", options->reader.observations,
                  "the array of observations in an episode's group, as observations/image")
      ->capture_default_str();
  command.add_option("--actions", options->reader.actions, "the array of actions")
      ->capture_default_str();
  command.add_flag("--incomplete", options->reader.incomplete,
                   "take the episodes and steps that are there where the file states other totals");
  command.add_option("--frames", options->frames, "frames an episode; 0: as the shortest has");
  command.add_option("--observation-ids", options->observation_ids,
                     "ids of an observation's numbers; 0: those that occur");
  command.add_option("--action-ids", options->action_ids,
                     "ids of each of an action's numbers; 0: those that occur");
  command.add_option("--licence", options->licence, "of the data")->capture_default_str();
  command.add_flag("--replace", options->replace, "replace a dataset of that name");
}

}  // namespace

void AddTrajectoryCommands(const AddCommand& add) {
  AddStrata(add);
  AddEntropy(add);
  AddImport(add);
}

}  // namespace allometry::data
