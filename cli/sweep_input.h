// A sweep file with its dataset's manifest, read and expanded by the client, so that mistakes are
// reported without a coordinator.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/context.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/client.pb.h"

namespace allometry::cli {

struct SweepInput {
  std::string file_name;
  std::string text;
  std::string manifest_json;
  sweep::SweepFile file;  // as parsed
  data::Manifest manifest;
  sweep::Expansion expansion;

  v1::CreateSweepRequest Request(bool dry_run) const;
};

// `allow_commands`: which programs a file's trainer.describe_command may be, as of allo-worker.
absl::StatusOr<SweepInput> ReadSweepInput(const std::string& file_name, const std::string& data_dir,
                                          const std::string& allow_commands = "auto");

// A submitted text without the section that ReadSweepInput adds.
std::string AsWritten(const std::string& submitted);

// After a ReadSweepInput that failed only because the dataset is not here: the request without its
// manifest, which a coordinator takes from its sweeps. Otherwise the status.
absl::StatusOr<v1::CreateSweepRequest> RequestWithoutDataset(const std::string& file_name,
                                                             const absl::Status& status);

// The status of a ReadSweepInput that failed. Where that is for a dataset that is not here, and
// workers of the coordinator have it, it names them instead.
absl::Status NameWorkersWithDataset(const Context& context, const absl::Status& status);

}  // namespace allometry::cli
