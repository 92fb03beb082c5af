#include "models/guarded_update.h"

#include <cmath>

namespace allometry::models {
namespace {

class HostUpdate final : public GuardedUpdate {
 public:
  HostUpdate(const ParameterLayout& layout, const AdamWOptions& options)
      : adamw_(CreateAdamW(layout, options)) {}

  void Apply(const AdamWState& state, const UpdateInputs* inputs, UpdateReport* report) override {
    if (report->failed_step != 0) return;
    if (!std::isfinite(report->loss)) {
      report->failed_step = inputs->step;
      report->failed_loss = report->loss;
      return;
    }
    adamw_->Step(state, static_cast<int64_t>(inputs->step), inputs->rate, &report->gradient_norm);
    report->loss_sum += report->loss;
    report->loss_count += 1;
  }

 private:
  const std::unique_ptr<AdamW> adamw_;
};

}  // namespace

std::unique_ptr<GuardedUpdate> CreateHostUpdate(const ParameterLayout& layout,
                                                const AdamWOptions& options) {
  return std::make_unique<HostUpdate>(layout, options);
}

}  // namespace allometry::models
