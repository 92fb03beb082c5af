// NumPy's .npy format. Shards are version 1.0, little-endian arrays of unsigned integers in C
// order; ParseNpyFront also describes what else numpy.save writes, for what imports it.
//
//   "\x93NUMPY" 1 0, u16 header length, a Python dict padded with spaces to a multiple of 64 bytes:
//   {'descr': '|u1', 'fortran_order': False, 'shape': (39952321,), }
//
// Our shards open with numpy.load(path, mmap_mode="r"); what numpy.save writes for such an array
// is read here. Source: numpy.lib.format, NEP 1.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

enum class TokenType { kU8, kU16, kU32 };

int64_t BytesOf(TokenType type);
// The manifest's names "u8", "u16", "u32".
const char* NameOf(TokenType type);
absl::StatusOr<TokenType> ParseTokenType(absl::string_view name);
// The narrowest type that holds ids 0 .. vocabulary-1.
TokenType NarrowestType(int64_t vocabulary);

// Any array, as its header describes it.
struct NpyArray {
  std::string descr;       // NumPy's type: "<u2"; of a structure its whole list
  char kind = '?';         // 'u' unsigned, 'i' signed, 'b' boolean, 'f' float, ...; '?' a structure
  int64_t bytes_each = 0;  // of an element; 0 where it is not a plain number
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  int64_t count = 0;   // elements: the product of `shape`, below 2^56
  int64_t offset = 0;  // of the first element, in bytes
};

// The header at the front of a file, of versions 1 to 3; `bytes` may be longer. InvalidArgument
// says what is wrong with it.
absl::StatusOr<NpyArray> ParseNpyFront(absl::string_view bytes);

struct NpyHeader {
  TokenType type = TokenType::kU8;
  int64_t count = 0;   // elements: the product of `shape`
  int64_t offset = 0;  // of the first element, in bytes; a multiple of 16
  std::vector<int64_t> shape;
};

// Reads the header of a shard at the front of a file; `bytes` may be longer. InvalidArgument says
// what the file is instead (not .npy, another type, two dimensions, Fortran order).
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view bytes);
// The same, of any number of dimensions.
absl::StatusOr<NpyHeader> ParseNpyArrayHeader(absl::string_view bytes);

// What stands before the elements of an array in C order.
std::string EncodeNpyHeader(TokenType type, std::span<const int64_t> shape);
// A whole file. Every token must fit in `type` (checked).
std::string EncodeNpy(TokenType type, std::span<const uint32_t> tokens);

}  // namespace allometry::data
