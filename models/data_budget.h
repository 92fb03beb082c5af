// Tokens, passes and compute that a corpus allows, as Pearce et al. 2025 compute them for their
// regime of "infinite data". C = 6 N D. Up to `epochs` passes count as new tokens; four passes are
// nearly as good as new tokens (Muennighoff et al. 2023).
#pragma once

#include <cstdint>

namespace allometry::models {

inline constexpr double kUsefulEpochs = 4;

// Unique tokens of `frames` of `tokens_per_frame`: inputs, actions among them.
double UniqueTokens(double frames, double tokens_per_frame);
// D up to which a corpus is as good as endless.
double EffectiveTokens(double unique_tokens, double epochs = kUsefulEpochs);
// C of training `params` on `tokens`, and D of training `params` with `flops`.
double ComputeOf(double params, double tokens);
double TokensFor(double flops, double params);
double EpochsOf(double tokens, double unique_tokens);
// The largest compute at which `params` do not repeat a corpus more than `epochs` times.
double LargestCompute(double params, double unique_tokens, double epochs = kUsefulEpochs);

}  // namespace allometry::models
