// The learning rate of every update: linear warm-up, then one of three schedules.
//
// With peak p, warm-up w, decay from update b to update e, final fraction f, at update s (from 1):
//
//   s < w         p s / w
//   constant      p
//   wsd           p up to b; then ((e - s) + f (s - b)) / (e - b) p, a straight line (the decay of
//                 Hu et al. 2024 and Haegele et al. 2024 in its linear form)
//   cosine        p (f + (1 - f) (1 + cos(pi (s - b) / (e - b))) / 2), b = w: half a wave
//                 (Loshchilov and Hutter 2017)
//
// and f p at e and beyond, exactly. Up to b every schedule gives the bits of the constant one: what
// a branch (wsd) may start from is a checkpoint of the constant run, its trunk.
#pragma once

#include <cstdint>

#include "run/run_spec.h"

namespace allometry::trainer {

// Pure.
double LearningRateAt(const run::Identity& identity, int64_t step);

}  // namespace allometry::trainer
