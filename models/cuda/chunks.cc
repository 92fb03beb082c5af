#include "models/cuda/chunks.h"

#include <algorithm>

#include "models/adamw.h"

namespace allometry::models::cuda {

std::vector<Chunk> ChunksOf(const ParameterLayout& layout) {
  std::vector<Chunk> chunks;
  for (const DecayRange& range : DecayRanges(layout)) {
    for (int64_t begin = 0; begin < range.size; begin += kChunkElements) {
      const int64_t size = std::min<int64_t>(kChunkElements, range.size - begin);
      chunks.push_back({range.offset + begin, static_cast<int32_t>(size), range.decays ? 1 : 0});
    }
  }
  return chunks;
}

}  // namespace allometry::models::cuda
