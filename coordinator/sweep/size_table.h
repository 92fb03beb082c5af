// Sizes of models that only the command of a sweep file can build (docs/trainer.md): `model.table`
// says their parameter counts, or the command describes them and 'allo submit' writes what it said
// into `submitted.sizes`.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"
#include "models/shape.h"
#include "run/placeholders.h"

namespace allometry::sweep {

inline constexpr absl::string_view kTableKeys[] = {"label", "params", "params_non_embedding",
                                                   "flops_per_token", "args"};
inline constexpr absl::string_view kDescribedKeys[] = {"params", "params_non_embedding",
                                                       "flops_per_token"};

// The sizes of the table; nothing is added of a row with a mistake. `described`: rows may leave
// params out.
std::vector<SizeChoice> ReadSizeTable(const Field& table, bool described,
                                      absl::Span<const Section> sections, Mistakes& mistakes);
// Sets what `submitted.sizes` says of the sizes of the table.
void ReadDescribedSizes(const Field& sizes, absl::Span<const Section> sections, SweepFile& file,
                        Mistakes& mistakes);

// What stands for {size.label} and {size.NAME} in trainer.describe_command.
run::PlaceholderValues DescribedValues(const SizeChoice& size);

// Trainer::size of a size: what run.json says of it, and what {size.NAME} stands for.
run::JsonText SizeJson(const SizeChoice& size, const models::Shape& shape, int64_t params,
                       int64_t params_non_embedding, double flops_per_token);

}  // namespace allometry::sweep
