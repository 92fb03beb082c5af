// The codebook of a vector quantiser, learned by moving averages (van den Oord et al. 2017,
// appendix A.1) and kept alive.
//
// Of each code i a count N_i, a sum m_i and the code c_i itself. With n_i vectors of an update
// nearest to c_i and s_i their sum,
//
//   N_i = gamma N_i + (1 - gamma) n_i,   m_i = gamma m_i + (1 - gamma) s_i,   c_i = m_i / N_i
//
// A code is dead where N_i is below a tenth of V / K, V the update's vectors: unused for about 230
// updates at gamma = 0.99. Dead codes, in ascending order, take the update's candidates (vectors of
// the batch, drawn by counter) with N_i = V / K, as far as those go. Every code begins dead, so a
// codebook begins with vectors of its first batches. Plain functions, deterministic.
#pragma once

#include <cstdint>
#include <span>

namespace allometry::models {

inline constexpr float kCodebookGamma = 0.99f;
inline constexpr int kMostCandidates = 256;  // of an update

// Row-major; counts [codes], the others [codes, width].
struct Codebook {
  std::span<float> codes;
  std::span<float> counts;
  std::span<float> sums;
};

// What an update brings.
struct CodebookBatch {
  std::span<const float> counts;      // n
  std::span<const float> sums;        // s
  std::span<const float> candidates;  // [up to kMostCandidates, width]
};

// Returns how many codes were revived.
int UpdateCodebook(const CodebookBatch& batch, Codebook codebook);

// Which of an update's `vectors` is candidate number `i`. Part of a run's numbers: do not change.
int64_t CandidateVector(int64_t update, int i, int64_t vectors);

// exp of the entropy of the codes' frequencies: how many codes are in use, were they used alike. 0
// where nothing was counted.
double Perplexity(std::span<const double> counts);

}  // namespace allometry::models
