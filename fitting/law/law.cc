#include "fitting/law/law.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "fitting/law/formula.h"
#include "fitting/law/repeated_data.h"

namespace allometry::fitting {

const char* Law::ParameterName(int index) const {
  static constexpr const char* kNames[] = {"A", "B", "alpha", "beta", "E", "gamma"};
  return own != nullptr && index > kLogE ? own->extras[index - kLogE - 1].name : kNames[index];
}

const std::vector<Law>& AllLaws() {
  static const std::vector<Law> laws = [] {
    std::vector<Law> rows = {
        {LawKind::kStandard, "standard", "L = E + A/N^alpha + B/D^beta", 5, true, false},
        {LawKind::kCoupled, "coupled", "L = E + (A/N^alpha + B/D^beta)^gamma", 6, true, true},
        {LawKind::kNoFloor, "no-floor", "L = A/N^alpha + B/D^beta", 4, false, false},
        {LawKind::kFixedFloor, "fixed-floor", "L = E + A/N^alpha + B/D^beta, E given", 4, true,
         false},
    };
    // Laws with a file of their own: a row each.
    for (const Formula* own : {MakeFormula<RepeatedData, 7>()}) {
      rows.push_back({static_cast<LawKind>(rows.size()), own->name, own->text,
                      kLogE + 1 + static_cast<int>(own->extras.size()), true, false, own});
    }
    return rows;
  }();
  return laws;
}

absl::StatusOr<LawKind> ParseLaw(absl::string_view name) {
  for (const Law& law : AllLaws()) {
    if (law.name == name) return law.kind;
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("law '%s' is not known: allowed are auto, %s", name, LawNames()));
}

std::string Name(LawKind law) { return FindLaw(law).name; }

std::string LawNames() {
  return absl::StrJoin(AllLaws(), ", ",
                       [](std::string* out, const Law& law) { absl::StrAppend(out, law.name); });
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

double LogLossAt(const Law& law, const Theta& theta, double x, double y, Theta* gradient,
                 double log_epochs) {
  if (law.own != nullptr) return law.own->evaluate(theta, {x, y, log_epochs}, gradient, nullptr);
  LogLoss terms;
  if (law.coupled) {
    EvaluateLaw<true>(theta, x, y, terms);
  } else {
    EvaluateLaw<false>(theta, x, y, terms);
    terms.first[3] = 0;
  }
  if (gradient != nullptr) {
    *gradient << terms.first[0], terms.first[1], -x * terms.first[0], -y * terms.first[1],
        terms.first[2], terms.first[3], 0, 0;
  }
  return terms.value;
}

}  // namespace allometry::fitting
