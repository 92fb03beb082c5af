// The memory behind a Plan: one block, allocated once, zeroed, every buffer at a cache line.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "base/status.h"
#include "models/fused_cpu/plan.h"
#include "models/shape.h"
#include "models/train_step.h"

namespace allometry::models::fused_cpu {

class PlanStorage {
 public:
  // Unimplemented where the activations of one sequence would take more than 512 MiB: attention
  // probabilities are kept, context^2 a head and layer.
  static absl::StatusOr<std::unique_ptr<PlanStorage>> Make(const Shape& shape,
                                                           const ParameterLayout& layout);

  const Plan& plan() const { return plan_; }

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  PlanStorage() = default;

  Plan plan_;
  std::vector<Block> blocks_;
  std::unique_ptr<float, Free> memory_;
};

}  // namespace allometry::models::fused_cpu
