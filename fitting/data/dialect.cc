#include "fitting/data/dialect.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace allometry::fitting {
namespace {

char Mark(Separator separator) {
  switch (separator) {
    case Separator::kComma:
      return ',';
    case Separator::kSemicolon:
      return ';';
    case Separator::kTab:
      return '\t';
    case Separator::kPipe:
      return '|';
    case Separator::kAmpersand:
      return '&';
    case Separator::kWideSpace:
    case Separator::kSpace:
      return ' ';
  }
  return ',';
}

absl::string_view Trim(absl::string_view text) { return absl::StripAsciiWhitespace(text); }

bool IsBoxCharacter(absl::string_view text) {
  return text.size() >= 3 && text[0] == '\xe2' && (text[1] == '\x94' || text[1] == '\x95');
}

}  // namespace

const char* Name(Separator separator) {
  switch (separator) {
    case Separator::kComma:
      return "comma";
    case Separator::kSemicolon:
      return "semicolon";
    case Separator::kTab:
      return "tab";
    case Separator::kPipe:
      return "pipe";
    case Separator::kAmpersand:
      return "ampersand";
    case Separator::kWideSpace:
    case Separator::kSpace:
      return "spaces";
  }
  return "comma";
}

void Splitter::SplitSpaces(absl::string_view line, size_t fewest) {
  line = Trim(line);
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  size_t start = 0;
  while (start < line.size()) {
    size_t end = start, next = line.size();
    if (line[start] == '"') {
      const size_t close = line.find('"', start + 1);
      if (close != absl::string_view::npos) {
        end = close + 1;
        fields_.push_back(line.substr(start + 1, close - start - 1));
        while (end < line.size() && blank(line[end])) ++end;
        start = end;
        continue;
      }
    }
    for (size_t i = start; i < line.size(); ++i) {
      if (!blank(line[i])) {
        end = i + 1;
        continue;
      }
      size_t run = i;
      while (run < line.size() && blank(line[run])) ++run;
      if (run - i >= fewest || absl::StrContains(line.substr(i, run - i), '\t')) {
        next = run;
        break;
      }
      i = run - 1;
    }
    fields_.push_back(line.substr(start, end - start));
    start = next;
  }
}

bool Splitter::Split(absl::string_view line) {
  fields_.clear();
  if (separator_ == Separator::kSpace) return SplitSpaces(line, 1), true;
  if (separator_ == Separator::kWideSpace) return SplitSpaces(line, 2), true;
  if (separator_ == Separator::kPipe) {
    if (absl::StrContains(line, "\xe2\x94") || absl::StrContains(line, "\xe2\x95")) {
      line_ = absl::StrReplaceAll(
          line, {{"\xe2\x94\x82", "|"}, {"\xe2\x94\x83", "|"}, {"\xe2\x95\x91", "|"}});
      line = line_;
    }
    line = Trim(line);
    if (!line.empty() && line.front() == '|') line.remove_prefix(1);
    if (!line.empty() && line.back() == '|') line.remove_suffix(1);
  }
  if (separator_ == Separator::kAmpersand) {
    const size_t end = line.find("\\\\");
    if (end != absl::string_view::npos) line = line.substr(0, end);
  }
  const char mark = Mark(separator_);
  if (line.find('"') == absl::string_view::npos) {
    while (true) {
      const size_t end = line.find(mark);
      fields_.push_back(Trim(line.substr(0, end)));
      if (end == absl::string_view::npos) return true;
      line.remove_prefix(end + 1);
    }
  }
  unquoted_.clear();
  bool quoted = false, fresh = true;  // inside quotes; only blanks so far in this field
  std::string field;
  for (size_t i = 0; i <= line.size(); ++i) {
    if (i == line.size() || (line[i] == mark && !quoted)) {
      unquoted_.push_back(std::move(field));
      field.clear();
      fresh = true;
    } else if (quoted && line[i] == '"') {
      if (i + 1 < line.size() && line[i + 1] == '"') {
        field.push_back('"');
        ++i;
      } else {
        quoted = false;
      }
    } else if (fresh && line[i] == '"') {
      quoted = true;
      fresh = false;
      field.clear();
    } else {
      fresh = fresh && (line[i] == ' ' || line[i] == '\t');
      field.push_back(line[i]);
    }
  }
  for (const std::string& text : unquoted_) fields_.push_back(Trim(text));
  return !quoted;
}

bool IsNoRow(absl::string_view line) {
  line = Trim(line);
  if (line.empty() || line.front() == '#' || line.front() == '%') return true;
  if (line.front() == '\\' && !absl::StrContains(line, '&')) return true;
  for (size_t i = 0; i < line.size(); ++i) {
    if (absl::ascii_isalnum(line[i])) return false;
    if (static_cast<unsigned char>(line[i]) < 0x80) continue;
    if (!IsBoxCharacter(line.substr(i))) return false;
    i += 2;
  }
  // Missing values are a row, and so is a quote that opens one.
  return line.find_first_of("?\"") == absl::string_view::npos;
}

}  // namespace allometry::fitting
