#include "data/import_bin.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/dataset_writer.h"
#include "data/input_file.h"
#include "data/staged_folder.h"
#include "data/token_file.h"

namespace allometry::data {
namespace {

struct Source {
  InputFile file;
  TokenLayout layout;
  std::string hash;
};

absl::StatusOr<Source> InspectSource(const std::string& path, const ImportBinOptions& options) {
  ALLO_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  ALLO_ASSIGN_OR_RETURN(TokenLayout layout,
                        LayoutOfTokens(file, options.dtype, options.vocabulary));
  if (layout.count == 0) return absl::InvalidArgumentError(absl::StrCat(path, " has no ids"));
  ALLO_ASSIGN_OR_RETURN(std::string hash, file.HashHex());
  return Source{std::move(file), std::move(layout), std::move(hash)};
}

std::string Describe(const Source& source) {
  return absl::StrFormat("%s (%d bytes, xxh3 %s)", source.file.name(), source.file.bytes(),
                         source.hash);
}

absl::Status CheckOptions(const ImportBinOptions& options) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (options.vocabulary >= 1 && options.vocabulary <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("vocabulary %d: allowed is 1 to %d", options.vocabulary, kMost));
}

}  // namespace

absl::StatusOr<MadeDataset> ImportBin(const ImportBinOptions& options,
                                      const std::string& data_dir) {
  ALLO_RETURN_IF_ERROR(CheckOptions(options));
  ALLO_ASSIGN_OR_RETURN(const Source train, InspectSource(options.train, options));
  ALLO_ASSIGN_OR_RETURN(const Source heldout, InspectSource(options.heldout, options));
  if (train.hash == heldout.hash) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s and %s are the same ids: a held-out split that is trained on measures "
                        "nothing",
                        options.train, options.heldout));
  }
  MadeDataset made;
  Manifest& manifest = made.manifest;
  manifest.name = options.name;
  manifest.kind = DatasetKind::kText;
  manifest.licence = options.licence;
  manifest.source = absl::StrCat(Describe(train), "; ", Describe(heldout));
  manifest.generator = absl::StrFormat("allo data import-bin --vocabulary %d --tokenizer %s",
                                       options.vocabulary, options.tokenizer);
  if (options.dtype != "auto") absl::StrAppend(&manifest.generator, " --dtype ", options.dtype);
  manifest.vocabulary = options.vocabulary;
  manifest.segments = {{.name = "text", .begin = 0, .end = options.vocabulary}};
  manifest.tokenizer = options.tokenizer;
  manifest.tokenizer_hash = TokenizerHash(options.tokenizer, {});

  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock, LockToMake(folder, {options.train, options.heldout},
                                                          options.replace, made));
  if (made.existed) return made;
  DatasetWriter writer(folder, NarrowestType(options.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  uint32_t largest = 0;
  for (const auto& [split, source] : {std::pair("train", &train), {"heldout", &heldout}}) {
    const auto append = [&, split = split](std::span<const uint32_t> ids) {
      largest = std::max(largest, *std::max_element(ids.begin(), ids.end()));
      return writer.Append(split, ids);
    };
    ALLO_RETURN_IF_ERROR(ReadTokens(source->file, source->layout, options.vocabulary, append));
  }
  if (2 * int64_t{largest} < options.vocabulary) {
    made.notes.push_back(absl::StrFormat(
        "the largest id is %d, far below the vocabulary of %d: is --vocabulary right?", largest,
        options.vocabulary));
  }
  made.from = absl::StrFormat("%s + %s token ids (%s)", Grouped(train.layout.count),
                              Grouped(heldout.layout.count), train.layout.format);
  ALLO_ASSIGN_OR_RETURN(manifest, writer.Finish(std::move(manifest)));
  return made;
}

}  // namespace allometry::data
