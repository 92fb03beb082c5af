// The agent's state on disk: its identity, and the attempts that it holds.
//
//   STATE_DIR/lock        locked while an agent lives; holds its process id
//   STATE_DIR/agent_secret, agent_secret.place
//                         256 random bits, written at first use, and where the file lay (copied.h)
//   STATE_DIR/agent_id    the UUID that is made from the secret, for people
//   STATE_DIR/starts      how often an agent began on this folder
//   STATE_DIR/held.json   the leases of the attempts it has begun and not yet delivered, written
//                         before an attempt starts; what is there at a start is given back
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::agent {

// The right to one attempt (allometry.v1.Lease). Two leases of one attempt differ in the token.
struct Lease {
  int64_t run_id = 0;
  int attempt = 0;
  std::string token;

  auto operator<=>(const Lease&) const = default;
};

// "run 7 attempt 2".
std::string LeaseName(const Lease& lease);

class StateDir {
 public:
  // Makes the folder where it is missing, and takes it from other users. FailedPrecondition while
  // another agent holds it, or where it is a copy of another one's.
  static absl::StatusOr<StateDir> Open(const std::string& path);
  ~StateDir();
  StateDir(StateDir&& other) noexcept;
  StateDir& operator=(StateDir&&) = delete;

  const std::string& path() const { return path_; }
  const std::string& agent_id() const { return agent_id_; }
  const std::string& agent_secret() const { return agent_secret_; }
  // 1, 2, ...: of this life.
  int64_t start() const { return start_; }
  absl::StatusOr<std::vector<Lease>> ReadHeld() const;
  absl::Status WriteHeld(const std::vector<Lease>& held) const;

 private:
  // Into the members; written where they are missing.
  absl::Status ReadIdentity();

  StateDir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  std::string path_;
  std::string agent_secret_;
  std::string agent_id_;
  int64_t start_ = 0;
  int lock_fd_;         // closing it gives the lock up
  int folder_fd_ = -1;  // likewise; -1: not locked
};

}  // namespace allometry::agent
