#include "worker/trainer/model_file.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/trainer/safetensors.h"

namespace allometry::trainer {
namespace {

absl::StatusOr<ModelFile> ReadVerified(const std::string& path, const std::string& hash) {
  ALLO_ASSIGN_OR_RETURN(const std::string found, HashFileHex(path));
  if (found != hash) {
    return absl::DataLossError(absl::StrCat("its hash is ", found, ", it should be ", hash));
  }
  ALLO_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  ALLO_ASSIGN_OR_RETURN(const std::string owner, file.MetadataValue("identity"));
  ModelFile read;
  read.hash = hash;
  ALLO_ASSIGN_OR_RETURN(read.identity, run::ParseIdentityJson(owner));
  ALLO_ASSIGN_OR_RETURN(read.layout, models::LayoutOf(read.identity.shape));
  read.parameters.resize(static_cast<size_t>(read.layout.size));
  for (const models::ParameterView& view : read.layout.views) {
    ALLO_RETURN_IF_ERROR(
        file.Read(view.name, view.shape,
                  std::span(read.parameters)
                      .subspan(static_cast<size_t>(view.offset), static_cast<size_t>(view.size))));
  }
  return read;
}

}  // namespace

absl::StatusOr<ModelFile> ReadModelFile(const std::string& run_dir, const run::RunInput& input) {
  const std::string name = absl::StrCat("run-", input.run_id, "/", input.file);
  absl::StatusOr<ModelFile> read = ReadVerified(absl::StrCat(run_dir, "/../", name), input.hash);
  if (!read.ok()) return Annotate(read.status(), absl::StrCat(run::NameOf(input.kind), " ", name));
  return read;
}

}  // namespace allometry::trainer
