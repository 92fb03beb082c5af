#include "fitting/method/methods.h"

#include "absl/strings/str_format.h"

namespace allometry::fitting {

const std::vector<CurveMethod>& CurveMethods() {
  static const std::vector<CurveMethod> rows = {
      {"frontier",
       [](const DataView& view, size_t index, const Clusters& curves, const FitOptions& options,
          const Layout& layout) {
         return FitFrontier(view, index, curves, options.minimum, layout);
       }},
      {"isoflop", [](const DataView& view, size_t index, const Clusters& curves, const FitOptions&,
                     const Layout& layout) { return FitIsoflop(view, index, curves, layout); }},
      {"loss-compute",
       [](const DataView& view, size_t index, const Clusters& curves, const FitOptions& options,
          const Layout& layout) {
         return FitLossOverCompute(view, index, curves, options.minimum, layout);
       }},
  };
  return rows;
}

Method MethodOf(size_t row) {
  return static_cast<Method>(static_cast<size_t>(Method::kFrontier) + row);
}

std::string Name(Method method) {
  if (method == Method::kAll) return "all";
  if (method == Method::kParametric) return "parametric";
  return CurveMethods()[static_cast<size_t>(method) - static_cast<size_t>(Method::kFrontier)].name;
}

absl::StatusOr<Method> ParseMethod(absl::string_view name) {
  std::string allowed = "all, parametric";
  for (Method method : {Method::kAll, Method::kParametric}) {
    if (name == Name(method)) return method;
  }
  for (size_t row = 0; row < CurveMethods().size(); ++row) {
    if (name == CurveMethods()[row].name) return MethodOf(row);
    absl::StrAppend(&allowed, ", ", CurveMethods()[row].name);
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("method '%s' is not known: allowed are %s", name, allowed));
}

}  // namespace allometry::fitting
