// Work that a library may not survive.
#pragma once

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace allometry::data {

// What work() returns in a process of its own, which ends with this one. DataLoss, with `what`
// first
// ("a.hdf5: the HDF5 library"), where a signal ended it. Call it while there is one thread.
absl::StatusOr<std::string> InItsOwnProcess(absl::string_view what,
                                            const std::function<std::string()>& work);

}  // namespace allometry::data
