#include "coordinator/cost/memory.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "models/micro_batch.h"
#include "run/choices.h"

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

run::Precision PrecisionOf(const v1::RunIdentity& identity) {
  const auto set = identity.settings().find("precision");
  if (set == identity.settings().end()) return run::Precision::kFp32;
  return run::Parse<run::Precision>(set->second).value_or(run::Precision::kFp32);
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
  const run::Precision precision = PrecisionOf(identity);
  const double each = precision == run::Precision::kBf16 ? 20 : 16;
  return each * params +
         sequences * models::SequenceActivationBytes(ToModelShape(identity.shape()), precision);
}

std::vector<std::string> NumericsSentences(absl::Span<const v1::Run> runs) {
  std::map<run::Precision, int> counts;
  for (const v1::Run& run : runs) {
    ++counts[PrecisionOf(run.spec().identity())];
  }
  std::vector<std::string> sentences;
  const auto add = [&](run::Precision precision, absl::string_view what) {
    if (counts[precision] == 0) return;
    sentences.push_back(absl::StrFormat("%d runs train in %s: %s", counts[precision],
                                        run::NameOf(precision), what));
  };
  add(run::Precision::kTf32,
      "matrix products round their operands to 10 bits; memory is that of fp32");
  add(run::Precision::kBf16,
      "weights, gradients, moments and losses are fp32, matrix products and what is kept for "
      "the backward pass are bf16; the memory is counted so");
  return sentences;
}

}  // namespace allometry::cost
