#include "coordinator/cost/memory.h"

#include <algorithm>

#include "models/micro_batch.h"

namespace allometry::cost {
namespace {

models::Shape ToModelShape(const v1::ModelShape& shape) {
  return {.family = shape.family(),
          .layers = shape.layers(),
          .heads = shape.heads(),
          .width = shape.width(),
          .context = shape.context(),
          .vocabulary = shape.vocabulary(),
          .image_height = shape.image_height(),
          .image_width = shape.image_width(),
          .image_channels = shape.image_channels()};
}

}  // namespace

double RankMemoryBytes(const v1::Run& run) {
  const v1::RunIdentity& identity = run.spec().identity();
  // Of a command nothing is known before it was measured.
  if (identity.settings().contains("trainer.command")) return 0;
  const v1::ParamCounts& counts = run.params();
  const double params = static_cast<double>(counts.blocks()) +
                        static_cast<double>(counts.token_embedding()) +
                        static_cast<double>(counts.position_embedding()) +
                        static_cast<double>(counts.head()) + static_cast<double>(counts.extra());
  const double ranks = std::max(1, run.spec().ranks());
  const double share = static_cast<double>(identity.batch_tokens()) /
                       std::max(1, identity.shape().context()) / ranks;
  const double sequences = run.spec().micro_batch() > 0 ? run.spec().micro_batch() : share;
  return 16 * params + sequences * models::SequenceActivationBytes(ToModelShape(identity.shape()));
}

}  // namespace allometry::cost
