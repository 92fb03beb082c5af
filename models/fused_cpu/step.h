// The whole step for one instruction set.
#pragma once

#include "models/fused_cpu/plan.h"

namespace allometry::models::fused_cpu {

namespace avx512 {
void Step(const Plan& plan, const StepArguments& arguments);
}
namespace avx2 {
void Step(const Plan& plan, const StepArguments& arguments);
}
namespace baseline {
void Step(const Plan& plan, const StepArguments& arguments);
}

}  // namespace allometry::models::fused_cpu
