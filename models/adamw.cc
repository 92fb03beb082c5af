#include "models/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "models/adamw_cpu.h"

namespace allometry::models {
namespace {

class CpuAdamW final : public AdamW {
 public:
  CpuAdamW(const ParameterLayout& layout, const AdamWOptions& options)
      : ranges_(DecayRanges(layout)), options_(options) {}

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
    for (const DecayRange& range : ranges_) {
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
  const std::vector<DecayRange> ranges_;
  const AdamWOptions options_;
};

}  // namespace

std::vector<DecayRange> DecayRanges(const ParameterLayout& layout) {
  std::vector<DecayRange> ranges;
  for (const ParameterView& view : layout.views) {
    if (!ranges.empty() && ranges.back().decays == view.decays) {
      ranges.back().size += view.size;
    } else {
      ranges.push_back({view.offset, view.size, view.decays});
    }
  }
  return ranges;
}

std::unique_ptr<AdamW> CreateAdamW(const ParameterLayout& layout, const AdamWOptions& options,
                                   Device device) {
  ALLO_CHECK(!device.cuda);
  return std::make_unique<CpuAdamW>(layout, options);
}

}  // namespace allometry::models
