#include "worker/trainer/tokenizer_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/trainer/model_file.h"

namespace allometry::trainer {

absl::StatusOr<TokenizerFile> ReadTokenizer(const std::string& run_dir,
                                            const run::RunInput& input) {
  ALLO_ASSIGN_OR_RETURN(ModelFile file, ReadModelFile(run_dir, input));
  TokenizerFile read;
  read.shape = file.identity.shape;
  read.hash = file.hash;
  const models::Family* family = models::FindFamily(read.shape.family);
  if (family == nullptr || !family->tokenizer) {
    return absl::FailedPreconditionError(absl::StrCat("tokenizer run-", input.run_id, "/",
                                                      input.file, ": it is a checkpoint of family ",
                                                      read.shape.family, ", no tokenizer"));
  }
  for (const models::ParameterView& view : file.layout.views) {
    if (view.name != "quantizer.codebook") continue;
    read.code_width = static_cast<int>(view.shape.back());
    const auto begin = file.parameters.begin() + view.offset;
    read.codebook.assign(begin, begin + view.size);
  }
  ALLO_ASSIGN_OR_RETURN(read.tokenizer,
                        models::CreateImageTokenizer(read.shape, std::move(file.parameters)));
  return read;
}

}  // namespace allometry::trainer
