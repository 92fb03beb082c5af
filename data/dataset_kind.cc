#include "data/dataset_kind.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "data/generated_windows.h"
#include "data/union.h"
#include "data/window_source.h"

namespace allometry::data {
namespace {

absl::StatusOr<WindowSources> OpenFiles(const std::string& data_dir, const std::string& name,
                                        const WindowOptions& options) {
  return OpenWindows(absl::StrCat(data_dir, "/", name), options);
}

absl::StatusOr<WindowSources> OpenGenerator(const std::string&, const std::string& name,
                                            const WindowOptions& options) {
  return OpenGenerated(name, options);
}

constexpr DatasetKindRow kKinds[] = {
    // kind, name, has_frames, has_files, open
    {DatasetKind::kText, "text", false, true, &OpenFiles},
    {DatasetKind::kTrajectories, "trajectories", true, true, &OpenFiles},
    {DatasetKind::kGenerated, "generated", true, false, &OpenGenerator},
    {DatasetKind::kExternal, "external", false, false, &OpenGenerator},
    {DatasetKind::kUnion, "union", true, false, &OpenUnion},
};

}  // namespace

std::span<const DatasetKindRow> DatasetKinds() { return kKinds; }

const DatasetKindRow& RowOf(DatasetKind kind) {
  for (const DatasetKindRow& row : kKinds) {
    if (row.kind == kind) return row;
  }
  ALLO_CHECK(false) << "dataset kind " << static_cast<int>(kind);
  return kKinds[0];
}

const DatasetKindRow* FindDatasetKind(absl::string_view name) {
  for (const DatasetKindRow& row : kKinds) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

absl::StatusOr<WindowSources> OpenDataset(DatasetKind kind, const std::string& data_dir,
                                          const std::string& name, const WindowOptions& options) {
  return RowOf(kind).open(data_dir, name, options);
}

}  // namespace allometry::data
