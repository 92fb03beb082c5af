// Flushes denormals to zero while it lives: a memorised batch halves the speed otherwise.
#pragma once

#include <xmmintrin.h>

namespace allometry::models::fused_cpu {

class DenormalsAreZero {
 public:
  DenormalsAreZero() : saved_(_mm_getcsr()) {
    constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
    _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
  }
  ~DenormalsAreZero() { _mm_setcsr(saved_); }
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
  const unsigned saved_;
};

}  // namespace allometry::models::fused_cpu
