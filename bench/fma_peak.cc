#include "bench/fma_peak.h"

#include <algorithm>
#include <ctime>
#include <iterator>

#include "base/check.h"

namespace allometry::bench {
namespace {

constexpr long kIterations = 200'000;

// Fourteen independent chains keep the multiply-add units of every CPU so far busy. In assembly, so
// that no compiler moves a register; all are zero, which takes as long as any value.
#define ALLO_FOURTEEN(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13)
#define ALLO_CLOBBERS                                                                      \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm15"

void Baseline() {
#define ALLO_CLEAR(i) "xorps %%xmm" #i ", %%xmm" #i "\n"
#define ALLO_MULTIPLY(i) "mulps %%xmm15, %%xmm" #i "\n"
#define ALLO_ADD(i) "addps %%xmm15, %%xmm" #i "\n"
  asm volatile(ALLO_FOURTEEN(ALLO_CLEAR) ALLO_CLEAR(15)::: ALLO_CLOBBERS);
  for (long i = 0; i < kIterations; ++i) {
    // Seven multiply and seven add, in turns: as many multiply-adds as one pass of the others.
    asm volatile(ALLO_MULTIPLY(0) ALLO_ADD(1) ALLO_MULTIPLY(2) ALLO_ADD(3) ALLO_MULTIPLY(4)
                     ALLO_ADD(5) ALLO_MULTIPLY(6) ALLO_ADD(7) ALLO_MULTIPLY(8) ALLO_ADD(9)
                         ALLO_MULTIPLY(10) ALLO_ADD(11) ALLO_MULTIPLY(12) ALLO_ADD(13)::
                             : ALLO_CLOBBERS);
  }
#undef ALLO_CLEAR
#undef ALLO_MULTIPLY
#undef ALLO_ADD
}

#define ALLO_FMA_LOOP(name)                                                  \
  void name() {                                                              \
    asm volatile(ALLO_FOURTEEN(ALLO_CLEAR) ALLO_CLEAR(15)::: ALLO_CLOBBERS); \
    for (long i = 0; i < kIterations; ++i) {                                 \
      asm volatile(ALLO_FOURTEEN(ALLO_FMA)::: ALLO_CLOBBERS);                \
    }                                                                        \
    asm volatile("vzeroupper");                                              \
  }
#define ALLO_CLEAR(i) "vxorps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
#define ALLO_FMA(i) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #i "\n"
ALLO_FMA_LOOP(Avx2)
#undef ALLO_FMA
#define ALLO_FMA(i) "vfmadd231ps %%zmm15, %%zmm15, %%zmm" #i "\n"
ALLO_FMA_LOOP(Avx512)

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Loop {
  const char* set;
  void (*run)();
  double flops;  // of an iteration
};
constexpr Loop kLoops[] = {
    {"baseline", &Baseline, 14 * 4}, {"avx2", &Avx2, 2 * 14 * 8}, {"avx512", &Avx512, 2 * 14 * 16}};

}  // namespace

double FmaPeak(absl::string_view instruction_set) {
  const Loop* loop = std::find_if(std::begin(kLoops), std::end(kLoops),
                                  [&](const Loop& l) { return instruction_set == l.set; });
  ALLO_CHECK(loop != std::end(kLoops)) << instruction_set;
  double best = 1e9;
  for (int i = 0; i < 40; ++i) {
    const double start = CpuSeconds();
    loop->run();
    best = std::min(best, CpuSeconds() - start);
  }
  return loop->flops * kIterations / best;
}

}  // namespace allometry::bench
