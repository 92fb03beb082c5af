#include "coordinator/sweep/tokenizer_file.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "models/shape.h"

namespace allometry::sweep {
namespace {

constexpr int kHeadWidth = 32;

std::vector<absl::string_view> TokenizerFamilies() {
  std::vector<absl::string_view> names;
  for (const models::Family& family : models::Families()) {
    if (family.tokenizer) names.emplace_back(family.name);
  }
  return names;
}

// Of the transformer as many as its width has room for; the others have one or none.
int UsualHeads(const TokenizerChoice& choice) {
  if (!models::FindFamily(choice.family)->has_patches) return 1;
  int heads = std::max(1, choice.width / kHeadWidth);
  while (choice.width % heads != 0) --heads;
  return heads;
}

}  // namespace

void ReadTokenizer(const Field& tokenizer, absl::Span<const Section> sections, SweepFile& file,
                   Mistakes& mistakes) {
  const Fields fields(tokenizer, "tokenizer", sections, mistakes);
  if (!tokenizer.node.IsMap()) return;
  TokenizerChoice choice;
  choice.line = tokenizer.line;
  fields.Choice("family", TokenizerFamilies(), &choice.family);
  if (fields.Require("grid", "side of the grid of codes, such as 8: 64 tokens an image")) {
    fields.Integer("grid", {1, 256}, &choice.grid);
  }
  fields.Integer("codebook", {2, 1 << 20}, &choice.codebook);
  fields.Integer("width", {8, 65536}, &choice.width);
  fields.Integer("layers", {1, 1000}, &choice.layers);
  choice.heads = UsualHeads(choice);
  fields.Integer("heads", {1, 65536}, &choice.heads);
  if (fields.Require("steps", "updates of the tokenizer, such as 2000")) {
    fields.Integer("steps", {1, 1e9}, &choice.steps);
  }
  fields.Integer("batch_images", {1, 1e9}, &choice.batch_images);
  if (fields.Require("learning_rate", "a number such as 1e-3")) {
    fields.Real("learning_rate", {0, 100, /*open_low=*/true}, &choice.learning_rate);
  }
  fields.Integer("seed", {0, 9e15}, &choice.seed);
  choice.warmup_steps = std::min(choice.warmup_steps, choice.steps / 10);
  fields.Integer("warmup_steps", {0, 1e9}, &choice.warmup_steps);
  if (choice.steps > 0 && choice.warmup_steps >= choice.steps) {
    mistakes.Add(tokenizer.line,
                 absl::StrFormat("tokenizer: warmup_steps %d are not fewer than its steps %d",
                                 choice.warmup_steps, choice.steps));
  }
  file.tokenizer = std::move(choice);
}

}  // namespace allometry::sweep
