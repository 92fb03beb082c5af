#include "models/positions.h"

#include <cmath>

namespace allometry::models {
namespace {

constexpr double kBase = 1000;

}  // namespace

std::vector<PositionTable> PositionTables(const Shape& shape) {
  const PositionTable slots = {"transformer.wse.weight", shape.frame_tokens, 1};
  switch (shape.positions) {
    case run::Positions::kAbsolute:
      return {{"transformer.wpe.weight", shape.context, 1}};
    case run::Positions::kFrameSlot:
      return {{"transformer.wfe.weight", shape.context / shape.frame_tokens, shape.frame_tokens},
              slots};
    case run::Positions::kRotary:
      return {slots};
  }
  return {};
}

Rotation RotationOf(const Shape& shape) {
  Rotation rotation;
  if (shape.positions != run::Positions::kRotary) return rotation;
  const int head_width = shape.width / shape.heads;
  for (int position = 0; position < shape.context; ++position) {
    for (int i = 0; i < head_width / 2; ++i) {
      const double angle = position * std::pow(kBase, -2.0 * i / head_width);
      rotation.cosine.push_back(static_cast<float>(std::cos(angle)));
      rotation.sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return rotation;
}

}  // namespace allometry::models
