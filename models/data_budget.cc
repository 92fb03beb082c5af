#include "models/data_budget.h"

namespace allometry::models {

double UniqueTokens(double frames, double tokens_per_frame) { return frames * tokens_per_frame; }
double EffectiveTokens(double unique_tokens, double epochs) { return unique_tokens * epochs; }
double ComputeOf(double params, double tokens) { return 6 * params * tokens; }
double TokensFor(double flops, double params) { return flops / (6 * params); }
double EpochsOf(double tokens, double unique_tokens) { return tokens / unique_tokens; }
double LargestCompute(double params, double unique_tokens, double epochs) {
  return ComputeOf(params, EffectiveTokens(unique_tokens, epochs));
}

}  // namespace allometry::models
