#include "models/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/adamw_cpu.h"

namespace allometry::models {
namespace {

// Neighbouring views that agree on weight decay, as one range of the flat buffer.
struct Range {
  int64_t offset = 0;
  int64_t size = 0;
  bool decays = false;
};

std::vector<Range> Ranges(const ParameterLayout& layout) {
  std::vector<Range> ranges;
  for (const ParameterView& view : layout.views) {
    if (!ranges.empty() && ranges.back().decays == view.decays) {
      ranges.back().size += view.size;
    } else {
      ranges.push_back({view.offset, view.size, view.decays});
    }
  }
  return ranges;
}

class CpuAdamW final : public AdamW {
 public:
  CpuAdamW(const ParameterLayout& layout, const AdamWOptions& options)
      : ranges_(Ranges(layout)), options_(options) {}

  void Step(const AdamWState& state, int64_t step, double rate, double* gradient_norm) override {
    const double norm = Norm(state.gradient);
    *gradient_norm = norm;
    AdamWCoefficients c;
    c.gradient_scale = options_.clip_norm > 0 && norm > options_.clip_norm
                           ? static_cast<float>(options_.clip_norm / norm)
                           : 1.0f;
    c.beta1 = static_cast<float>(options_.beta1);
    c.beta2 = static_cast<float>(options_.beta2);
    c.rate = static_cast<float>(rate / (1 - std::pow(options_.beta1, step)));
    c.second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, step)));
    c.epsilon = static_cast<float>(options_.epsilon);
    for (const Range& range : ranges_) {
      c.decay = range.decays ? static_cast<float>(1 - rate * options_.weight_decay) : 1.0f;
      AdamWPass(c, range.size, state.parameters.data() + range.offset,
                state.gradient.data() + range.offset, state.first_moment.data() + range.offset,
                state.second_moment.data() + range.offset);
      if (!state.rounded.empty()) {
        RoundToBf16(state.parameters.subspan(range.offset, range.size),
                    state.rounded.data() + range.offset);
      }
    }
  }

 private:
  const std::vector<Range> ranges_;
  const AdamWOptions options_;
};

// LibTorch's fused kernel over the ranges of the flat buffers: two launches an update.
class CudaAdamW final : public AdamW {
 public:
  CudaAdamW(const ParameterLayout& layout, const AdamWOptions& options, Device device)
      : ranges_(Ranges(layout)),
        options_(options),
        float_options_(at::TensorOptions()
                           .dtype(at::kFloat)
                           .device(at::kCUDA, static_cast<at::DeviceIndex>(device.index))) {}

  void Step(const AdamWState& state, int64_t step, double rate, double* gradient_norm) override {
    const at::Tensor gradient = Slice(state.gradient, 0, std::ssize(state.gradient));
    const at::Tensor norm = at::linalg_vector_norm(gradient);
    at::from_blob(gradient_norm, {}, float_options_.dtype(at::kDouble)).copy_(norm);
    // The kernel divides by grad_scale: max(1, norm / clip) is clipping without a host sync.
    std::optional<at::Tensor> scale;
    if (options_.clip_norm > 0) scale = (norm / options_.clip_norm).clamp_min(1.0).view({1});
    // The kernel writes the unscaled gradient back; the caller's stays as it is.
    const at::Tensor scaled = gradient.clone();
    const at::Tensor steps = at::full({}, static_cast<double>(step), float_options_);
    for (const bool decays : {true, false}) {
      std::vector<at::Tensor> p, g, m, v, t;
      for (const Range& range : ranges_) {
        if (range.decays != decays) continue;
        p.push_back(Slice(state.parameters, range.offset, range.size));
        g.push_back(scaled.narrow(0, range.offset, range.size));
        m.push_back(Slice(state.first_moment, range.offset, range.size));
        v.push_back(Slice(state.second_moment, range.offset, range.size));
        t.push_back(steps);
      }
      at::_fused_adamw_(p, g, m, v, {}, t, rate, options_.beta1, options_.beta2,
                        decays ? options_.weight_decay : 0.0, options_.epsilon,
                        /*amsgrad=*/false, /*maximize=*/false, scale, {});
    }
  }

 private:
  at::Tensor Slice(std::span<float> buffer, int64_t offset, int64_t size) const {
    return at::from_blob(buffer.data() + offset, {size}, float_options_);
  }

  const std::vector<Range> ranges_;
  const AdamWOptions options_;
  const at::TensorOptions float_options_;
};

}  // namespace

std::unique_ptr<AdamW> CreateAdamW(const ParameterLayout& layout, const AdamWOptions& options,
                                   Device device) {
  if (device.cuda) return std::make_unique<CudaAdamW>(layout, options, device);
  return std::make_unique<CpuAdamW>(layout, options);
}

}  // namespace allometry::models
