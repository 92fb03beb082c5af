// The folder that holds every run directory of an agent (layout: run/run_spec.h).
//
// Paths that come over the network are checked here before they reach the file system.
#pragma once

#include <string>

#include "base/status.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

class RunRoot {
 public:
  // Makes the folder and its root_id at first use; safe when several agents share the folder.
  // FailedPrecondition where it is a copy of another one (copied.h).
  static absl::StatusOr<RunRoot> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& id() const { return id_; }

  std::string RunDir(int64_t run_id) const;
  // "ROOT_ID/run-7/attempt-2": in the environment of every process of the attempt.
  std::string AttemptName(const Lease& lease) const;

  // Makes an empty folder for the attempt. A folder of that name that exists already belongs to
  // another copy of the coordinator's database: it is renamed, and `moved_to` gets its new name.
  absl::Status MakeAttemptDir(const Lease& lease, std::string* moved_to) const;

  // NotFound: the path does not lead to this root any more (removed, unmounted, replaced).
  absl::Status Check() const;

  // Removes folders that MakeAttemptDir renamed at least this long ago, and what DeleteRun could
  // not remove to the end. What cannot be removed stays.
  void RemoveReplaced(int64_t older_than_s) const;

  // Removes "run-7/attempt-2/checkpoint-000000001200.safetensors". InvalidArgument for any other
  // form; symbolic links are not followed. OK where it is gone already.
  absl::Status DeleteCheckpoint(const std::string& relative) const;

  // Removes the run's directory. OK where it is gone already. FailedPrecondition: what lies there
  // is not, by its run.json, the run with this key, and stays.
  absl::Status DeleteRun(int64_t run_id, const std::string& run_key) const;

 private:
  RunRoot(std::string path, std::string id) : path_(std::move(path)), id_(std::move(id)) {}

  std::string path_;
  std::string id_;
};

}  // namespace allometry::agent
