// The datasets that an agent offers: those in its data dir whose every shard has the hash in its
// manifest. A shard of the right size with other bytes would be trained on without an error, and
// its curve would go into fits.
//
// Each dataset is checked alone: a folder that cannot be read hides no other. Files are checked for
// changes every few seconds. They are read again in the background if one changed
// (verified_files.h) and after a trainer ended badly; meanwhile the dataset is not offered and its
// runs wait.
//
// One thread calls it; a thread of its own reads the files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "proto/worker.pb.h"
#include "worker/agent/verified_files.h"

namespace allometry::agent {

class DatasetList {
 public:
  // `kept_in`: the file that remembers what was verified; empty: none does.
  DatasetList(std::string data_dir, std::string kept_in)
      : data_dir_(std::move(data_dir)), verified_(std::move(kept_in)) {}

  // Looks at the folder again, and begins to read what must be verified. An error: the folder
  // cannot be read, and nothing of it is offered until it can.
  absl::Status Refresh();
  // True, once, after files were read: call Refresh then.
  bool Poll();
  bool verifying() const { return reading_ != nullptr; }
  // Makes every file be read again before its dataset is offered.
  void Suspect();
  // OK, or DataLoss where a shard of the dataset changed since it was verified. A dataset that is
  // not in the list, as a generated one, is OK.
  absl::Status CheckUnchanged(const std::string& name) const;

  const std::vector<v1::Dataset>& offered() const { return offered_; }
  // Those not offered, each with its reason in a sentence.
  const std::vector<std::string>& refused() const { return refused_; }

 private:
  struct Reading;  // what a thread reads, and what it found

  // OK: offered. Unavailable: it must be read first, and `wanted` has what. Other: why not.
  absl::Status Judge(const data::Manifest& manifest, Reading& wanted) const;

  const std::string data_dir_;
  VerifiedFiles verified_;
  struct Bad {
    FileIdentity identity;
    absl::Status why;
  };
  std::map<std::string, Bad> bad_;  // by path: read, and not as it should be
  std::shared_ptr<Reading> reading_;
  std::map<std::string, data::Manifest> manifests_;  // of those offered, by name
  std::vector<v1::Dataset> offered_;
  std::vector<std::string> refused_;
};

}  // namespace allometry::agent
