#include "worker/trainer/agent_features.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "data/strata/world.h"

namespace allometry::trainer {
namespace {

at::Tensor TableOf(std::vector<float> values, int64_t rows) {
  ALLO_CHECK(rows > 0 && static_cast<int64_t>(values.size()) % rows == 0);
  return at::from_blob(values.data(), {rows, static_cast<int64_t>(values.size()) / rows},
                       at::TensorOptions().dtype(at::kFloat))
      .clone();
}

// Three bits a tile, the first tile highest (data/strata/tokens.h).
at::Tensor TilesOfBlocks(int64_t ids) {
  int tiles = 1;
  while (int64_t{1} << 3 * tiles < ids) ++tiles;
  std::vector<float> values(static_cast<size_t>(ids * tiles * strata::kTiles), 0.0f);
  for (int64_t id = 0; id < ids; ++id) {
    for (int tile = 0; tile < tiles; ++tile) {
      const int64_t shown = id >> 3 * (tiles - 1 - tile) & 7;
      values[static_cast<size_t>((id * tiles + tile) * strata::kTiles + shown)] = 1;
    }
  }
  return TableOf(std::move(values), ids);
}

// Whether the tokens are Strata's and each says the tiles of its block: one or two cells a side.
bool AreTilesOfStrata(const data::Manifest& manifest) {
  int64_t view = 0, zo = 0;
  if (std::sscanf(manifest.tokenizer.c_str(), "strata-view%ld-zo%ld", &view, &zo) != 2)
    return false;
  return zo > 0 && view * view / zo <= 4;
}

}  // namespace

absl::StatusOr<AgentFeatures> AgentFeatures::Of(const data::Manifest& manifest,
                                                const TokenizerFile* tokenizer,
                                                const ModelFile& model) {
  AgentFeatures features;
  features.tokens_ = manifest.frames->tokens_per_observation;
  const auto segment = data::FindSegment(manifest, "observation");
  if (segment && segment->begin != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("dataset %s: observations have the ids from %d on: allowed is from 0",
                        manifest.name, segment->begin));
  }
  const int64_t ids = segment ? segment->end : 0;
  if (tokenizer != nullptr) {
    features.table_ = TableOf(tokenizer->codebook, tokenizer->shape.vocabulary);
  } else if (AreTilesOfStrata(manifest)) {
    features.table_ = TilesOfBlocks(ids);
  } else {
    const models::ParameterView& table = model.layout.views.front();
    const auto begin = model.parameters.begin() + table.offset;
    features.table_ =
        TableOf(std::vector<float>(begin, begin + ids * model.identity.shape.width), ids);
  }
  return features;
}

absl::StatusOr<at::Tensor> AgentFeatures::X(std::span<const int32_t> tokens) const {
  for (const int32_t id : tokens) {
    if (id >= 0 && id < table_.size(0)) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("token %d of an observation: allowed is 0..%d", id, table_.size(0) - 1));
  }
  const at::Tensor ids =
      at::from_blob(const_cast<int32_t*>(tokens.data()), {static_cast<int64_t>(tokens.size())},
                    at::TensorOptions().dtype(at::kInt));
  return at::embedding(table_, ids).view({-1, features()});
}

}  // namespace allometry::trainer
