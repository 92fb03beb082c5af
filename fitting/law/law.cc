#include "fitting/law/law.h"

#include "base/check.h"

namespace allometry::fitting {

const char* Law::ParameterName(int index) {
  static constexpr const char* kNames[] = {"A", "B", "alpha", "beta", "E", "gamma"};
  return kNames[index];
}

const std::vector<Law>& AllLaws() {
  static const std::vector<Law> laws = {
      {LawKind::kStandard, "standard", "L = E + A/N^alpha + B/D^beta", 5, true, false},
      {LawKind::kCoupled, "coupled", "L = E + (A/N^alpha + B/D^beta)^gamma", 6, true, true},
      {LawKind::kNoFloor, "no-floor", "L = A/N^alpha + B/D^beta", 4, false, false},
      {LawKind::kFixedFloor, "fixed-floor", "L = E + A/N^alpha + B/D^beta, E given", 4, true,
       false},
  };
  return laws;
}

const Law& FindLaw(LawKind kind) {
  for (const Law& law : AllLaws()) {
    if (law.kind == kind) return law;
  }
  ALLO_CHECK(false) << "no row for law " << static_cast<int>(kind);
  return AllLaws().front();
}

Theta FixedEntries(const Law& law, double fixed_floor) {
  Theta theta = Theta::Zero();
  if (!law.has_floor) theta[kLogE] = -std::numeric_limits<double>::infinity();
  if (law.kind == LawKind::kFixedFloor) theta[kLogE] = std::log(fixed_floor);
  return theta;
}

double LogLossAt(const Law& law, const Theta& theta, double x, double y, Theta* gradient) {
  LogLoss terms;
  if (law.coupled) {
    EvaluateLaw<true>(theta, x, y, terms);
  } else {
    EvaluateLaw<false>(theta, x, y, terms);
    terms.first[3] = 0;
  }
  if (gradient != nullptr) {
    *gradient << terms.first[0], terms.first[1], -x * terms.first[0], -y * terms.first[1],
        terms.first[2], terms.first[3];
  }
  return terms.value;
}

}  // namespace allometry::fitting
