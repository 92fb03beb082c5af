// The kinds of datasets: one table, read by whatever treats kinds differently.
//
//   text          one sequence of tokens a split, in shards (windows.h)
//   trajectories  episodes of frames, in shards (window_source.h)
//   generated     episodes of frames that are made while they are read: the dataset's name is the
//                 text of a generator, every machine makes the same, and there is no end
//                 (generated.h)
//   external      tokens that only the run's own command reads; known are their number and their
//                 name (generated.h)
//   union         several datasets of frames by turns (union.h)
//
// To add a kind: an enumerator, a row in dataset_kind.cc, and a file that opens its windows.
#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace allometry::data {

struct WindowOptions;
struct WindowSources;

enum class DatasetKind { kText, kTrajectories, kGenerated, kExternal, kUnion };

struct DatasetKindRow {
  DatasetKind kind;
  const char* name;  // Manifest.kind in dataset.json. Stored: do not change
  bool has_frames;   // episodes of frames; otherwise one sequence of tokens a split
  bool has_files;    // shards in DATA_DIR/NAME; a union has only those of its members
  absl::StatusOr<WindowSources> (*open)(const std::string& data_dir, const std::string& name,
                                        const WindowOptions& options);
};

std::span<const DatasetKindRow> DatasetKinds();
const DatasetKindRow& RowOf(DatasetKind kind);
// nullptr: no kind has this name.
const DatasetKindRow* FindDatasetKind(absl::string_view name);

// Windows of a dataset of any kind, by the name that a run has for it. InvalidArgument where a
// split has not one window, or the context is not whole frames.
absl::StatusOr<WindowSources> OpenDataset(DatasetKind kind, const std::string& data_dir,
                                          const std::string& name, const WindowOptions& options);

}  // namespace allometry::data
