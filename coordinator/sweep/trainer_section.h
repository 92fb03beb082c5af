// The sections of a sweep file about what is not ours: `trainer`, a command that trains;
// `model.table`, the sizes of its models; `dataset: {external: ...}`, what it reads; `submitted`,
// what 'allo submit' adds about the command's files. docs/trainer.md is for who writes the command.
#pragma once

#include <array>

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"
#include "run/placeholders.h"

namespace allometry::sweep {

inline constexpr absl::string_view kTrainerKeys[] = {
    "command",         "env",          "args",    "working_dir",
    "files",           "capabilities", "measure", "describe_command",
    "describe_seconds"};
inline constexpr absl::string_view kTrainerMeasureKeys[] = {"seconds"};
inline constexpr absl::string_view kTableKeys[] = {"label", "params", "params_non_embedding",
                                                   "flops_per_token", "args"};
inline constexpr absl::string_view kExternalDatasetKeys[] = {"external", "tokens", "heldout"};
inline constexpr absl::string_view kSubmittedKeys[] = {"working_dir", "files", "sizes"};
inline constexpr absl::string_view kDescribedKeys[] = {"params", "params_non_embedding",
                                                       "flops_per_token"};

// file.dataset becomes the text of data/generated.h.
void ReadExternalDataset(const Field& dataset, absl::Span<const Section> sections, SweepFile& file,
                         Mistakes& mistakes);
// The sizes of the table; nothing is added of a row with a mistake. `described`: rows may leave
// params out.
std::vector<SizeChoice> ReadSizeTable(const Field& table, bool described,
                                      absl::Span<const Section> sections, Mistakes& mistakes);
// Called after all other sections: placeholders are checked for every size.
void ReadTrainer(const Field& trainer, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes);
void ReadSubmitted(const Field& submitted, absl::Span<const Section> sections, SweepFile& file,
                   Mistakes& mistakes);
// What of the file needs a trainer section, where it has none, and what does not go with one.
void CheckWithTrainer(const SweepFile& file, Mistakes& mistakes);

// What stands for {size.label} and {size.NAME} in trainer.describe_command.
run::PlaceholderValues DescribedValues(const SizeChoice& size);

// Trainer::size of a size: what run.json says of it, and what {size.NAME} stands for.
run::JsonText SizeJson(const SizeChoice& size, const models::Shape& shape, int64_t params,
                       int64_t params_non_embedding, double flops_per_token);

}  // namespace allometry::sweep
