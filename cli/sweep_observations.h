// What a fit reads of a sweep, asked for from the coordinator.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/status.h"
#include "cli/context.h"
#include "fitting/data/observation.h"

namespace allometry::cli {

// The observations of `allo export`. `why` has the coordinator's own error, where it is one.
absl::StatusOr<fitting::Observations> SweepObservations(const Context& context,
                                                        const std::string& sweep,
                                                        grpc::Status* why = nullptr);

// A file where one is meant: it is there, is "-", or the name cannot be a sweep's.
bool NamesAFile(const std::string& target);

}  // namespace allometry::cli
