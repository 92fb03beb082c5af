#include "data/text.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"
#include "data/bpe_tokenizer.h"
#include "data/char_tokenizer.h"
#include "data/dataset_writer.h"
#include "data/documents.h"
#include "data/staged_folder.h"

namespace allometry::data {
namespace {

constexpr char kSeparator[] = "\n\n";
// Raised when the same files and options would give other tokens. Stored in every manifest.
constexpr int kTextFormat = 1;

// Corpora known by the hash of their unpacked text, so that where the file lies changes nothing.
struct KnownCorpus {
  const char* text_hash;
  const char* description;
  const char* licence;
};
constexpr KnownCorpus kKnownCorpora[] = {
    {"96ab38cb9eb710df", "Debian dict-gcide 0.48.5+nmu2", "GPL-2+"},
    {"6572a3fb9fde75d3", "Tiny Shakespeare", "public domain"},
};

const KnownCorpus* FindKnown(const std::string& text_hash) {
  for (const KnownCorpus& known : kKnownCorpora) {
    if (text_hash == known.text_hash) return &known;
  }
  return nullptr;
}

struct Origin {
  std::string source;
  std::string licence;
};

Origin Describe(const std::vector<std::unique_ptr<Corpus>>& corpora) {
  std::vector<std::string> sources, licences;
  for (const auto& corpus : corpora) {
    const KnownCorpus* known = FindKnown(corpus->hash);
    std::string source = absl::StrFormat("%s (%d bytes unpacked, xxh3 %s", corpus->file,
                                         corpus->bytes, corpus->hash);
    if (!corpus->index.empty()) absl::StrAppend(&source, ", index xxh3 ", HashHex(corpus->index));
    absl::StrAppend(&source, corpus->changes, ")");
    if (known != nullptr) absl::StrAppend(&source, " of ", known->description);
    sources.push_back(source);
    licences.emplace_back(known != nullptr ? known->licence : "unknown");
  }
  return {absl::StrJoin(sources, "; "), absl::StrJoin(licences, "; ")};
}

absl::Status CheckOptions(const TextOptions& options) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  if (options.inputs.empty()) return absl::InvalidArgumentError("no input file");
  if (options.tokenizer != "chars") {
    ALLO_RETURN_IF_ERROR(ParseBpeName(options.tokenizer).status());
  }
  if (!(options.heldout_fraction > 0 && options.heldout_fraction < 1)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "held-out fraction %g: allowed is more than 0 and less than 1", options.heldout_fraction));
  }
  if (options.max_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("max bytes %d: allowed is 0 (everything) or more", options.max_bytes));
  }
  return absl::OkStatus();
}

// The fewest digits that read back as `value`.
std::string Shortest(double value) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

std::string Generator(const TextOptions& options) {
  std::string generator =
      absl::StrFormat("allo data text --tokenizer %s --documents %s --heldout %s",
                      options.tokenizer, options.documents, Shortest(options.heldout_fraction));
  if (options.max_bytes > 0)
    absl::StrAppendFormat(&generator, " --max-bytes %d", options.max_bytes);
  if (options.encoding != "auto") absl::StrAppend(&generator, " --encoding ", options.encoding);
  absl::StrAppend(&generator, " (text format ", kTextFormat, ")");
  return generator;
}

bool IsHeldout(absl::string_view document, double fraction) {
  uint64_t bits = 0;
  ALLO_CHECK(absl::SimpleHexAtoi(HashHex(document), &bits));
  // 53 bits of the hash as a number in [0, 1), exactly.
  return std::ldexp(static_cast<double>(bits >> 11), -53) < fraction;
}

struct Documents {
  std::vector<absl::string_view> kept;
  int64_t duplicates = 0;
  int64_t beyond = 0;  // not looked at, as they come after max_bytes
};

Documents WithoutDuplicates(const std::vector<std::unique_ptr<Corpus>>& corpora,
                            int64_t max_bytes) {
  Documents documents;
  std::unordered_set<std::string_view> seen;
  int64_t bytes = 0;
  for (const auto& corpus : corpora) {
    for (const absl::string_view document : corpus->documents) {
      if (max_bytes > 0 && bytes >= max_bytes) {
        ++documents.beyond;
        continue;
      }
      if (!seen.insert({document.data(), document.size()}).second) {
        ++documents.duplicates;
        continue;
      }
      documents.kept.push_back(document);
      bytes += static_cast<int64_t>(document.size());
    }
  }
  return documents;
}

// Appends each document and a separator to its split; returns the train split's bytes.
template <class Tokenizer>
absl::StatusOr<int64_t> WriteSplits(const std::vector<absl::string_view>& documents,
                                    Tokenizer& tokenizer, double heldout_fraction,
                                    DatasetWriter& writer) {
  std::vector<uint32_t> tokens;
  int64_t train_bytes = 0;
  for (const absl::string_view document : documents) {
    tokens.clear();
    tokenizer.Encode(document, tokens);
    tokenizer.Encode(kSeparator, tokens);
    const bool heldout = IsHeldout(document, heldout_fraction);
    if (!heldout) train_bytes += static_cast<int64_t>(document.size() + sizeof(kSeparator) - 1);
    ALLO_RETURN_IF_ERROR(writer.Append(heldout ? "heldout" : "train", tokens));
  }
  return train_bytes;
}

absl::Status CheckSplits(const DatasetWriter& writer, size_t documents, double fraction) {
  for (const char* split : {"train", "heldout"}) {
    if (writer.tokens(split) > 0) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "none of the %d documents falls in the %s split with held-out fraction %g: take more text, "
        "smaller documents (--documents lines) or another fraction",
        documents, split, fraction));
  }
  return absl::OkStatus();
}

// The shards and the manifest, whose tokenizer it fills in.
template <class Tokenizer>
absl::Status Write(const TextOptions& options, const std::vector<absl::string_view>& documents,
                   Tokenizer& tokenizer, const std::string& folder, Manifest& manifest) {
  manifest.vocabulary = tokenizer.vocabulary();
  manifest.segments = {{.name = "text", .begin = 0, .end = tokenizer.vocabulary()}};
  manifest.tokenizer = options.tokenizer;
  manifest.token_bytes = tokenizer.token_bytes();
  manifest.tokenizer_hash = TokenizerHash(manifest.tokenizer, manifest.token_bytes);

  DatasetWriter writer(folder, NarrowestType(manifest.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  if constexpr (std::is_same_v<Tokenizer, BpeTokenizer>) {
    ALLO_RETURN_IF_ERROR(
        WriteFileAtomically(writer.Path(kTokenizerFile), tokenizer.Json(options.tokenizer)));
  }
  ALLO_ASSIGN_OR_RETURN(const int64_t train_bytes,
                        WriteSplits(documents, tokenizer, options.heldout_fraction, writer));
  ALLO_RETURN_IF_ERROR(CheckSplits(writer, documents.size(), options.heldout_fraction));
  // Where a token is a byte this says nothing.
  if (train_bytes != writer.tokens("train")) manifest.unique_bytes = train_bytes;
  ALLO_ASSIGN_OR_RETURN(manifest, writer.Finish(std::move(manifest)));
  return absl::OkStatus();
}

absl::StatusOr<BpeTokenizer> TrainBpe(const TextOptions& options,
                                      const std::vector<absl::string_view>& documents) {
  ALLO_ASSIGN_OR_RETURN(const int64_t merges, ParseBpeName(options.tokenizer));
  std::vector<absl::string_view> train;
  for (const absl::string_view document : documents) {
    if (!IsHeldout(document, options.heldout_fraction)) train.push_back(document);
  }
  return BpeTokenizer::Train(train, merges);
}

void Report(const TextOptions& options, const std::vector<std::unique_ptr<Corpus>>& corpora,
            const Documents& documents, MadeDataset& made) {
  made.from = Counted(static_cast<int64_t>(documents.kept.size()), "document");
  made.duplicates = documents.duplicates;
  if (documents.duplicates > 0) made.left_out.push_back(Counted(documents.duplicates, "duplicate"));
  if (documents.beyond > 0) {
    made.left_out.push_back(absl::StrFormat(
        "%s beyond --max-bytes %d", Counted(documents.beyond, "document"), options.max_bytes));
  }
  for (const auto& corpus : corpora) {
    for (const std::string& note : corpus->notes) {
      made.notes.push_back(absl::StrCat(corpus->file, ": ", note));
    }
  }
}

}  // namespace

absl::StatusOr<MadeDataset> MakeTextDataset(const TextOptions& options,
                                            const std::string& data_dir) {
  ALLO_RETURN_IF_ERROR(CheckOptions(options));
  std::vector<std::unique_ptr<Corpus>> corpora;
  for (const std::string& input : options.inputs) {
    ALLO_ASSIGN_OR_RETURN(corpora.emplace_back(),
                          ReadCorpus(input, options.documents, options.encoding));
  }
  const Origin origin = Describe(corpora);
  MadeDataset made;
  Manifest& manifest = made.manifest;
  manifest.name = options.name;
  manifest.kind = DatasetKind::kText;
  manifest.licence = options.licence.empty() ? origin.licence : options.licence;
  manifest.source = origin.source;
  manifest.generator = Generator(options);

  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock,
                        LockToMake(folder, options.inputs, options.replace, made));
  if (made.existed) return made;

  const Documents documents = WithoutDuplicates(corpora, options.max_bytes);
  Report(options, corpora, documents, made);
  manifest.documents = static_cast<int64_t>(documents.kept.size());
  if (options.tokenizer == "chars") {
    CharTokenizer tokenizer = CharTokenizer::Of(documents.kept, kSeparator);
    ALLO_RETURN_IF_ERROR(Write(options, documents.kept, tokenizer, folder, manifest));
    return made;
  }
  ALLO_ASSIGN_OR_RETURN(BpeTokenizer tokenizer, TrainBpe(options, documents.kept));
  ALLO_RETURN_IF_ERROR(Write(options, documents.kept, tokenizer, folder, manifest));
  return made;
}

}  // namespace allometry::data
