#include "cli/sweep_input.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "cli/describe_sizes.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_reader.h"
#include "data/generated.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {
namespace {

constexpr char kMissingDataset[] = "allometry/missing_dataset";
constexpr int kTimeoutS = 3;

// Stored: how the section begins.
constexpr char kAddedSection[] = "# The section below was added by 'allo submit'.\nsubmitted: ";

// The section that says where the command's files lie and what they hold now. The coordinator never
// sees them; it keeps this text.
absl::StatusOr<std::string> SubmittedSection(const sweep::SweepFile& file,
                                             const std::string& allow_commands) {
  namespace fs = std::filesystem;
  const sweep::TrainerChoice& trainer = *file.trainer;
  std::error_code error;
  const fs::path folder =
      fs::weakly_canonical(fs::path(file.file_name).parent_path() / trainer.working_dir, error);
  sweep::Mistakes mistakes(file.file_name);
  if (error || !folder.is_absolute() || !fs::is_directory(folder, error)) {
    mistakes.Add(trainer.line, absl::StrFormat("working_dir %s is no folder (%s)",
                                               trainer.working_dir, folder.string()));
  }
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  for (const std::string& name : trainer.files) {
    const auto hash = HashFileHex((folder / name).string());
    if (!hash.ok()) {
      mistakes.Add(trainer.files_line, absl::StrCat("files ", name, ": ", hash.status().message()));
    } else {
      files[name] = *hash;
    }
  }
  ALLO_RETURN_IF_ERROR(mistakes.ToStatus());
  // JSON is YAML.
  nlohmann::ordered_json section = {{"working_dir", folder.string()}};
  if (!files.empty()) section["files"] = files;
  if (!trainer.describe_command.empty()) {
    ALLO_ASSIGN_OR_RETURN(section["sizes"], DescribeSizes(file, folder.string(), allow_commands));
  }
  return absl::StrCat(kAddedSection, section.dump(), "\n");
}

}  // namespace

std::string AsWritten(const std::string& submitted) {
  return submitted.substr(0, submitted.rfind(kAddedSection));
}

absl::StatusOr<v1::CreateSweepRequest> RequestWithoutDataset(const std::string& file_name,
                                                             const absl::Status& status) {
  if (!status.GetPayload(kMissingDataset).has_value()) return status;
  v1::CreateSweepRequest request;
  request.set_file_name(file_name);
  ALLO_ASSIGN_OR_RETURN(*request.mutable_sweep_yaml(), ReadFile(file_name));
  return request;
}

absl::Status NameWorkersWithDataset(const Context& context, const absl::Status& status) {
  const auto dataset = status.GetPayload(kMissingDataset);
  if (!dataset.has_value()) return status;
  const auto stub = Connect(context);
  if (!stub.ok()) return status;
  v1::ListWorkersResponse workers;
  if (!(*stub)
           ->ListWorkers(MakeCall(context, kTimeoutS).get(), v1::ListWorkersRequest(), &workers)
           .ok()) {
    return status;
  }
  std::vector<std::string> hosts;
  for (const v1::Worker& worker : workers.workers()) {
    for (const v1::Dataset& offered : worker.datasets()) {
      if (*dataset == offered.name()) hosts.push_back(worker.host());
    }
  }
  if (hosts.empty()) return status;
  return absl::NotFoundError(absl::StrFormat(
      "dataset '%s' is not in this data directory, but on %s: copy its folder from there (or name "
      "the directory with --data-dir); a sweep pins the dataset by its dataset.json",
      std::string(*dataset), absl::StrJoin(hosts, ", ")));
}

v1::CreateSweepRequest SweepInput::Request(bool dry_run) const {
  v1::CreateSweepRequest request;
  request.set_file_name(file_name);
  request.set_sweep_yaml(text);
  request.set_manifest_json(manifest_json);
  request.set_dry_run(dry_run);
  return request;
}

absl::StatusOr<SweepInput> ReadSweepInput(const std::string& file_name, const std::string& data_dir,
                                          const std::string& allow_commands) {
  SweepInput input;
  input.file_name = file_name;
  ALLO_ASSIGN_OR_RETURN(input.text, ReadFile(file_name));
  ALLO_ASSIGN_OR_RETURN(input.file, sweep::ParseSweepFile(input.text, file_name));
  if (input.file.trainer && input.file.trainer->trainer.working_dir.empty()) {
    ALLO_ASSIGN_OR_RETURN(const std::string section, SubmittedSection(input.file, allow_commands));
    if (!input.text.empty() && input.text.back() != '\n') input.text += '\n';
    input.text += section;
    ALLO_ASSIGN_OR_RETURN(input.file, sweep::ParseSweepFile(input.text, file_name));
  }
  const std::string& dataset = input.file.dataset;
  absl::StatusOr<data::Manifest> manifest = data::FindManifest(data_dir, dataset);
  if (absl::IsNotFound(manifest.status())) {
    absl::Status missing = manifest.status();
    missing.SetPayload(kMissingDataset, absl::Cord(dataset));
    return missing;
  }
  ALLO_ASSIGN_OR_RETURN(input.manifest, std::move(manifest));
  ALLO_ASSIGN_OR_RETURN(input.expansion, sweep::Expand(input.file, input.manifest));
  if (!input.manifest.has_files()) {
    input.manifest_json = data::ManifestJson(input.manifest);
  } else {
    ALLO_ASSIGN_OR_RETURN(input.manifest_json,
                          ReadFile(absl::StrCat(data_dir, "/", dataset, "/dataset.json")));
  }
  return input;
}

}  // namespace allometry::cli
