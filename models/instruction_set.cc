#include "models/instruction_set.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::models {
namespace {

std::string Names(bool only_here) {
  std::vector<std::string> names;
  for (const InstructionSet& set : InstructionSets()) {
    if (set.here || !only_here) names.emplace_back(set.name);
  }
  return absl::StrJoin(names, ", ");
}

// What each library calls the set. MKL_CBWR also works on CPUs of other makers, which
// MKL_ENABLE_INSTRUCTIONS does not.
struct LibraryLimits {
  const char* set;
  const char* aten;
  const char* onednn;
  const char* mkl;
};
constexpr LibraryLimits kLibraryLimits[] = {{"avx2", "avx2", "AVX2", "AVX2"},
                                            {"baseline", "default", "SSE41", "COMPATIBLE"}};

}  // namespace

std::span<const InstructionSet> InstructionSets() {
  static const std::array<InstructionSet, 3> sets = {
      {{"avx512", &fused_cpu::avx512::Step, &fused_cpu::avx512::kDecodeKernels,
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("fma")},
       {"avx2", &fused_cpu::avx2::Step, &fused_cpu::avx2::kDecodeKernels,
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
       {"baseline", &fused_cpu::baseline::Step, &fused_cpu::baseline::kDecodeKernels, true}}};
  return sets;
}

absl::StatusOr<InstructionSet> ChooseInstructionSet() {
  const std::span<const InstructionSet> sets = InstructionSets();
  const char* asked = std::getenv("ALLO_ISA");
  if (asked == nullptr || *asked == '\0') {
    return *std::find_if(sets.begin(), sets.end(), [](const InstructionSet& s) { return s.here; });
  }
  for (const InstructionSet& set : sets) {
    if (absl::string_view(asked) != set.name) continue;
    if (set.here) return set;
    return absl::FailedPreconditionError(
        absl::StrFormat("ALLO_ISA is '%s', which this CPU does not have: it has %s", asked,
                        Names(/*only_here=*/true)));
  }
  return absl::InvalidArgumentError(absl::StrFormat("ALLO_ISA is '%s': allowed are %s, or not set",
                                                    asked, Names(/*only_here=*/false)));
}

void LimitLibTorchToInstructionSet() {
  const char* asked = std::getenv("ALLO_ISA");
  if (asked == nullptr) return;
  for (const LibraryLimits& limits : kLibraryLimits) {
    if (absl::string_view(asked) != limits.set) continue;
    setenv("ATEN_CPU_CAPABILITY", limits.aten, /*overwrite=*/0);
    setenv("ONEDNN_MAX_CPU_ISA", limits.onednn, /*overwrite=*/0);
    setenv("MKL_CBWR", limits.mkl, /*overwrite=*/0);
  }
}

}  // namespace allometry::models
