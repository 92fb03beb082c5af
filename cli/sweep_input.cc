#include "cli/sweep_input.h"

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "data/generated.h"

namespace allometry::cli {

v1::CreateSweepRequest SweepInput::Request(bool dry_run) const {
  v1::CreateSweepRequest request;
  request.set_file_name(file_name);
  request.set_sweep_yaml(text);
  request.set_manifest_json(manifest_json);
  request.set_dry_run(dry_run);
  return request;
}

absl::StatusOr<SweepInput> ReadSweepInput(const std::string& file_name,
                                          const std::string& data_dir) {
  SweepInput input;
  input.file_name = file_name;
  ALLO_ASSIGN_OR_RETURN(input.text, ReadFile(file_name));
  ALLO_ASSIGN_OR_RETURN(input.file, sweep::ParseSweepFile(input.text, file_name));
  const std::string& dataset = input.file.dataset;
  ALLO_ASSIGN_OR_RETURN(input.manifest, data::FindManifest(data_dir, dataset));
  ALLO_ASSIGN_OR_RETURN(input.expansion, sweep::Expand(input.file, input.manifest));
  if (data::IsGenerated(dataset)) {
    input.manifest_json = data::ManifestJson(input.manifest);
  } else {
    ALLO_ASSIGN_OR_RETURN(input.manifest_json,
                          ReadFile(absl::StrCat(data_dir, "/", dataset, "/dataset.json")));
  }
  return input;
}

}  // namespace allometry::cli
