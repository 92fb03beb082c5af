// The datasets that an agent offers: those in its data dir whose files are there.
//
// Listed every few seconds by their dataset.json alone. Each file's presence and size is looked at
// when a dataset is new, while it is not offered, and after a trainer ended for its data: then runs
// that would fail alike find no worker that has the dataset, and wait with that reason until it was
// repaired. What only a read of every byte would find stays to `allo data verify`: the one run that
// met it says so.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "proto/worker.pb.h"

namespace allometry::agent {

// OK, or what is wrong with the first file of the dataset in `dir` that is not as its manifest
// says.
absl::Status CheckFiles(const std::string& dir, const data::Manifest& manifest);

class DatasetList {
 public:
  explicit DatasetList(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  // Reads the folder again. An error (the folder cannot be read) leaves everything as it was.
  absl::Status Refresh();
  // A trainer ended for its data: at the next Refresh every dataset's files are looked at.
  void Suspect() { suspect_ = true; }

  const std::vector<v1::Dataset>& offered() const { return offered_; }
  // Those not offered, each with its reason in a sentence.
  const std::vector<std::string>& refused() const { return refused_; }

 private:
  const std::string data_dir_;
  bool suspect_ = false;
  std::map<std::string, std::string> good_;  // name -> hash, of those whose files were found
  std::vector<v1::Dataset> offered_;
  std::vector<std::string> refused_;
};

}  // namespace allometry::agent
