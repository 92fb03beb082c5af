// The lines of a text file of any size, as UTF-8.
//
// UTF-8 with or without a byte-order mark, UTF-16 of either order with or without one, and
// Windows-1252 are understood; lines end with LF, CR LF or CR. Files that are no text are refused
// by what their first bytes say they are (gzip, xlsx, parquet, ...), with what to do about it.
// Memory is one piece of the file and the longest record.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::fitting {

// What a file that is not a table in text form is, and what to do: "is compressed by gzip: run
// gunzip -c FILE | allo fit -". "" for text.
std::string WhyNoTable(absl::string_view head, absl::string_view name);

// Opens a table to read; `name` becomes what messages call it. NOT_FOUND where it cannot be opened.
absl::StatusOr<FILE*> OpenTable(const std::string& path, std::string& name);

class TextLines {
 public:
  // Of a text in memory; `name` stands for the file in messages. The text is copied.
  TextLines(absl::string_view text, std::string name);
  // Of an open file, which it closes; `progress` is told the bytes read so far.
  TextLines(FILE* file, std::string name, std::function<void(int64_t bytes)> progress);

  // Reads up to `bytes` ahead, once, before the first line; INVALID_ARGUMENT for what is no text.
  // What Next will read is Ahead().
  absl::Status Open(size_t bytes);
  absl::string_view Ahead() const { return absl::string_view(buffer_).substr(begin_); }

  // The next line without its end, valid until the next call; false at the end of the file.
  absl::StatusOr<bool> Next(absl::string_view& line);
  // The same line joined to those that follow it up to one line further than at the last call:
  // fields in quotes may hold line breaks. False at the end of the file or past kLongestRecord.
  absl::StatusOr<bool> Longer(absl::string_view& record);
  // Next continues after what Longer returned last. Without Accept it continues after the line.
  void Accept();

  bool all_ahead() const { return at_end_; }  // after Open: the file is no longer than Ahead()

  int64_t line() const { return line_; }  // number of the line that Next gave, from 1
  int64_t bytes() const { return bytes_read_; }
  bool windows_1252() const { return windows_1252_; }  // some line was
  bool utf16() const { return encoding_ != Encoding::kUtf8; }

  static constexpr size_t kLongestLine = 1 << 20;
  static constexpr size_t kLongestRecord = 1 << 14;

 private:
  enum class Encoding { kUtf8, kUtf16Little, kUtf16Big };

  absl::Status Fill();
  void Append(absl::string_view raw);
  // The end of the line that begins at `from`, filling as needed; npos at the end of the file.
  absl::StatusOr<size_t> FindEnd(size_t from);

  std::string name_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_;
  std::function<void(int64_t)> progress_;
  std::string pending_;  // raw bytes that wait for their other half
  std::string buffer_;   // decoded
  std::string converted_;
  size_t begin_ = 0, line_begin_ = 0, record_end_ = 0;
  int64_t line_ = 0, lines_joined_ = 0, lines_taken_ = 0;
  int64_t bytes_read_ = 0;
  bool at_end_ = false, opened_ = false, windows_1252_ = false;
  char end_of_line_ = '\n';
  Encoding encoding_ = Encoding::kUtf8;
};

}  // namespace allometry::fitting
