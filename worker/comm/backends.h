// The factories behind the table in registry.cc; only it includes this file.
#pragma once

#include <memory>

#include "worker/comm/collective.h"

namespace allometry::comm {

absl::StatusOr<std::unique_ptr<Collective>> CreateSelf(const Options& options);
absl::StatusOr<std::unique_ptr<Collective>> CreateMpi(const Options& options);
absl::StatusOr<std::unique_ptr<Collective>> CreateNccl(const Options& options);

}  // namespace allometry::comm
