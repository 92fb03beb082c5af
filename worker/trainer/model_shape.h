// run.json's shape as the models'.
#pragma once

#include "models/shape.h"
#include "run/run_spec.h"

namespace allometry::trainer {

inline models::Shape ToModelShape(const run::Shape& shape) {
  return {.family = shape.family,
          .layers = shape.layers,
          .heads = shape.heads,
          .width = shape.width,
          .context = shape.context,
          .vocabulary = shape.vocabulary,
          .image_height = shape.image_height,
          .image_width = shape.image_width,
          .image_channels = shape.image_channels};
}

}  // namespace allometry::trainer
