#include "worker/trainer/tokenizer_file.h"

#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "models/train_step.h"
#include "worker/trainer/safetensors.h"

namespace allometry::trainer {
namespace {

absl::StatusOr<TokenizerFile> ReadVerified(const std::string& path, const std::string& hash) {
  ALLO_ASSIGN_OR_RETURN(const std::string found, HashFileHex(path));
  if (found != hash) {
    return absl::DataLossError(absl::StrCat("its hash is ", found, ", it should be ", hash));
  }
  ALLO_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  ALLO_ASSIGN_OR_RETURN(const std::string owner, file.MetadataValue("identity"));
  ALLO_ASSIGN_OR_RETURN(const run::Identity identity, run::ParseIdentityJson(owner));
  TokenizerFile read;
  read.shape = identity.shape;
  read.hash = hash;
  const models::Family* family = models::FindFamily(read.shape.family);
  if (family == nullptr || !family->tokenizer) {
    return absl::FailedPreconditionError(
        absl::StrCat("it is a checkpoint of family ", read.shape.family, ", no tokenizer"));
  }
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout, models::LayoutOf(read.shape));
  std::vector<float> parameters(static_cast<size_t>(layout.size));
  for (const models::ParameterView& view : layout.views) {
    ALLO_RETURN_IF_ERROR(
        file.Read(view.name, view.shape,
                  std::span(parameters)
                      .subspan(static_cast<size_t>(view.offset), static_cast<size_t>(view.size))));
    if (view.name != "quantizer.codebook") continue;
    read.code_width = static_cast<int>(view.shape.back());
    read.codebook.assign(parameters.begin() + view.offset,
                         parameters.begin() + view.offset + view.size);
  }
  ALLO_ASSIGN_OR_RETURN(read.tokenizer,
                        models::CreateImageTokenizer(read.shape, std::move(parameters)));
  return read;
}

}  // namespace

absl::StatusOr<TokenizerFile> ReadTokenizer(const std::string& run_dir,
                                            const run::RunInput& input) {
  const std::string name = absl::StrCat("run-", input.run_id, "/", input.file);
  absl::StatusOr<TokenizerFile> read =
      ReadVerified(absl::StrCat(run_dir, "/../", name), input.hash);
  if (!read.ok()) return Annotate(read.status(), absl::StrCat("tokenizer ", name));
  return read;
}

}  // namespace allometry::trainer
