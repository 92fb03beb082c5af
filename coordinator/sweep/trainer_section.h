// The sections of a sweep file about a trainer that is not allo-trainer:
//
//   trainer                     the command
//   dataset: {external: ...}    what the command reads
//   submitted                   what 'allo submit' adds about the command's files
//
// size_table.h reads the sizes of its models. docs/trainer.md says how to write such a command.
#pragma once

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/size_table.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr absl::string_view kTrainerKeys[] = {
    "command",         "env",          "args",    "working_dir",
    "files",           "capabilities", "measure", "describe_command",
    "describe_seconds"};
inline constexpr absl::string_view kTrainerMeasureKeys[] = {"seconds"};
inline constexpr absl::string_view kExternalDatasetKeys[] = {"external", "tokens", "heldout"};
inline constexpr absl::string_view kSubmittedKeys[] = {"working_dir", "files", "sizes"};

// file.dataset becomes the text of data/generated.h.
void ReadExternalDataset(const Field& dataset, absl::Span<const Section> sections, SweepFile& file,
                         Mistakes& mistakes);
// Called after all other sections: placeholders are checked for every size.
void ReadTrainer(const Field& trainer, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes);
void ReadSubmitted(const Field& submitted, absl::Span<const Section> sections, SweepFile& file,
                   Mistakes& mistakes);
// What of the file needs a trainer section, where it has none, and what does not go with one.
void CheckWithTrainer(const SweepFile& file, Mistakes& mistakes);

}  // namespace allometry::sweep
