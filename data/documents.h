// A corpus as documents: what is deduplicated and what the held-out split is made of.
//
// Rules, by name:
//   dictd       the entries of a dictd dictionary, found by its index, a file X.index beside
//               X.dict or X.dict.dz: lines HEADWORD \t offset \t length, numbers in base 64
//               (dictfmt(1), dictd(8)). Entries named 00-database... are the package's description,
//               not text. What no headword leads to is left out.
//   paragraphs  what blank lines separate
//   lines       every line that is not blank
//   auto        dictd for *.dict and *.dict.dz, otherwise paragraphs
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

// A file's bytes; gzip (and dictzip) is unpacked. NotFound, or DataLoss where it is cut off.
absl::StatusOr<std::string> ReadText(const std::string& path);

struct Corpus {
  std::string file;   // the file's name without its folder
  std::string rule;   // never "auto"
  std::string text;   // unpacked
  std::string index;  // the bytes of X.index for dictd

  // In the order of the file, borrowed from `text`, without leading and trailing newlines; none is
  // empty.
  std::vector<absl::string_view> documents;
};

// InvalidArgument where the rule is unknown or the index does not fit the text.
absl::StatusOr<std::unique_ptr<Corpus>> ReadCorpus(const std::string& path,
                                                   const std::string& rule);

// The documents of `text` by a rule other than "auto".
absl::StatusOr<std::vector<absl::string_view>> FindDocuments(absl::string_view rule,
                                                             absl::string_view text,
                                                             absl::string_view index);

}  // namespace allometry::data
