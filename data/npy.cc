#include "data/npy.h"

#include <bit>
#include <cstring>
#include <limits>

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
  if (!absl::StartsWith(bytes, kMagic) || bytes.size() < kPrologue) {
    return absl::InvalidArgumentError("not a .npy file (it does not start with \\x93NUMPY)");
  }
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (byte(6) != 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat(".npy format version %d.%d: allowed is 1.x", byte(6), byte(7)));
  }
  const size_t length = byte(8) | byte(9) << 8;
  if (bytes.size() < kPrologue + length) {
    return absl::InvalidArgumentError("the .npy header is cut off");
  }
  const absl::string_view dict = bytes.substr(kPrologue, length);

  NpyHeader header;
  header.offset = static_cast<int64_t>(kPrologue + length);
  const absl::string_view descr = ValueOf(dict, "descr");
  bool known = false;
  for (const TypeRow& row : kTypes) {
    if (!absl::StartsWith(descr, absl::StrCat("'", row.descr, "'"))) continue;
    header.type = row.type;
    known = true;
  }
  if (!known) {
    return absl::InvalidArgumentError(absl::StrFormat(
        ".npy type %s: allowed are '|u1', '<u2' and '<u4'", descr.substr(0, descr.find(','))));
  }
  absl::string_view shape = ValueOf(dict, "shape");
  const size_t close = shape.find(')');
  if (!absl::ConsumePrefix(&shape, "(") || close == absl::string_view::npos) {
    return absl::InvalidArgumentError("the .npy header has no shape");
  }
  const absl::string_view inside = shape.substr(0, close - 1);
  header.count = 1;
  for (absl::string_view text : absl::StrSplit(inside, ',', absl::SkipWhitespace())) {
    int64_t size = 0;
    if (!absl::SimpleAtoi(text, &size) || size < 0 ||
        __builtin_mul_overflow(header.count, size, &header.count)) {
      return absl::InvalidArgumentError(absl::StrFormat(".npy shape (%s): not sizes", inside));
    }
    header.shape.push_back(size);
  }
  return header;
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
