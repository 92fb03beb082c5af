// What a file is, from its first bytes and not from its name.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace allometry::data {

struct FileKind {
  std::string name;    // "compressed by xz", "a Parquet file": completes "X is ..."
  std::string advice;  // what to do with it: "unpack it first: xz -dk X"
};

// The kind of a file that begins with `front`, where its format has a mark: archives, compressed
// files, columnar files, arrays, databases, documents, images, programs, token files of llm.c.
// Nothing for text and raw numbers. At least the first 512 bytes of a longer file are needed.
// `path` is only quoted.
std::optional<FileKind> KindOfFront(absl::string_view front, absl::string_view path);

// Whether `front` is plain text: UTF-8 (cut anywhere), no control characters, 16 bytes or more.
bool LooksLikeText(absl::string_view front);

}  // namespace allometry::data
