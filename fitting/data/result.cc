#include "fitting/data/result.h"

namespace allometry::fitting {

const Estimate* MethodFit::Find(absl::string_view name) const {
  for (const NamedEstimate& parameter : parameters) {
    if (parameter.name == name) return &parameter.value;
  }
  return nullptr;
}

}  // namespace allometry::fitting
