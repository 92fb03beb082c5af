#include "models/fused_cpu/plan_storage.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/positions.h"

namespace allometry::models::fused_cpu {
namespace {

// Beyond, autograd's blockwise attention is faster as well: bench/presets.cc.
constexpr int64_t kMostFloats = int64_t{1} << 27;
// Floats of activations that leave room for weights in a level-2 cache of 1 MiB.
constexpr int64_t kChunkFloats = 64 * 1024;

// Rows of 128 floats and more start at an odd number of cache lines from each other, so that a
// column does not fall into one cache set.
long Stride(long columns) {
  const long padded = PadToVector(columns);
  return padded >= 128 && padded / kVector % 2 == 0 ? padded + kVector : padded;
}

// Hands out places: first to sum up sizes (memory null), then for good.
class Places {
 public:
  explicit Places(float* memory) : memory_(memory) {}
  void Give(float*& pointer, int64_t floats) {
    if (memory_ != nullptr) pointer = memory_ + used_;
    used_ += PadToVector(floats);
  }
  int64_t used() const { return used_; }

 private:
  float* memory_;
  int64_t used_ = 0;
};

void PlaceWeights(Linear& linear, Places& places) {
  places.Give(linear.forward, linear.out.padded() * linear.in.used());
  places.Give(linear.backward, linear.in.padded() * linear.out.used());
  places.Give(linear.bias, linear.out.padded());
}

void PlaceGradients(Linear& linear, Places& places) {
  places.Give(linear.weight_gradient, linear.out.used() * linear.in.padded());
  places.Give(linear.bias_gradient, linear.out.padded());
}

void PlaceActivations(const Plan& plan, BlockActivations& a, Places& places) {
  const int64_t sequences = plan.chunk_sequences, tokens = sequences * plan.context;
  places.Give(a.normed_1, tokens * plan.width_stride);
  places.Give(a.inverse_std_1, tokens);
  places.Give(a.qkv, tokens * plan.qkv_stride);
  places.Give(a.attention, sequences * plan.heads * plan.context * plan.attention_stride);
  places.Give(a.mixed, tokens * plan.mixed_stride);
  places.Give(a.normed_2, tokens * plan.width_stride);
  places.Give(a.inverse_std_2, tokens);
  places.Give(a.hidden, tokens * plan.hidden_stride);
  places.Give(a.gelu_derivative, tokens * plan.hidden_stride);
}

void PlaceScratch(Plan& plan, Places& places) {
  const int64_t tokens = plan.chunk_sequences * plan.context;
  for (float** rows : {&plan.x, &plan.normed, &plan.d_x, &plan.d_normed}) {
    places.Give(*rows, tokens * plan.width_stride);
  }
  places.Give(plan.inverse_std, tokens);
  places.Give(plan.logits, tokens * plan.logits_stride);
  places.Give(plan.d_mixed, tokens * plan.mixed_stride);
  places.Give(plan.d_qkv, tokens * plan.qkv_stride);
  places.Give(plan.d_scores, plan.context * plan.attention_stride);
  places.Give(plan.panels, PadToVector(plan.context) * plan.head_pad);
  places.Give(plan.width_mask, PadToVector(plan.width));
  if (plan.is_rotary) {
    places.Give(plan.cosine, plan.context * plan.head_pad);
    places.Give(plan.signed_sine, plan.context * plan.head_pad);
  }
  places.Give(plan.class_masks, 2 * plan.head.out.padded());
}

// Everything, gradients side by side. Returns the floats used.
int64_t PlaceAll(Plan& plan, float* memory) {
  Places places(memory);
  std::vector<Linear*> linears;
  for (long layer = 0; layer < plan.layers; ++layer) {
    Block& block = plan.blocks[layer];
    for (Linear* linear : {&block.qkv, &block.project, &block.up, &block.down}) {
      linears.push_back(linear);
    }
  }
  linears.push_back(&plan.head);
  for (Linear* linear : linears) PlaceWeights(*linear, places);
  const int64_t before_gradients = places.used();
  for (Linear* linear : linears) PlaceGradients(*linear, places);
  plan.gradients_size = places.used() - before_gradients;
  plan.gradients = memory == nullptr ? nullptr : memory + before_gradients;
  for (long layer = 0; layer < plan.layers; ++layer) {
    PlaceActivations(plan, plan.blocks[layer].activations, places);
  }
  PlaceScratch(plan, places);
  return places.used();
}

// Axes, strides and offsets; no pointer but `blocks`.
Plan Describe(const Shape& shape, const ParameterLayout& layout, std::vector<Block>& blocks) {
  Plan plan;
  plan.layers = shape.layers;
  plan.heads = shape.heads;
  plan.width = shape.width;
  plan.context = shape.context;
  plan.vocabulary = shape.vocabulary;
  plan.head_width = shape.width / shape.heads;
  plan.head_pad = PadToVector(plan.head_width);
  plan.width_stride = Stride(plan.width);
  plan.qkv_stride = Stride(3 * plan.heads * plan.head_pad);
  plan.mixed_stride = Stride(plan.heads * plan.head_pad);
  plan.hidden_stride = Stride(4 * plan.width);
  plan.logits_stride = Stride(plan.vocabulary);
  plan.attention_stride = Stride(plan.context);

  const Axis width = PlainAxis(plan.width), hidden = PlainAxis(4 * plan.width);
  const Axis qkv = {3 * plan.width, plan.head_width, plan.head_pad};
  const Axis mixed = {plan.width, plan.head_width, plan.head_pad};
  auto view = layout.views.begin();
  const auto next = [&view] { return (view++)->offset; };
  plan.token_table_offset = next();
  const std::vector<models::PositionTable> tables = PositionTables(shape);
  ALLO_CHECK(tables.size() <= std::size(plan.position_tables));
  for (const models::PositionTable& table : tables) {
    plan.position_tables[plan.position_table_count++] = {next(), table.rows, table.tokens_per_row};
  }
  plan.is_rotary = shape.positions == run::Positions::kRotary;
  blocks.resize(plan.layers);
  plan.blocks = blocks.data();
  for (Block& block : blocks) {
    const auto linear = [&](const Axis& in, const Axis& out, bool normed) {
      Linear made;
      made.in = in;
      made.out = out;
      if (normed) {
        made.gain_offset = next();
        made.norm_bias_offset = next();
      }
      made.weight_offset = next();
      made.bias_offset = next();
      return made;
    };
    block.qkv = linear(width, qkv, true);
    block.qkv.scaled_rows = plan.width;
    block.qkv.row_scale = 1.0f / std::sqrt(static_cast<float>(plan.head_width));
    block.project = linear(mixed, width, false);
    block.up = linear(width, hidden, true);
    block.down = linear(hidden, width, false);
  }
  plan.head.in = width;
  plan.head.out = PlainAxis(plan.vocabulary);
  plan.head.weight_offset = plan.token_table_offset;
  plan.head.pads_outputs = true;
  plan.head.gain_offset = next();
  plan.head.norm_bias_offset = next();
  ALLO_CHECK(view == layout.views.end());
  return plan;
}

// Padding stays 0: a head's padded values are 0 as well.
void FillRotation(const Rotation& rotation, Plan& plan) {
  const long pairs = plan.head_width / 2;
  for (long position = 0; position < plan.context; ++position) {
    for (long i = 0; i < pairs; ++i) {
      float* cosine = plan.cosine + position * plan.head_pad + 2 * i;
      float* sine = plan.signed_sine + position * plan.head_pad + 2 * i;
      cosine[0] = cosine[1] = rotation.cosine[position * pairs + i];
      sine[1] = rotation.sine[position * pairs + i];
      sine[0] = -sine[1];
    }
  }
}

// Few tokens at a time keep activations in the cache; a wide model, whose weights do not fit, wants
// more of them for each weight that it fetches.
long ChunkSequences(const Plan& plan) {
  const int64_t block = 2 * plan.width_stride + plan.qkv_stride + plan.mixed_stride +
                        2 * plan.hidden_stride + plan.heads * plan.attention_stride;
  const int64_t per_token = plan.layers * block + plan.logits_stride;
  const int64_t tokens = std::max<int64_t>(plan.width / 2, kChunkFloats / per_token);
  return std::max<int64_t>(1, tokens / plan.context);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlanStorage>> PlanStorage::Make(const Shape& shape,
                                                               const ParameterLayout& layout) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  std::unique_ptr<PlanStorage> storage(new PlanStorage);
  Plan& plan = storage->plan_;
  plan = Describe(shape, layout, storage->blocks_);
  plan.chunk_sequences = ChunkSequences(plan);
  const int64_t floats = PlaceAll(plan, nullptr);
  if (floats > kMostFloats) {
    return absl::UnimplementedError(absl::StrFormat(
        "fused_cpu keeps attention probabilities and would need %.1f GiB for width %d, %d layers, "
        "%d heads, context %d: allowed are 0.5 GiB",
        floats * 4.0 / (1 << 30), shape.width, shape.layers, shape.heads, shape.context));
  }
  float* memory = static_cast<float*>(std::aligned_alloc(64, floats * sizeof(float)));
  ALLO_CHECK(memory != nullptr) << floats << " floats";
  storage->memory_.reset(memory);
  std::memset(memory, 0, floats * sizeof(float));
  PlaceAll(plan, memory);

  std::fill_n(plan.width_mask, plan.width, 1.0f);
  if (plan.is_rotary) FillRotation(RotationOf(shape), plan);
  // A padded logit has no probability.
  std::fill(plan.head.bias + plan.vocabulary, plan.head.bias + plan.head.out.padded(), -1e30f);
  return storage;
}

}  // namespace allometry::models::fused_cpu
