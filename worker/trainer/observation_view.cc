#include "worker/trainer/observation_view.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "base/check.h"
#include "base/split_mix.h"
#include "data/generated.h"
#include "data/strata/spec.h"
#include "data/strata/tokens.h"
#include "data/strata/world.h"
#include "models/decode.h"
#include "worker/trainer/tokenizer_file.h"

namespace allometry::trainer {
namespace {

constexpr int kRandomChannels = 8;
constexpr int kTileBits = 3;

// Of a dataset that is generated, or was written by `allo data strata --spec TEXT ...`.
std::optional<strata::Spec> StrataOf(const data::Manifest& manifest) {
  std::string text = manifest.generator;
  const std::string kOption = "--spec ";
  if (const size_t at = text.find(kOption); at != std::string::npos) {
    text = text.substr(at + kOption.size());
    text = text.substr(0, text.find(' '));
  }
  absl::StatusOr<strata::Spec> spec = strata::ParseSpec(text);
  if (!spec.ok()) return std::nullopt;
  return *std::move(spec);
}

int SquareSide(int64_t tokens) {
  const auto side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(tokens))));
  return int64_t{side} * side == tokens ? side : 0;
}

std::vector<float> RandomTable(int64_t ids, uint64_t seed) {
  std::vector<float> table(ids * kRandomChannels);
  for (size_t i = 0; i < table.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - models::Uniform(seed, i, 0)));
    table[i] =
        static_cast<float>(radius * std::cos(2 * std::numbers::pi * models::Uniform(seed, i, 1)));
  }
  return table;
}

}  // namespace

absl::StatusOr<ObservationView> ObservationView::Create(const std::string& run_dir,
                                                        const run::RunSpec& spec,
                                                        const data::Manifest& read, uint64_t seed) {
  ALLO_CHECK(read.frames.has_value());
  const int64_t tokens = read.frames->tokens_per_observation;
  const auto segment = data::FindSegment(read, "observation");
  ALLO_CHECK(segment.has_value());
  ObservationView view;
  view.first_ = static_cast<int32_t>(segment->begin);
  const int side = SquareSide(tokens);
  view.height_ = side > 0 ? side : 1;
  view.width_ = static_cast<int>(tokens / view.height_);
  for (const run::RunInput& input : spec.inputs) {
    if (input.kind != run::InputKind::kTokenizer) continue;
    ALLO_ASSIGN_OR_RETURN(TokenizerFile tokenizer, ReadTokenizer(run_dir, input));
    view.channels_ = tokenizer.code_width;
    view.table_ = std::move(tokenizer.codebook);
    return view;
  }
  if (const std::optional<strata::Spec> strata = StrataOf(read)) {
    const auto tokenizer = strata::Tokenizer::Create(strata->view, tokens);
    if (tokenizer.ok() && tokenizer->lossless() &&
        segment->end - segment->begin == tokenizer->vocabulary()) {
      view.has_cells_ = true;
      view.block_ = tokenizer->block();
      view.height_ = view.width_ = static_cast<int>(strata->view);
      view.channels_ = strata::kTiles;
      return view;
    }
  }
  view.channels_ = kRandomChannels;
  view.table_ = RandomTable(segment->end - segment->begin, seed);
  return view;
}

void ObservationView::Fill(std::span<const int32_t> tokens, std::span<float> out) const {
  ALLO_CHECK(static_cast<int64_t>(out.size()) == size());
  const int64_t cells = int64_t{height_} * width_;
  if (!has_cells_) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const float* row = table_.data() + int64_t{tokens[i] - first_} * channels_;
      for (int c = 0; c < channels_; ++c) out[c * cells + static_cast<int64_t>(i)] = row[c];
    }
    return;
  }
  std::fill(out.begin(), out.end(), 0.0f);
  const int blocks = width_ / block_, tiles = block_ * block_;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int top = static_cast<int>(i) / blocks * block_,
              left = static_cast<int>(i) % blocks * block_;
    for (int tile = 0; tile < tiles; ++tile) {
      // The first tile is in the highest bits.
      const int kind =
          (tokens[i] - first_) >> (kTileBits * (tiles - 1 - tile)) & (strata::kTiles - 1);
      out[kind * cells + (top + tile / block_) * width_ + left + tile % block_] = 1;
    }
  }
}

double ObservationView::CellError(std::span<const int32_t> real,
                                  std::span<const int32_t> generated) const {
  const int tiles = block_ * block_;
  int64_t wrong = 0;
  for (size_t i = 0; i < real.size(); ++i) {
    const int32_t other = (real[i] - first_) ^ (generated[i] - first_);
    for (int tile = 0; tile < tiles; ++tile) {
      wrong += (other >> (kTileBits * tile) & (strata::kTiles - 1)) != 0;
    }
  }
  return static_cast<double>(wrong) /
         static_cast<double>(static_cast<int64_t>(real.size()) * tiles);
}

}  // namespace allometry::trainer
