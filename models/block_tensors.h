// The tensors of a GPT block in LibTorch: of one model ([out, in], [width]), or of K stacked models
// ([K, out, in], [K, width]).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace allometry::models {

inline constexpr double kLayerNormEpsilon = 1e-5;

// In the order of ParameterLayout, in which they follow the embeddings.
struct BlockTensors {
  static constexpr int64_t kViews = 12;

  at::Tensor ln_1_gain, ln_1_bias, attention_weight, attention_bias, attention_out_weight,
      attention_out_bias, ln_2_gain, ln_2_bias, up_weight, up_bias, down_weight, down_bias;
};

// Those of `layers` blocks from the views that begin at `next`, which then is behind them.
inline std::vector<BlockTensors> TakeBlocks(int layers,
                                            std::vector<at::Tensor>::const_iterator& next) {
  std::vector<BlockTensors> blocks(layers);
  for (BlockTensors& block : blocks) {
    for (at::Tensor* tensor :
         {&block.ln_1_gain, &block.ln_1_bias, &block.attention_weight, &block.attention_bias,
          &block.attention_out_weight, &block.attention_out_bias, &block.ln_2_gain,
          &block.ln_2_bias, &block.up_weight, &block.up_bias, &block.down_weight,
          &block.down_bias}) {
      *tensor = *next++;
    }
  }
  return blocks;
}

}  // namespace allometry::models
