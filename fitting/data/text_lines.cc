#include "fitting/data/text_lines.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr size_t kPiece = 1 << 20;

void AppendCode(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xc0 | code >> 6));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | code >> 12));
    out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | code >> 18));
    out.push_back(static_cast<char>(0x80 | (code >> 12 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

// Windows-1252's letters are Latin-1; its 0x80 to 0x9f, quotes and dashes, matter to no number.
std::string FromWindows1252(absl::string_view text) {
  std::string out;
  for (char c : text) AppendCode(static_cast<uint8_t>(c), out);
  return out;
}

bool PlainAscii(absl::string_view text) {
  uint8_t high = 0;
  bool zero = false;
  for (char c : text) {
    high |= static_cast<uint8_t>(c);
    zero |= c == 0;
  }
  return high < 0x80 && !zero;
}

struct Magic {
  absl::string_view bytes;
  const char* what;
  const char* todo;  // %s is the file
};
using absl::string_view;
constexpr Magic kMagic[] = {
    {{"\x1f\x8b", 2}, "compressed by gzip", "run gunzip -c %s | allo fit -"},
    {{"\x28\xb5\x2f\xfd", 4}, "compressed by zstd", "run zstd -dc %s | allo fit -"},
    {{"\xfd\x37zXZ", 5}, "compressed by xz", "run xz -dc %s | allo fit -"},
    {{"BZh", 3}, "compressed by bzip2", "run bzip2 -dc %s | allo fit -"},
    {{"\x04\x22\x4d\x18", 4}, "compressed by lz4", "run lz4 -dc %s | allo fit -"},
    {{"7z\xbc\xaf", 4}, "a 7z archive", "unpack it first"},
    {{"Rar!", 4}, "a RAR archive", "unpack it first"},
    {{"PAR1", 4},
     "a Parquet file",
     "python3 -c \"import pandas; pandas.read_parquet('%s').to_csv('runs.csv', index=False)\""},
    {{"ARROW1", 6},
     "an Arrow file",
     "python3 -c \"import pandas; pandas.read_feather('%s').to_csv('runs.csv', index=False)\""},
    {{"FEA1", 4},
     "a Feather file",
     "python3 -c \"import pandas; pandas.read_feather('%s').to_csv('runs.csv', index=False)\""},
    {{"ORC", 3}, "an ORC file", "write it as CSV first"},
    {{"\x89HDF", 4}, "an HDF5 file", "write its table as CSV first"},
    {{"SQLite format 3", 15},
     "an SQLite database",
     "of a coordinator, allo export SWEEP -o runs.csv; otherwise sqlite3 -csv -header"},
    {{"\xd0\xcf\x11\xe0", 4}, "an old Excel file (.xls)", "save it as CSV from the spreadsheet"},
    {{"%PDF", 4}, "a PDF file", "copy its table into a CSV file"},
    {{"\x93NUMPY", 6}, "a NumPy array", "write it with numpy.savetxt and a header"},
    {{"\x80\x04\x95", 3}, "a Python pickle", "write it with pandas' to_csv"},
    {{"\x89PNG", 4}, "an image", "a table in text form is needed"},
    {{"\xff\xd8\xff", 3}, "an image", "a table in text form is needed"},
    {{"\x7f"
      "ELF",
      4},
     "a program",
     "a table in text form is needed"},
    {{"\xff\xfe\x00\x00", 4}, "UTF-32 text", "save it as UTF-8"},
    {{"\x00\x00\xfe\xff", 4}, "UTF-32 text", "save it as UTF-8"},
    {{"{\\rtf", 5}, "a rich-text document", "save it as plain text or CSV"},
};

}  // namespace

std::string WhyNoTable(string_view head, string_view name) {
  for (const Magic& magic : kMagic) {
    if (!absl::StartsWith(head, magic.bytes)) continue;
    return absl::StrCat("is ", magic.what, ": ", absl::StrReplaceAll(magic.todo, {{"%s", name}}));
  }
  if (absl::StartsWith(head, "PK\x03\x04")) {
    const string_view start = head.substr(0, 4096);
    if (absl::StrContains(start, "xl/") || absl::StrContains(start, "[Content_Types].xml")) {
      return "is an Excel workbook (.xlsx): save the sheet as CSV from the spreadsheet";
    }
    if (absl::StrContains(start, "opendocument")) {
      return "is an OpenDocument spreadsheet: save the sheet as CSV from the spreadsheet";
    }
    return absl::StrCat("is a zip archive: run unzip -p ", name, " | allo fit -");
  }
  if (head.size() > 262 && head.substr(257, 5) == "ustar") {
    return absl::StrCat("is a tar archive: run tar -xOf ", name, " runs.csv | allo fit -");
  }
  const string_view text = absl::StripLeadingAsciiWhitespace(head);
  if (absl::StartsWith(text, "{") || absl::StartsWith(text, "[{") || absl::StartsWith(text, "[[") ||
      (absl::StartsWith(text, "[") && absl::StrContains(text.substr(0, 64), '\n') &&
       absl::StrContains(text.substr(0, 64), '{'))) {
    return absl::StrCat("is JSON, not CSV: python3 -c \"import pandas; pandas.read_json('", name,
                        "'", absl::StartsWith(text, "{") ? ", lines=True" : "",
                        ").to_csv('runs.csv', index=False)\"");
  }
  const std::string lower = absl::AsciiStrToLower(text.substr(0, 64));
  for (const char* tag : {"<!doctype", "<html", "<?xml", "<table"}) {
    if (absl::StartsWith(lower, tag)) {
      return "is HTML or XML, not CSV: save the table as CSV";
    }
  }
  return "";
}

absl::StatusOr<FILE*> OpenTable(const std::string& path, std::string& name) {
  name = path == "/dev/stdin" ? "standard input" : path;
  FILE* const file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrFormat("%s: cannot open: %s", name, std::strerror(errno)));
  }
  return file;
}

TextLines::TextLines(string_view text, std::string name)
    : name_(std::move(name)), file_(nullptr, &std::fclose), pending_(text) {}

TextLines::TextLines(FILE* file, std::string name, std::function<void(int64_t)> progress)
    : name_(std::move(name)), file_(file, &std::fclose), progress_(std::move(progress)) {}

void TextLines::Append(string_view raw) {
  if (encoding_ == Encoding::kUtf8) {
    buffer_.append(raw.data(), raw.size());
    return;
  }
  pending_.append(raw.data(), raw.size());
  const bool little = encoding_ == Encoding::kUtf16Little;
  const auto unit = [&](size_t at) -> uint32_t {
    const uint8_t first = pending_[at], second = pending_[at + 1];
    return little ? first | second << 8 : first << 8 | second;
  };
  size_t at = 0;
  for (; at + 2 <= pending_.size(); at += 2) {
    uint32_t code = unit(at);
    if (code >= 0xd800 && code < 0xdc00) {
      if (at + 4 > pending_.size()) break;
      const uint32_t low = unit(at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 2;
      } else {
        code = 0xfffd;
      }
    } else if (code >= 0xdc00 && code < 0xe000) {
      code = 0xfffd;
    }
    AppendCode(code, buffer_);
  }
  pending_.erase(0, at);
}

absl::Status TextLines::Fill() {
  if (file_ == nullptr) {
    const std::string raw = std::move(pending_);
    pending_.clear();
    bytes_read_ += static_cast<int64_t>(raw.size());
    at_end_ = true;
    Append(raw);
    return absl::OkStatus();
  }
  std::string raw(kPiece, '\0');
  const size_t got = std::fread(raw.data(), 1, raw.size(), file_.get());
  if (got == 0 && std::ferror(file_.get())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: cannot read: %s", name_, std::strerror(errno)));
  }
  raw.resize(got);
  at_end_ = got == 0;
  bytes_read_ += static_cast<int64_t>(got);
  if (progress_) progress_(bytes_read_);
  Append(raw);
  return absl::OkStatus();
}

absl::Status TextLines::Open(size_t bytes) {
  opened_ = true;
  while (!at_end_ && buffer_.size() < bytes) ALLO_RETURN_IF_ERROR(Fill());
  if (std::string why = WhyNoTable(buffer_, name_); !why.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", why));
  }
  // UTF-16: by its mark, or by zeros in every second byte of ASCII text.
  const string_view head = string_view(buffer_).substr(0, 4096);
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == 0;
  const bool little = absl::StartsWith(head, "\xff\xfe"), big = absl::StartsWith(head, "\xfe\xff");
  const bool halves = head.size() >= 8;
  if (little || (halves && zeros[1] > head.size() * 2 / 5 && zeros[0] < head.size() / 20)) {
    encoding_ = Encoding::kUtf16Little;
  } else if (big || (halves && zeros[0] > head.size() * 2 / 5 && zeros[1] < head.size() / 20)) {
    encoding_ = Encoding::kUtf16Big;
  } else if (zeros[0] + zeros[1] > head.size() / 20) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": is not text (it holds zero bytes): a table in text form is needed"));
  }
  if (encoding_ != Encoding::kUtf8) {
    std::string raw = std::move(buffer_);
    buffer_.clear();
    Append(raw);
  }
  if (!at_end_ && buffer_.size() >= kLongestLine &&
      buffer_.find_first_of("\r\n") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: a line is longer than %d bytes: this is not a CSV file", name_, kLongestLine));
  }
  int64_t lone_returns = 0, feeds = 0;  // CR alone; LF
  for (size_t i = 0; i < buffer_.size(); ++i) {
    feeds += buffer_[i] == '\n';
    lone_returns += buffer_[i] == '\r' && i + 1 < buffer_.size() && buffer_[i + 1] != '\n' &&
                    buffer_[i + 1] != '\r';
  }
  if (lone_returns > feeds || (feeds == 0 && absl::StrContains(buffer_, '\r'))) end_of_line_ = '\r';
  return absl::OkStatus();
}

absl::StatusOr<size_t> TextLines::FindEnd(size_t from) {
  size_t searched = from;
  while (true) {
    const size_t end = buffer_.find(end_of_line_, searched);
    if (end != std::string::npos) return end;
    if (at_end_) return from < buffer_.size() ? buffer_.size() : std::string::npos;
    if (buffer_.size() - from > kLongestLine) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: a line is longer than %d bytes: this is not a CSV file", name_, kLongestLine));
    }
    searched = buffer_.size();
    ALLO_RETURN_IF_ERROR(Fill());
  }
}

absl::StatusOr<bool> TextLines::Next(string_view& line) {
  if (!opened_) ALLO_RETURN_IF_ERROR(Open(1));
  line_ += lines_taken_;
  if (begin_ > kPiece) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  ALLO_ASSIGN_OR_RETURN(const size_t end, FindEnd(begin_));
  if (end == std::string::npos) return false;
  ++line_;
  lines_taken_ = lines_joined_ = 0;
  line = string_view(buffer_).substr(begin_, end - begin_);
  line_begin_ = begin_;
  record_end_ = end;
  begin_ = std::min(end + 1, buffer_.size());
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  while (absl::StartsWith(line, "\xef\xbb\xbf")) line.remove_prefix(3);
  if (PlainAscii(line) || ValidUtf8(line)) return true;
  if (absl::StrContains(line, '\0')) return true;
  windows_1252_ = true;
  converted_ = FromWindows1252(line);
  line = converted_;
  return true;
}

absl::StatusOr<bool> TextLines::Longer(string_view& record) {
  if (record_end_ >= buffer_.size()) {
    if (at_end_) return false;
    ALLO_RETURN_IF_ERROR(Fill());
    if (record_end_ >= buffer_.size()) return false;
  }
  ALLO_ASSIGN_OR_RETURN(const size_t end, FindEnd(record_end_ + 1));
  if (end == std::string::npos || end - line_begin_ > kLongestRecord) return false;
  record_end_ = end;
  ++lines_joined_;
  record = string_view(buffer_).substr(line_begin_, end - line_begin_);
  while (!record.empty() && record.back() == '\r') record.remove_suffix(1);
  while (absl::StartsWith(record, "\xef\xbb\xbf")) record.remove_prefix(3);
  if (!PlainAscii(record) && !ValidUtf8(record) && !absl::StrContains(record, '\0')) {
    windows_1252_ = true;
    converted_ = FromWindows1252(record);
    record = converted_;
  }
  return true;
}

void TextLines::Accept() {
  begin_ = std::min(record_end_ + 1, buffer_.size());
  lines_taken_ = lines_joined_;
}

}  // namespace allometry::fitting
