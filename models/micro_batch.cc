#include "models/micro_batch.h"

#include <algorithm>
#include <cmath>

#include "models/image_encoder.h"
#include "models/vq_network.h"

namespace allometry::models {

double SequenceActivationBytes(const Shape& shape, run::Precision precision) {
  if (const Family* family = FindFamily(shape.family); family != nullptr && family->tokenizer) {
    return VqActivationBytes(shape);
  }
  const bool bf16 = precision == run::Precision::kBf16;
  double floats =
      (bf16 ? 10.0 : 20.0) * shape.layers * shape.width + (bf16 ? 4.0 : 3.0) * shape.vocabulary;
  const Family* family = FindFamily(shape.family);
  if (family != nullptr && family->encoder_channels > 0) {
    double places = shape.image_height / 4.0 * shape.image_width / 4.0;
    double channels = family->encoder_channels;
    floats += static_cast<double>(shape.image_height) * shape.image_width * shape.image_channels;
    for (int stage = 0; stage < kEncoderStages; ++stage) {
      floats += 16 * channels * places;
      places /= 4;
      channels *= 2;
    }
  }
  return 4.0 * shape.context * floats;
}

int MicroBatchFor(const Shape& shape, int64_t sequences, double bytes, run::Precision precision) {
  const double each = SequenceActivationBytes(shape, precision);
  if (static_cast<double>(sequences) * each <= bytes) return 0;
  const auto most = std::max<int64_t>(1, static_cast<int64_t>(bytes / each));
  const int64_t parts = (sequences + most - 1) / most;
  return static_cast<int>((sequences + parts - 1) / parts);
}

}  // namespace allometry::models
