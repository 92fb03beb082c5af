// The whole step for one instruction set.
#pragma once

#include "models/fused_cpu/plan.h"

namespace allometry::models::fused_cpu {

namespace avx512 {
double Step(const Plan& plan, const StepArguments& arguments);
}
namespace avx2 {
double Step(const Plan& plan, const StepArguments& arguments);
}
namespace baseline {
double Step(const Plan& plan, const StepArguments& arguments);
}

}  // namespace allometry::models::fused_cpu
