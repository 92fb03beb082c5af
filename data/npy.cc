#include "data/npy.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace allometry::data {
namespace {

static_assert(std::endian::native == std::endian::little, "token shards are little-endian");

struct TypeRow {
  TokenType type;
  const char* name;
  const char* descr;  // NumPy's
  int64_t bytes;
};
constexpr TypeRow kTypes[] = {
    {TokenType::kU8, "u8", "|u1", 1},
    {TokenType::kU16, "u16", "<u2", 2},
    {TokenType::kU32, "u32", "<u4", 4},
};

const TypeRow& RowOf(TokenType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row;
  }
  ALLO_CHECK(false) << "unknown token type";
  return kTypes[0];
}

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kPrologue = 10;  // magic, two version bytes, u16 header length

// The text after 'key': in the header's dict, or nothing.
absl::string_view ValueOf(absl::string_view dict, absl::string_view key) {
  const std::string quoted = absl::StrCat("'", key, "':");
  const size_t at = dict.find(quoted);
  if (at == absl::string_view::npos) return {};
  return absl::StripLeadingAsciiWhitespace(dict.substr(at + quoted.size()));
}

absl::Status ReadDescr(absl::string_view text, NpyArray& array) {
  if (!absl::ConsumePrefix(&text, "'")) {
    // A structure is a list of fields, which may itself have commas and quotes.
    array.descr = std::string(text.substr(0, text.find(']')).substr(0, 80));
    if (absl::StartsWith(text, "[")) return absl::OkStatus();
    return absl::InvalidArgumentError("the .npy header has no descr");
  }
  array.descr = std::string(text.substr(0, text.find('\'')).substr(0, 80));
  absl::string_view rest = array.descr;
  array.big_endian = absl::StartsWith(rest, ">");
  if (!rest.empty() && absl::StrContains("<>|=", rest[0])) rest.remove_prefix(1);
  if (!rest.empty()) array.kind = rest[0];
  rest.remove_prefix(rest.empty() ? 0 : 1);
  if (!absl::SimpleAtoi(rest, &array.bytes_each) || array.bytes_each < 0) array.bytes_each = 0;
  return absl::OkStatus();
}

absl::Status ReadShape(absl::string_view shape, NpyArray& array) {
  constexpr int64_t kMostElements = int64_t{1} << 56;  // so that a size in bytes cannot overflow
  const size_t close = shape.find(')');
  if (!absl::ConsumePrefix(&shape, "(") || close == absl::string_view::npos) {
    return absl::InvalidArgumentError("the .npy header has no shape");
  }
  const absl::string_view inside = shape.substr(0, close - 1);
  array.count = 1;
  for (const absl::string_view text : absl::StrSplit(inside, ',', absl::SkipWhitespace())) {
    int64_t size = 0;
    if (!absl::SimpleAtoi(text, &size) || size < 0 || size >= kMostElements ||
        __builtin_mul_overflow(array.count, size, &array.count) || array.count >= kMostElements) {
      return absl::InvalidArgumentError(absl::StrFormat(".npy shape (%s): not sizes", inside));
    }
    array.shape.push_back(size);
  }
  return absl::OkStatus();
}

template <class Word>
void Append(std::span<const uint32_t> tokens, std::string& out) {
  const size_t at = out.size();
  out.resize(at + tokens.size() * sizeof(Word));
  char* to = out.data() + at;
  for (const uint32_t token : tokens) {
    ALLO_CHECK(token <= std::numeric_limits<Word>::max()) << token;
    const Word word = static_cast<Word>(token);
    std::memcpy(to, &word, sizeof(word));
    to += sizeof(word);
  }
}

}  // namespace

int64_t BytesOf(TokenType type) { return RowOf(type).bytes; }
const char* NameOf(TokenType type) { return RowOf(type).name; }

absl::StatusOr<TokenType> ParseTokenType(absl::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (name == row.name) return row.type;
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("dtype '%s': allowed are u8, u16 and u32", name));
}

TokenType NarrowestType(int64_t vocabulary) {
  if (vocabulary <= 1 << 8) return TokenType::kU8;
  if (vocabulary <= 1 << 16) return TokenType::kU16;
  return TokenType::kU32;
}

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view bytes) {
  ALLO_ASSIGN_OR_RETURN(NpyHeader header, ParseNpyArrayHeader(bytes));
  if (header.shape.size() == 1) return header;
  return absl::InvalidArgumentError(absl::StrFormat(".npy shape (%s): allowed is one dimension",
                                                    absl::StrJoin(header.shape, ", ")));
}

absl::StatusOr<NpyHeader> ParseNpyArrayHeader(absl::string_view bytes) {
  ALLO_ASSIGN_OR_RETURN(NpyArray array, ParseNpyFront(bytes));
  NpyHeader header;
  bool known = false;
  for (const TypeRow& row : kTypes) {
    if (array.descr != row.descr) continue;
    header.type = row.type;
    known = true;
  }
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrFormat(".npy type '%s': allowed are '|u1', '<u2' and '<u4'", array.descr));
  }
  if (array.fortran_order) {
    return absl::InvalidArgumentError(".npy fortran_order True: allowed is False (C order)");
  }
  header.count = array.count;
  header.offset = array.offset;
  header.shape = std::move(array.shape);
  return header;
}

absl::StatusOr<NpyArray> ParseNpyFront(absl::string_view bytes) {
  if (!absl::StartsWith(bytes, kMagic) || bytes.size() < kPrologue) {
    return absl::InvalidArgumentError("not a .npy file (it does not start with \\x93NUMPY)");
  }
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(bytes[i])); };
  if (byte(6) < 1 || byte(6) > 3) {
    return absl::InvalidArgumentError(
        absl::StrFormat(".npy format version %d.%d: allowed are 1 to 3", byte(6), byte(7)));
  }
  // The length of the header has two bytes in version 1, and four in later ones.
  const size_t prologue = byte(6) == 1 ? kPrologue : kPrologue + 2;
  size_t length = byte(8) | byte(9) << 8;
  if (bytes.size() >= prologue && byte(6) > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (bytes.size() < prologue + length) {
    return absl::InvalidArgumentError("the .npy header is cut off");
  }
  const absl::string_view dict = bytes.substr(prologue, length);
  NpyArray array;
  array.offset = static_cast<int64_t>(prologue + length);
  ALLO_RETURN_IF_ERROR(ReadDescr(ValueOf(dict, "descr"), array));
  ALLO_RETURN_IF_ERROR(ReadShape(ValueOf(dict, "shape"), array));
  const absl::string_view order = ValueOf(dict, "fortran_order");
  array.fortran_order = absl::StartsWith(order, "True");
  if (!array.fortran_order && !absl::StartsWith(order, "False")) {
    return absl::InvalidArgumentError("the .npy header does not say fortran_order True or False");
  }
  return array;
}

std::string EncodeNpyHeader(TokenType type, std::span<const int64_t> shape) {
  std::string dict =
      absl::StrFormat("{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }",
                      RowOf(type).descr, absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "");
  while ((kPrologue + dict.size() + 1) % 64 != 0) dict += ' ';
  dict += '\n';
  std::string out(kMagic);
  out += {1, 0, static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  out += dict;
  return out;
}

std::string EncodeNpy(TokenType type, std::span<const uint32_t> tokens) {
  const int64_t shape[] = {static_cast<int64_t>(tokens.size())};
  std::string out = EncodeNpyHeader(type, shape);
  switch (type) {
    case TokenType::kU8:
      Append<uint8_t>(tokens, out);
      break;
    case TokenType::kU16:
      Append<uint16_t>(tokens, out);
      break;
    case TokenType::kU32:
      Append<uint32_t>(tokens, out);
      break;
  }
  return out;
}

}  // namespace allometry::data
