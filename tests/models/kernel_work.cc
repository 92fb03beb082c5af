// kernel_work_<instruction set> KERNEL REPETITIONS: runs one kernel of the fused step so many times
// and prints its units of work per repetition: multiply-adds, or elements of rows.
// instruction_count_test runs it under callgrind and compares two numbers of repetitions.
//
// Compiled once an instruction set (ALLO_ISA), for it calls that one's kernels only: valgrind knows
// no AVX-512.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "models/fused_cpu/attention.h"
#include "models/fused_cpu/product.h"
#include "models/fused_cpu/rows.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

// 64-byte aligned, small values that are not zero. Never freed: the process ends.
float* Buffer(long floats) {
  auto* data = static_cast<float*>(std::aligned_alloc(64, floats * sizeof(float)));
  for (long i = 0; i < floats; ++i) data[i] = 0.01f * static_cast<float>(i % 13 - 6) + 0.001f;
  return data;
}

long RunProduct(int repetitions, bool transposed, bool half_panel) {
  constexpr long kRows = 96, kDepth = 64, kPanels = 4, kColumns = kPanels * 16;
  static float *a = Buffer(kRows * kDepth), *b = Buffer(kDepth * kColumns),
               *c = Buffer(kRows * kColumns);
  for (int i = 0; i < repetitions; ++i) {
    Multiply({.a = a,
              .a_stride = transposed ? kRows : kDepth,
              .transposed = transposed,
              .b = b,
              .b_stride = 16,
              .b_panel_stride = kDepth * 16,
              .rows = kRows,
              .depth = kDepth,
              .panels = kPanels,
              .half_panel = half_panel,
              .c = c,
              .c_stride = kColumns,
              .bias = nullptr,
              .into = Into::kAdd});
  }
  return kRows * kDepth * (kColumns - (half_panel ? 8 : 0));
}

long RunAttention(int repetitions) {
  constexpr long kContext = 96, kHead = 32;
  const auto rows = [] { return Buffer(kContext * kHead); };
  const Head head = {.context = kContext,
                     .head_pad = kHead,
                     .half_panel = false,
                     .q = rows(),
                     .k = rows(),
                     .v = rows(),
                     .qkv_stride = kHead,
                     .probabilities = Buffer(kContext * kContext),
                     .attention_stride = kContext,
                     .panels = Buffer(kContext * kHead)};
  float* out = rows();
  const HeadGradients gradients = {.d_out = rows(),
                                   .out_stride = kHead,
                                   .d_q = rows(),
                                   .d_k = rows(),
                                   .d_v = rows(),
                                   .d_scores = Buffer(kContext * kContext)};
  for (int i = 0; i < repetitions; ++i) {
    AttentionForward(head, out, kHead);
    AttentionBackward(head, gradients);
  }
  // Six products on the causal half.
  return 6 * kContext * (kContext + 1) / 2 * kHead;
}

long RunRows(int repetitions) {
  constexpr long kCount = 32, kColumns = 64;
  const auto buffer = [] { return Buffer(kCount * kColumns); };
  const Rows x = {buffer(), kColumns, kCount, kColumns};
  const Rows logits = {buffer(), kColumns, kCount, kColumns};
  float *normed = buffer(), *d_x = buffer(), *derivative = buffer(), *sums = Buffer(kColumns),
        *mask = Buffer(kColumns), *inverse_std = Buffer(kCount);
  int32_t ids[kCount] = {};
  double losses[kCount];
  for (long i = 0; i < kColumns; ++i) mask[i] = 1;
  for (int i = 0; i < repetitions; ++i) {
    Normalize(x, kColumns, mask, normed, inverse_std);
    NormalizeBackward(x, kColumns, mask, normed, inverse_std, d_x, false);
    Gelu(x, derivative);
    AddColumnSums(x, sums);
    CrossEntropy(
        logits, {.ids = ids, .classes = {}, .weight = 1, .with_gradient = true, .weights = nullptr},
        losses);
  }
  return kCount * kColumns;
}

int Main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string kernel = argv[1];
  const int repetitions = std::atoi(argv[2]);
  long units = 0;
  if (kernel == "product") units = RunProduct(repetitions, false, false);
  if (kernel == "product_transposed") units = RunProduct(repetitions, true, false);
  if (kernel == "product_half_panel") units = RunProduct(repetitions, false, true);
  if (kernel == "attention") units = RunAttention(repetitions);
  if (kernel == "rows") units = RunRows(repetitions);
  std::printf("units %ld\n", units);
  return units > 0 ? 0 : 2;
}

}  // namespace
}  // namespace allometry::models::fused_cpu::ALLO_ISA

int main(int argc, char** argv) { return allometry::models::fused_cpu::ALLO_ISA::Main(argc, argv); }
