// The section `tokenizer` of a sweep file: a tokenizer of images that is trained before the grid,
// whose runs then read its tokens (docs/sweep-file.md, "Tokenizers").
#pragma once

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr absl::string_view kTokenizerKeys[] = {
    "family", "grid",         "codebook",      "width", "layers",      "heads",
    "steps",  "batch_images", "learning_rate", "seed",  "warmup_steps"};

// Reads it into file.tokenizer; every mistake is added and reading goes on. `sections` is every
// section of the file.
void ReadTokenizer(const Field& tokenizer, absl::Span<const Section> sections, SweepFile& file,
                   Mistakes& mistakes);

}  // namespace allometry::sweep
