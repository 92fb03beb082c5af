#include "data/text_encoding.h"

#include <iconv.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/utf8.h"
#include "data/file_kind.h"

namespace allometry::data {
namespace {

constexpr char kBom[] = "\xEF\xBB\xBF";  // U+FEFF in UTF-8
// Our names and iconv's.
constexpr std::pair<const char*, const char*> kEncodings[] = {
    {"utf-8", "UTF-8"},         {"utf-16", "UTF-16"}, {"utf-16le", "UTF-16LE"},
    {"utf-16be", "UTF-16BE"},   {"utf-32", "UTF-32"}, {"latin-1", "ISO-8859-1"},
    {"windows-1252", "CP1252"},
};

// What auto refuses: a name of kEncodings where the bytes are characters of two or four bytes.
std::optional<const char*> WideEncoding(absl::string_view bytes) {
  const absl::string_view mark = bytes.substr(0, 4);
  if (mark == absl::string_view("\xFF\xFE\0\0", 4) ||
      mark == absl::string_view("\0\0\xFE\xFF", 4)) {
    return "utf-32";
  }
  if (absl::StartsWith(bytes, "\xFF\xFE") || absl::StartsWith(bytes, "\xFE\xFF")) return "utf-16";
  // Without a mark: where the zeros are. Half of a UTF-16 text of mostly Latin letters is zeros.
  const absl::string_view front = bytes.substr(0, size_t{1} << 16);
  size_t zeros[4] = {};
  for (size_t i = 0; i < front.size(); ++i) zeros[i % 4] += front[i] == '\0' ? 1 : 0;
  const size_t quarter = front.size() / 4;
  const auto many = [&](size_t at) { return quarter >= 4 && zeros[at] * 4 > quarter * 3; };
  const auto few = [&](size_t at) { return zeros[at] * 20 < quarter; };
  if (many(1) && many(2) && many(3) && few(0)) return "utf-32";
  if (many(0) && many(1) && many(2) && few(3)) return "utf-32";
  if (many(1) && many(3) && few(0) && few(2)) return "utf-16le";
  if (many(0) && many(2) && few(1) && few(3)) return "utf-16be";
  return std::nullopt;
}

absl::Status Refused(const std::string& path, absl::string_view is, absl::string_view advice) {
  return absl::InvalidArgumentError(absl::StrCat(path, " is ", is, ", not text: ", advice));
}

// Why `bytes` are no text of one byte or more a character.
absl::Status CheckIsText(absl::string_view bytes, const std::string& path) {
  if (const std::optional<FileKind> kind = KindOfFront(bytes.substr(0, size_t{1} << 16), path)) {
    return Refused(path, kind->name, kind->advice);
  }
  if (const std::optional<const char*> wide = WideEncoding(bytes)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is text in UTF-%s: pass --encoding %s, or convert it to UTF-8 first",
                        path, absl::StrContains(*wide, "32") ? "32" : "16", *wide));
  }
  const auto zeros = static_cast<int64_t>(std::count(bytes.begin(), bytes.end(), '\0'));
  const auto controls = std::count_if(bytes.begin(), bytes.end(), [](char c) {
    return absl::ascii_iscntrl(c) && !absl::ascii_isspace(c) && c != '\x1B' && c != '\0';
  });
  if (zeros > 0) {
    return Refused(path, "a binary file",
                   absl::StrFormat("%d of its %d bytes are 0, the first is byte %d; --encoding "
                                   "bytes takes a file as it is",
                                   zeros, bytes.size(), bytes.find('\0')));
  }
  if (controls * 50 > static_cast<int64_t>(bytes.size())) {
    return Refused(path, "a binary file",
                   absl::StrFormat("%d of its %d bytes are control characters; --encoding bytes "
                                   "takes a file as it is",
                                   controls, bytes.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Convert(absl::string_view bytes, const char* from,
                                    const std::string& path, const std::string& encoding) {
  const iconv_t converter = iconv_open("UTF-8", from);
  ALLO_CHECK(converter != reinterpret_cast<iconv_t>(-1)) << from;
  std::string text, piece(1 << 16, '\0');
  char* in = const_cast<char*>(bytes.data());  // iconv does not write there
  size_t left = bytes.size();
  bool failed = false;
  while (left > 0 && !failed) {
    char* out = piece.data();
    size_t room = piece.size();
    failed = iconv(converter, &in, &left, &out, &room) == static_cast<size_t>(-1) && errno != E2BIG;
    text.append(piece, 0, piece.size() - room);
  }
  iconv_close(converter);
  if (!failed) return text;
  return absl::DataLossError(absl::StrFormat("%s: byte %d (%s) is no %s", path, bytes.size() - left,
                                             absl::CHexEscape(bytes.substr(bytes.size() - left, 4)),
                                             encoding));
}

void ReplaceLineEnds(PlainText& plain) {
  const bool pairs = absl::StrContains(plain.text, "\r\n");
  const bool alone = !absl::StrContains(plain.text, '\n') && absl::StrContains(plain.text, '\r');
  if (!pairs && !alone) return;
  const char* end = pairs ? "\r\n" : "\r";
  const int count = absl::StrReplaceAll({{end, "\n"}}, &plain.text);
  absl::StrAppend(&plain.changes, pairs ? ", CRLF" : ", CR", " read as LF");
  plain.notes.push_back(
      absl::StrFormat("%d lines end with %s, which was read as LF", count, pairs ? "CRLF" : "CR"));
}

}  // namespace

absl::StatusOr<PlainText> ToPlainText(std::string bytes, const std::string& encoding,
                                      const std::string& path) {
  PlainText plain;
  plain.text = std::move(bytes);
  if (encoding == "bytes") return plain;
  const auto row = std::find_if(std::begin(kEncodings), std::end(kEncodings),
                                [&](const auto& known) { return encoding == known.first; });
  if (row != std::end(kEncodings)) {
    ALLO_ASSIGN_OR_RETURN(plain.text, Convert(plain.text, row->second, path, encoding));
  } else if (encoding != "auto") {
    return absl::InvalidArgumentError(
        absl::StrFormat("encoding '%s': allowed are auto, bytes, %s", encoding,
                        absl::StrJoin(kEncodings, ", ", [](std::string* out, const auto& known) {
                          absl::StrAppend(out, known.first);
                        })));
  }
  ALLO_RETURN_IF_ERROR(CheckIsText(plain.text, path));
  if (absl::StartsWith(plain.text, kBom)) {
    plain.text.erase(0, sizeof(kBom) - 1);
    absl::StrAppend(&plain.changes, ", without its byte-order mark");
  }
  if (const size_t at = FirstInvalidUtf8(plain.text); at != absl::string_view::npos) {
    const size_t begin = at < 12 ? 0 : at - 12;
    plain.notes.push_back(absl::StrFormat(
        "not UTF-8 at byte %d (\"%s\"), so its bytes are taken as they are; --encoding latin-1 or "
        "windows-1252 converts it",
        at, absl::CHexEscape(plain.text.substr(begin, at - begin + 8))));
  }
  ReplaceLineEnds(plain);
  return plain;
}

}  // namespace allometry::data
