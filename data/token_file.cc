#include "data/token_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data/file_kind.h"
#include "data/npy.h"

namespace allometry::data {
namespace {

struct RawType {
  const char* name;
  int64_t bytes;
  bool is_signed;
};
constexpr RawType kRawTypes[] = {
    {"u8", 1, false}, {"u16", 2, false}, {"u32", 4, false}, {"i32", 4, true}, {"i64", 8, true},
};

// llm.c's .bin files begin with 256 of i32: magic number, version, number of tokens, zeros.
struct LlmcFormat {
  int32_t magic;
  int32_t version;
  int64_t bytes_each;
};
constexpr LlmcFormat kLlmcFormats[] = {{20240520, 1, 2}, {20240801, 7, 4}};
constexpr int64_t kLlmcHeader = 256 * sizeof(int32_t);

absl::Status Refuse(const InputFile& file, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), why));
}

// The number at `from`, which has layout.bytes_each bytes.
int64_t NumberAt(const char* from, const TokenLayout& layout) {
  uint64_t number = 0;
  if (layout.big_endian) {
    for (int64_t i = 0; i < layout.bytes_each; ++i) {
      number = number << 8 | static_cast<uint8_t>(from[i]);
    }
  } else {
    std::memcpy(&number, from, static_cast<size_t>(layout.bytes_each));
  }
  const int unused = static_cast<int>(64 - 8 * layout.bytes_each);
  // Sign extension; an unsigned number above 2^63 becomes negative, and so is refused as well.
  if (layout.is_signed) return static_cast<int64_t>(number << unused) >> unused;
  return static_cast<int64_t>(number);
}

// Elements and bytes agree, whatever the file says about itself.
absl::Status CheckSize(const InputFile& file, const TokenLayout& layout) {
  const int64_t wanted = layout.offset + layout.count * layout.bytes_each;
  if (wanted == file.bytes()) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat(
      "%s: its header says %d ids of %d bytes, which makes %d bytes with it: the file has %d",
      file.path(), layout.count, layout.bytes_each, wanted, file.bytes()));
}

absl::StatusOr<TokenLayout> NpyLayout(const InputFile& file, absl::string_view front) {
  const absl::StatusOr<NpyArray> array = ParseNpyFront(front);
  if (!array.ok()) return Annotate(array.status(), file.path());
  const bool whole = array->kind == 'u' || array->kind == 'i';
  const int64_t each = array->bytes_each;
  if (!whole || (each != 1 && each != 2 && each != 4 && each != 8)) {
    return Refuse(file, absl::StrFormat(" is a NumPy array of type '%s': token ids are integers "
                                        "(u1, u2, u4, u8, i1, i2, i4, i8)",
                                        array->descr));
  }
  if (array->shape.size() != 1) {
    return Refuse(file,
                  absl::StrFormat(" is a NumPy array of shape (%s): allowed is one dimension, so "
                                  "say how its rows follow each other: numpy.save(..., "
                                  "array.reshape(-1))",
                                  absl::StrJoin(array->shape, ", ")));
  }
  TokenLayout layout = {.bytes_each = each,
                        .is_signed = array->kind == 'i',
                        .big_endian = array->big_endian && each > 1,
                        .offset = array->offset,
                        .count = array->count,
                        .format = absl::StrFormat(".npy of '%s'", array->descr)};
  ALLO_RETURN_IF_ERROR(CheckSize(file, layout));
  return layout;
}

// Nothing where the file does not begin as llm.c's do.
absl::StatusOr<std::optional<TokenLayout>> LlmcLayout(const InputFile& file,
                                                      absl::string_view front) {
  int32_t header[3] = {};
  if (front.size() < sizeof(header)) return std::nullopt;
  std::memcpy(header, front.data(), sizeof(header));
  for (const LlmcFormat& format : kLlmcFormats) {
    if (header[0] != format.magic) continue;
    if (header[1] != format.version || header[2] < 0 || file.bytes() < kLlmcHeader) {
      return Refuse(
          file, absl::StrFormat(" is a token file of llm.c, version %d with %d tokens and "
                                "%d bytes: known is version %d with a header of %d bytes",
                                header[1], header[2], file.bytes(), format.version, kLlmcHeader));
    }
    TokenLayout layout = {.bytes_each = format.bytes_each,
                          .offset = kLlmcHeader,
                          .count = header[2],
                          .format = absl::StrFormat("llm.c's u%d", 8 * format.bytes_each)};
    ALLO_RETURN_IF_ERROR(CheckSize(file, layout));
    return layout;
  }
  return std::nullopt;
}

// What 16-bit words say about ids of more bits. In a file of 32-bit ids every second word is the
// upper half of an id, which for any vocabulary in use is a small number; negative ids have 65535.
// Returns the bits, or 0 where the words look like 16-bit ids.
int WiderIds(absl::string_view front) {
  const size_t words = front.size() / 8 * 4;
  if (words < 16) return 0;
  constexpr unsigned kUpperHalf = 15;
  unsigned largest[4] = {};
  for (size_t i = 0; i < words; ++i) {
    uint16_t word;
    std::memcpy(&word, front.data() + 2 * i, sizeof(word));
    if (word == 0xFFFF && i % 2 == 1) continue;
    largest[i % 4] = std::max<unsigned>(largest[i % 4], word);
  }
  const unsigned low = std::max(largest[0], largest[2]), high = std::max(largest[1], largest[3]);
  const bool upper = low > 0 && (high == 0 || (high <= kUpperHalf && low > 16 * kUpperHalf));
  if (!upper) return 0;
  return largest[1] <= kUpperHalf && largest[2] == 0 && largest[3] == 0 && largest[0] > 0 ? 64 : 32;
}

int64_t Largest(absl::string_view front, TokenLayout layout) {
  int64_t largest = -1;
  const auto each = static_cast<size_t>(layout.bytes_each);
  for (size_t at = 0; at + each <= front.size(); at += each) {
    largest = std::max(largest, NumberAt(front.data() + at, layout));
  }
  return largest;
}

// Why raw numbers that nobody gave a type for are not taken for what they were to be.
absl::Status CheckStatistics(const InputFile& file, absl::string_view front,
                             const TokenLayout& layout, int64_t vocabulary) {
  if (layout.count < 16) return absl::OkStatus();  // too few to tell
  if (layout.bytes_each == 2) {
    if (const int bits = WiderIds(front); bits > 0) {
      return Refuse(file, absl::StrFormat(" looks like %d-bit ids: of its 16-bit numbers %s hold "
                                          "almost nothing; pass --dtype %s (or --dtype u16 if they "
                                          "are ids all the same)",
                                          bits, bits == 32 ? "every second one" : "three of four",
                                          bits == 32 ? "u32" : "i64"));
    }
  }
  if (Largest(front, layout) < vocabulary) return absl::OkStatus();
  TokenLayout other = layout;
  other.big_endian = true;
  if (Largest(front, other) < vocabulary) {
    return Refuse(file, absl::StrFormat(" looks like big-endian ids: read so, all are below %d; "
                                        "turn them round, in Python: numpy.fromfile(FILE, "
                                        "'>u%d').astype('<u%d').tofile(...)",
                                        vocabulary, layout.bytes_each, layout.bytes_each));
  }
  other.big_endian = false;
  other.bytes_each = layout.bytes_each == 2 ? 4 : 2;
  if (file.bytes() % other.bytes_each == 0 && Largest(front, other) < vocabulary) {
    const char* name = other.bytes_each == 4 ? "u32" : "u16";
    return Refuse(file, absl::StrFormat(" looks like %s ids: read so, all are below %d; pass "
                                        "--dtype %s",
                                        name, vocabulary, name));
  }
  return absl::OkStatus();  // reading says which id it is
}

}  // namespace

absl::StatusOr<TokenLayout> LayoutOfTokens(const InputFile& file, const std::string& dtype,
                                           int64_t vocabulary) {
  ALLO_ASSIGN_OR_RETURN(const std::string front, file.Front(size_t{1} << 20));
  if (dtype == "auto") {
    if (absl::StartsWith(front, "\x93NUMPY")) return NpyLayout(file, front);
    ALLO_ASSIGN_OR_RETURN(std::optional<TokenLayout> llmc, LlmcLayout(file, front));
    if (llmc.has_value()) return *std::move(llmc);
    if (const std::optional<FileKind> kind = KindOfFront(front, file.path())) {
      return Refuse(file, absl::StrFormat(" is %s, not token ids: %s (or name the type of its "
                                          "numbers with --dtype, if it is raw ids all the same)",
                                          kind->name, kind->advice));
    }
    if (LooksLikeText(front)) {
      return Refuse(file, " is text, not token ids: 'allo data text' makes a dataset of it");
    }
  }
  const std::string wanted = dtype != "auto" ? dtype : vocabulary > 1 << 16 ? "u32" : "u16";
  const auto type = std::find_if(std::begin(kRawTypes), std::end(kRawTypes),
                                 [&](const RawType& row) { return wanted == row.name; });
  if (type == std::end(kRawTypes)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dtype '%s': allowed are auto, u8, u16, u32, i32 and i64", dtype));
  }
  TokenLayout layout = {.bytes_each = type->bytes,
                        .is_signed = type->is_signed,
                        .offset = 0,
                        .count = file.bytes() / type->bytes,
                        .format = absl::StrCat("raw ", type->name)};
  if (file.bytes() % type->bytes != 0) {
    return Refuse(file, absl::StrFormat(": %d bytes are not a whole number of %s ids", file.bytes(),
                                        type->name));
  }
  if (dtype == "auto") {
    ALLO_RETURN_IF_ERROR(CheckStatistics(file, front, layout, vocabulary));
  }
  return layout;
}

absl::Status ReadTokens(const InputFile& file, const TokenLayout& layout, int64_t vocabulary,
                        const std::function<absl::Status(std::span<const uint32_t>)>& use) {
  constexpr int64_t kPiece = 1 << 20;
  std::vector<char> bytes(static_cast<size_t>(kPiece * layout.bytes_each));
  std::vector<uint32_t> tokens;
  for (int64_t first = 0; first < layout.count; first += kPiece) {
    const int64_t count = std::min(kPiece, layout.count - first);
    const auto piece = std::span(bytes).first(static_cast<size_t>(count * layout.bytes_each));
    ALLO_ASSIGN_OR_RETURN(const size_t got,
                          file.ReadAt(layout.offset + first * layout.bytes_each, piece));
    if (got != piece.size()) return file.CheckUnchanged();
    tokens.clear();
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = NumberAt(bytes.data() + i * layout.bytes_each, layout);
      if (id < 0 || id >= vocabulary) {
        return absl::OutOfRangeError(
            absl::StrFormat("%s: id %d at token %d (%s): allowed is 0 to %d, the vocabulary's ids; "
                            "another one is given by --vocabulary",
                            file.path(), id, first + i, layout.format, vocabulary - 1));
      }
      tokens.push_back(static_cast<uint32_t>(id));
    }
    ALLO_RETURN_IF_ERROR(use(tokens));
  }
  return file.CheckUnchanged();
}

}  // namespace allometry::data
