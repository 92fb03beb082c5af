#include "models/codebook.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/split_mix.h"

namespace allometry::models {
namespace {

constexpr double kDeadShare = 0.1;  // of V / K

}  // namespace

int UpdateCodebook(const CodebookBatch& batch, Codebook codebook) {
  const size_t codes = codebook.counts.size();
  const size_t width = codebook.codes.size() / codes;
  ALLO_CHECK(batch.counts.size() == codes && batch.sums.size() == codes * width &&
             codebook.sums.size() == codes * width)
      << codes << " codes of " << width;
  const double vectors = std::accumulate(batch.counts.begin(), batch.counts.end(), 0.0);
  const double usual = vectors / static_cast<double>(codes);
  const size_t candidates = batch.candidates.size() / width;
  size_t next = 0;
  for (size_t i = 0; i < codes; ++i) {
    float& count = codebook.counts[i];
    float* const sum = codebook.sums.data() + i * width;
    float* const code = codebook.codes.data() + i * width;
    count = kCodebookGamma * count + (1 - kCodebookGamma) * batch.counts[i];
    for (size_t j = 0; j < width; ++j) {
      sum[j] = kCodebookGamma * sum[j] + (1 - kCodebookGamma) * batch.sums[i * width + j];
    }
    if (count < kDeadShare * usual && next < candidates) {
      count = static_cast<float>(usual);
      for (size_t j = 0; j < width; ++j) {
        code[j] = batch.candidates[next * width + j];
        sum[j] = code[j] * count;
      }
      ++next;
    } else if (batch.counts[i] > 0) {
      for (size_t j = 0; j < width; ++j) code[j] = sum[j] / count;
    }
  }
  return static_cast<int>(next);
}

int64_t CandidateVector(int64_t update, int i, int64_t vectors) {
  const uint64_t draw =
      SplitMix(SplitMix(static_cast<uint64_t>(update)) + static_cast<uint64_t>(i));
  return static_cast<int64_t>(draw % static_cast<uint64_t>(vectors));
}

double Perplexity(std::span<const double> counts) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  if (total <= 0) return 0;
  double entropy = 0;
  for (const double count : counts) {
    if (count > 0) entropy -= count / total * std::log(count / total);
  }
  return std::exp(entropy);
}

}  // namespace allometry::models
