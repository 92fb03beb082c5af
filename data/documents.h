// A corpus as documents: what is deduplicated and what the held-out split is made of.
//
// Rules, by name:
//   dictd       the entries of a dictd dictionary, found by its index, a file X.index beside
//               X.dict or X.dict.dz: lines HEADWORD \t offset \t length, numbers in base 64
//               (dictfmt(1), dictd(8)). Entries named 00-database... are the package's description,
//               not text. What no headword leads to is left out.
//   paragraphs  what blank lines separate
//   lines       every line that is not blank
//   jsonl:KEY   field KEY of every line of a JSON Lines file; "jsonl" is jsonl:text
//   auto        dictd for *.dict and *.dict.dz, otherwise paragraphs
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

// A file's bytes; gzip (and dictzip) is unpacked. NotFound, DataLoss where it is cut off, and the
// codes of InputFile::Open (input_file.h).
absl::StatusOr<std::string> ReadText(const std::string& path);

struct Corpus {
  std::string file;                 // the file's name without its folder
  std::string rule;                 // never "auto"
  int64_t bytes = 0;                // of the file, unpacked
  std::string hash;                 // HashHex of those
  std::string text;                 // as documents are cut from it
  std::string index;                // the bytes of X.index for dictd
  std::string changes;              // what is not as in the file (text_encoding.h); empty: nothing
  std::vector<std::string> notes;   // about the file, for people
  std::vector<std::string> fields;  // of JSON Lines: what `documents` are borrowed from

  // In the order of the file, borrowed, without leading and trailing newlines; none is empty.
  std::vector<absl::string_view> documents;
};

// InvalidArgument where the rule or encoding (text_encoding.h) is unknown, the file is not text, or
// the index does not fit the text.
absl::StatusOr<std::unique_ptr<Corpus>> ReadCorpus(const std::string& path, const std::string& rule,
                                                   const std::string& encoding = "auto");

// The documents of `text` by the rule dictd, paragraphs or lines.
absl::StatusOr<std::vector<absl::string_view>> FindDocuments(absl::string_view rule,
                                                             absl::string_view text,
                                                             absl::string_view index);

}  // namespace allometry::data
