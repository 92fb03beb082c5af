#include "data/documents.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "data/input_file.h"
#include "data/json_lines.h"
#include "data/text_encoding.h"

namespace allometry::data {
namespace {

absl::string_view TrimNewlines(absl::string_view text) {
  while (!text.empty() && text.front() == '\n') text.remove_prefix(1);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

void TrimDocuments(std::vector<absl::string_view>& documents) {
  for (absl::string_view& document : documents) document = TrimNewlines(document);
  documents.erase(std::remove_if(documents.begin(), documents.end(),
                                 [](absl::string_view d) { return d.empty(); }),
                  documents.end());
}

// dictd's numbers: most significant digit first, A-Z a-z 0-9 + /.
std::optional<int64_t> ParseBase64Number(absl::string_view digits) {
  constexpr absl::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (digits.empty() || digits.size() > 10) return std::nullopt;
  int64_t number = 0;
  for (const char c : digits) {
    const size_t digit = kDigits.find(c);
    if (digit == absl::string_view::npos) return std::nullopt;
    number = number * 64 + static_cast<int64_t>(digit);
  }
  return number;
}

absl::StatusOr<std::vector<absl::string_view>> DictdEntries(absl::string_view text,
                                                            absl::string_view index) {
  std::map<int64_t, int64_t> entries;  // offset to length; several headwords may share one
  std::vector<int64_t> descriptions;
  int64_t line_number = 0;
  for (const absl::string_view line : absl::StrSplit(index, '\n')) {
    ++line_number;
    if (line.empty()) continue;
    const std::vector<absl::string_view> columns = absl::StrSplit(line, '\t');
    const auto offset = columns.size() >= 3 ? ParseBase64Number(columns[1]) : std::nullopt;
    const auto length = columns.size() >= 3 ? ParseBase64Number(columns[2]) : std::nullopt;
    if (!offset || !length) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "line %d of the index is not HEADWORD, offset, length with tabs", line_number));
    }
    if (*offset + *length > static_cast<int64_t>(text.size())) {
      return absl::InvalidArgumentError(
          absl::StrFormat("line %d of the index ends at byte %d, the dictionary has %d",
                          line_number, *offset + *length, text.size()));
    }
    int64_t& known = entries[*offset];
    known = std::max(known, *length);
    if (absl::StartsWith(line, "00-database") || absl::StartsWith(line, "00database")) {
      descriptions.push_back(*offset);
    }
  }
  // By place: other headwords (00-gcide-long) lead to the same text.
  for (const int64_t offset : descriptions) entries.erase(offset);
  std::vector<absl::string_view> documents;
  for (const auto& [offset, length] : entries) {
    documents.push_back(text.substr(static_cast<size_t>(offset), static_cast<size_t>(length)));
  }
  return documents;
}

std::vector<absl::string_view> Paragraphs(absl::string_view text) {
  return absl::StrSplit(text, "\n\n");
}

std::vector<absl::string_view> Lines(absl::string_view text) { return absl::StrSplit(text, '\n'); }

// X.index beside X.dict or X.dict.dz.
std::string IndexPath(absl::string_view path) {
  absl::ConsumeSuffix(&path, ".dz");
  absl::ConsumeSuffix(&path, ".dict");
  return absl::StrCat(path, ".index");
}

absl::StatusOr<std::unique_ptr<Corpus>> WithDocuments(std::unique_ptr<Corpus> corpus,
                                                      const std::string& path) {
  if (!corpus->documents.empty()) return corpus;
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: none of its %d bytes is in a document (rule %s)", path, corpus->bytes, corpus->rule));
}

// JSON Lines have no blank lines between documents, and their keys would be learned as text.
absl::Status CheckNotJson(const Corpus& corpus, const std::string& path) {
  const auto fields = StringFieldsOfFirstLine(corpus.text);
  if (!fields.has_value() && IsJsonDocument(corpus.text)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " is one JSON document, whose keys would be learned as text: write its texts as JSON "
        "Lines and pass --documents jsonl:KEY, or pass --documents lines to take it as it "
        "is"));
  }
  if (!fields.has_value()) return absl::OkStatus();
  const bool has_text = std::find(fields->begin(), fields->end(), "text") != fields->end();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s is JSON Lines: pass --documents jsonl:KEY to take one field of each line (its fields of "
      "text are: %s)%s, or --documents lines to take the lines as they are",
      path, fields->empty() ? "none" : absl::StrJoin(*fields, ", "),
      has_text ? "; here --documents jsonl:text" : ""));
}

}  // namespace

absl::StatusOr<std::string> ReadText(const std::string& path) {
  ALLO_ASSIGN_OR_RETURN(const InputFile input, InputFile::Open(path));
  const gzFile file = gzdopen(dup(input.fd()), "rb");
  if (file == nullptr) return ErrnoStatus(path, "open");
  gzbuffer(file, 1 << 18);
  std::string text;
  std::string piece(1 << 20, '\0');
  absl::Status status;
  for (;;) {
    const int got = gzread(file, piece.data(), static_cast<unsigned>(piece.size()));
    if (got > 0) text.append(piece, 0, static_cast<size_t>(got));
    if (got == static_cast<int>(piece.size())) continue;
    int code = Z_OK;
    const char* message = gzerror(file, &code);
    // A cut-off gzip file reads to its end and then has Z_BUF_ERROR.
    if (code == Z_ERRNO) status = ErrnoStatus(path, "read");
    if (code != Z_OK && code != Z_ERRNO) {
      status = absl::DataLossError(absl::StrCat(path, ": damaged or cut off: ", message));
    }
    break;
  }
  gzclose(file);
  ALLO_RETURN_IF_ERROR(input.CheckUnchanged());
  ALLO_RETURN_IF_ERROR(status);
  return text;
}

absl::StatusOr<std::vector<absl::string_view>> FindDocuments(absl::string_view rule,
                                                             absl::string_view text,
                                                             absl::string_view index) {
  std::vector<absl::string_view> documents;
  if (rule == "dictd") {
    ALLO_ASSIGN_OR_RETURN(documents, DictdEntries(text, index));
  } else if (rule == "paragraphs") {
    documents = Paragraphs(text);
  } else if (rule == "lines") {
    documents = Lines(text);
  } else {
    return absl::InvalidArgumentError(absl::StrFormat(
        "document rule '%s': allowed are auto, dictd, paragraphs, lines and jsonl:KEY", rule));
  }
  TrimDocuments(documents);
  return documents;
}

absl::StatusOr<std::unique_ptr<Corpus>> ReadCorpus(const std::string& path, const std::string& rule,
                                                   const std::string& encoding) {
  auto corpus = std::make_unique<Corpus>();
  corpus->file = std::filesystem::path(path).filename().string();
  corpus->rule = rule;
  const bool dictionary = absl::EndsWith(path, ".dict") || absl::EndsWith(path, ".dict.dz");
  if (rule == "auto") corpus->rule = dictionary ? "dictd" : "paragraphs";
  ALLO_ASSIGN_OR_RETURN(corpus->text, ReadText(path));
  corpus->bytes = static_cast<int64_t>(corpus->text.size());
  corpus->hash = HashHex(corpus->text);
  if (corpus->rule == "dictd") {
    // The index counts bytes of the file as it is.
    absl::StatusOr<std::string> index = ReadText(IndexPath(path));
    if (!index.ok()) return Annotate(index.status(), "the dictionary's index");
    corpus->index = *std::move(index);
  } else {
    ALLO_ASSIGN_OR_RETURN(PlainText plain, ToPlainText(std::move(corpus->text), encoding, path));
    corpus->text = std::move(plain.text);
    corpus->changes = std::move(plain.changes);
    corpus->notes = std::move(plain.notes);
  }
  absl::string_view key = corpus->rule;
  if (absl::ConsumePrefix(&key, "jsonl") && (key.empty() || key[0] == ':')) {
    absl::StatusOr<std::vector<std::string>> fields =
        ReadJsonLines(corpus->text, key.size() > 1 ? std::string(key.substr(1)) : "text");
    if (!fields.ok()) return Annotate(fields.status(), path);
    corpus->fields = *std::move(fields);
    corpus->text.clear();
    for (const std::string& field : corpus->fields) corpus->documents.push_back(field);
    TrimDocuments(corpus->documents);
    return WithDocuments(std::move(corpus), path);
  }
  if (rule == "auto" && encoding != "bytes") ALLO_RETURN_IF_ERROR(CheckNotJson(*corpus, path));
  absl::StatusOr<std::vector<absl::string_view>> documents =
      FindDocuments(corpus->rule, corpus->text, corpus->index);
  if (!documents.ok()) return Annotate(documents.status(), path);
  corpus->documents = *std::move(documents);
  return WithDocuments(std::move(corpus), path);
}

}  // namespace allometry::data
