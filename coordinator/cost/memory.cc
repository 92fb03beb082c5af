#include "coordinator/cost/memory.h"

#include <algorithm>

namespace allometry::cost {

double RankMemoryBytes(const v1::Run& run) {
  const v1::RunIdentity& identity = run.spec().identity();
  const v1::ModelShape& shape = identity.shape();
  const v1::ParamCounts& counts = run.params();
  const double params = static_cast<double>(counts.blocks()) +
                        static_cast<double>(counts.token_embedding()) +
                        static_cast<double>(counts.position_embedding()) +
                        static_cast<double>(counts.head()) + static_cast<double>(counts.extra());
  const double context = shape.context();
  const double ranks = std::max(1, run.spec().ranks());
  const double tokens = run.spec().micro_batch() > 0
                            ? run.spec().micro_batch() * context
                            : static_cast<double>(identity.batch_tokens()) / ranks;
  const double per_token =
      shape.layers() * (18.0 * shape.width() + shape.heads() * context) + 3.0 * shape.vocabulary();
  return 16 * params + 4 * tokens * per_token;
}

}  // namespace allometry::cost
