// Which instruction set this process computes with: the widest that the CPU has, or the one that
// the environment variable ALLO_ISA names, so that one machine can stand for others:
//
//   ALLO_ISA=avx2 build/bin/allo-trainer ...
//
// Bits of a training step depend on it, so it is part of what an attempt records of its device.
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "models/fused_cpu/decode.h"
#include "models/fused_cpu/step.h"

namespace allometry::models {

struct InstructionSet {
  const char* name;  // "avx512" (F, BW, DQ and VL), "avx2" (with FMA), "baseline" (plain x86-64)
  fused_cpu::StepFunction step;
  const fused_cpu::DecodeKernels* decode;
  bool here;  // the CPU and the kernel of this machine have it
};

// All, the widest first.
std::span<const InstructionSet> InstructionSets();

// ALLO_ISA's where it is set and not empty; otherwise the widest that is here. InvalidArgument
// names what ALLO_ISA may be; FailedPrecondition says what this machine has.
absl::StatusOr<InstructionSet> ChooseInstructionSet();

// Where ALLO_ISA is set, tells the libraries behind LibTorch to go no further either, by their own
// environment variables (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA, MKL_CBWR); those that are set
// already stay. To be called before LibTorch is used and before there are threads.
void LimitLibTorchToInstructionSet();

}  // namespace allometry::models
