// Where a token stands in its window, as the model is told. One choice of run/choices.h each:
//
//   absolute    a learned row for each position of the window (Radford et al. 2019)
//   frame-slot  a learned row for each frame of the window plus one for each place in a frame
//   rotary      a learned row for each place in a frame; in every attention head the pairs
//               (2i, 2i+1) of queries and keys are turned by the angle
//                   position * 1000^(-2i / head width)
//               (Su et al. 2021, with the base 1000 for windows of hundreds of tokens), so that
//               attention sees distances alone
//
// A frame has Shape::frame_tokens tokens, and a window begins on a frame boundary. A dataset
// without frames has frames of one token. No LibTorch.
#pragma once

#include <vector>

#include "models/shape.h"

namespace allometry::models {

// A table of rows [rows, width], one of which is added to the embedding of each token.
struct PositionTable {
  const char* name;  // of its tensor (ParameterLayout)
  int rows = 0;
  int tokens_per_row = 1;  // successive positions that share a row

  int RowOf(int position) const { return position / tokens_per_row % rows; }
};

// Those of a valid shape, in the order of the layout.
std::vector<PositionTable> PositionTables(const Shape& shape);

// What rotates queries and keys. cosine and sine are [context, head width / 2], row-major; both
// empty where the shape's positions are not rotary.
struct Rotation {
  std::vector<float> cosine, sine;
};
Rotation RotationOf(const Shape& shape);

}  // namespace allometry::models
