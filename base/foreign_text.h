// Text that comes from runs, trainers, files and other hosts: limits of its length, and safe
// printing. A terminal obeys escape sequences, so printed text must hold none.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include "base/status.h"

namespace allometry {

// At most `max_bytes` of the text: what is longer ends in "..." and in whole UTF-8 characters.
std::string Shortened(absl::string_view text, size_t max_bytes);

// The text with what a terminal obeys written out (\x1b, \u202e, \xff): control characters but line
// ends and tabs, marks that change the direction of writing, bytes that are not UTF-8.
std::string Printable(absl::string_view text);

// While it lives, everything that is written to the stream passes through Printable.
class PrintableStream {
 public:
  explicit PrintableStream(std::ostream& stream);
  ~PrintableStream();
  PrintableStream(const PrintableStream&) = delete;
  PrintableStream& operator=(const PrintableStream&) = delete;

  // Flushes the stream and writes the bytes as they are: our own escape sequences, exact data.
  static void WriteAsIs(std::ostream& stream, absl::string_view bytes);

 private:
  class Buffer;
  std::ostream& stream_;
  const std::unique_ptr<Buffer> buffer_;
};

}  // namespace allometry
