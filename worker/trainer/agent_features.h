// What an agent sees of an observation: the features of its tokens, one after the other. They come
// from a frozen table [ids, features], so that an agent sees a model's frames and real ones alike,
// and no picture is drawn in between.
//
//   Strata's own tokens, where they lose nothing   of each tile which of the eight it is
//   codes of a tokenizer of images                 the vector of the codebook
//   any others                                     the row of the world model's token table
#pragma once

#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <span>

#include "base/status.h"
#include "data/manifest.h"
#include "worker/trainer/model_file.h"
#include "worker/trainer/tokenizer_file.h"

namespace allometry::trainer {

class AgentFeatures {
 public:
  // `manifest` is that of the tokens that are read; `tokenizer` may be null.
  static absl::StatusOr<AgentFeatures> Of(const data::Manifest& manifest,
                                          const TokenizerFile* tokenizer, const ModelFile& model);

  int64_t features() const { return tokens_ * table_.size(1); }  // of an observation
  // Observations [n, tokens] as x [n, features], fp32. InvalidArgument for an id beyond the table.
  absl::StatusOr<at::Tensor> X(std::span<const int32_t> tokens) const;

 private:
  at::Tensor table_;  // [ids, features of a token]
  int64_t tokens_ = 0;
};

}  // namespace allometry::trainer
