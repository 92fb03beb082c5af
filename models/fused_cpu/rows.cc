#include "models/fused_cpu/rows.h"

#include "models/fused_cpu/vector.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

constexpr float kEpsilon = 1e-5f;

}  // namespace

void Normalize(const Rows& x, long width, const float* mask, float* normed, float* inverse_std) {
  const float inverse_width = 1.0f / static_cast<float>(width);
  for (long row = 0; row < x.count; ++row) {
    const float* in = x.data + row * x.stride;
    float* out = normed + row * x.stride;
    Vec sum{};
    for (long i = 0; i < x.columns; i += kLanes) sum += Load(in + i);
    const float mean = Sum(sum) * inverse_width;
    Vec square{};
    for (long i = 0; i < x.columns; i += kLanes) {
      const Vec centred = (Load(in + i) - mean) * Load(mask + i);
      square += centred * centred;
    }
    const float scale = 1.0f / __builtin_sqrtf(Sum(square) * inverse_width + kEpsilon);
    for (long i = 0; i < x.columns; i += kLanes) {
      Store(out + i, (Load(in + i) - mean) * (Load(mask + i) * scale));
    }
    inverse_std[row] = scale;
  }
}

void NormalizeBackward(const Rows& d_normed, long width, const float* mask, const float* normed,
                       const float* inverse_std, float* d_x, bool overwrite) {
  const float inverse_width = 1.0f / static_cast<float>(width);
  for (long row = 0; row < d_normed.count; ++row) {
    const long offset = row * d_normed.stride;
    const float* d = d_normed.data + offset;
    const float* y = normed + offset;
    float* out = d_x + offset;
    Vec sum{}, dot{};
    for (long i = 0; i < d_normed.columns; i += kLanes) {
      sum += Load(d + i);
      dot += Load(d + i) * Load(y + i);
    }
    const float mean = Sum(sum) * inverse_width;
    const float projection = Sum(dot) * inverse_width;
    const float scale = inverse_std[row];
    for (long i = 0; i < d_normed.columns; i += kLanes) {
      const Vec through =
          (Load(d + i) - mean - Load(y + i) * projection) * (Load(mask + i) * scale);
      Store(out + i, overwrite ? through : Load(out + i) + through);
    }
  }
}

void Gelu(const Rows& x, float* derivative) {
  for (long row = 0; row < x.count; ++row) {
    float* in = x.data + row * x.stride;
    float* slope = derivative + row * x.stride;
    for (long i = 0; i < x.columns; i += kLanes) {
      const Vec u = Load(in + i);
      const NormalCdf normal = Phi(u);
      Store(in + i, u * normal.phi);
      Store(slope + i, normal.phi + u * normal.exponential * 0.39894228040143268f);
    }
  }
}

void AddColumnSums(const Rows& rows, float* sums) {
  for (long i = 0; i < rows.columns; i += kLanes) {
    Vec sum = Load(sums + i);
    for (long row = 0; row < rows.count; ++row) sum += Load(rows.data + row * rows.stride + i);
    Store(sums + i, sum);
  }
}

namespace {

// z = exp(z - top), the largest being 1. Returns their sum.
ALLO_INLINE float Exponentials(float* z, long columns, float* top) {
  Vec largest = Load(z);
  for (long i = kLanes; i < columns; i += kLanes) largest = Max(largest, Load(z + i));
  *top = MaxLane(largest);
  Vec sum{};
  for (long i = 0; i < columns; i += kLanes) {
    const Vec e = ExpOfNegative(Load(z + i) - *top);
    Store(z + i, e);
    sum += e;
  }
  return Sum(sum);
}

ALLO_INLINE float WeightOf(const Targets& targets, long row) {
  return targets.weights == nullptr ? targets.weight : targets.weight * targets.weights[row];
}

}  // namespace

void CrossEntropy(const Rows& logits, const Targets& targets, double* losses) {
  for (long row = 0; row < logits.count; ++row) {
    float* z = logits.data + row * logits.stride;
    const float right = z[targets.ids[row]];
    float top = 0;
    const float partition = Exponentials(z, logits.columns, &top);
    losses[row] = __builtin_log(static_cast<double>(partition)) + top - right;
    if (!targets.with_gradient) continue;
    const float weight = WeightOf(targets, row);
    const float scale = weight / partition;
    for (long i = 0; i < logits.columns; i += kLanes) Store(z + i, Load(z + i) * scale);
    z[targets.ids[row]] -= weight;
  }
}

void ClassCrossEntropy(const Rows& logits, const Targets& targets, double* losses) {
  for (long row = 0; row < logits.count; ++row) {
    float* z = logits.data + row * logits.stride;
    float top = 0;
    const float partition = Exponentials(z, logits.columns, &top);
    const float* mask =
        targets.classes.masks + targets.classes.of[targets.ids[row]] * logits.columns;
    Vec within{};
    for (long i = 0; i < logits.columns; i += kLanes) within += Load(z + i) * Load(mask + i);
    const float class_partition = Sum(within);
    losses[row] = __builtin_log(static_cast<double>(partition)) -
                  __builtin_log(static_cast<double>(class_partition));
    if (!targets.with_gradient) continue;
    const float weight = WeightOf(targets, row);
    const float scale = weight / partition;
    const float class_scale = weight / class_partition;
    for (long i = 0; i < logits.columns; i += kLanes) {
      Store(z + i, Load(z + i) * (scale - Load(mask + i) * class_scale));
    }
  }
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
