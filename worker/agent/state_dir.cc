#include "worker/agent/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "base/private_files.h"
#include "nlohmann/json.hpp"
#include "transport/agent_id.h"
#include "worker/agent/copied_folder.h"

namespace allometry::agent {
namespace {

constexpr size_t kShortestSecret = 32;

// The whole of a small file; what `otherwise` says where it is not there.
absl::StatusOr<std::string> ReadOr(const std::string& path, const std::string& otherwise) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return otherwise;
  ALLO_RETURN_IF_ERROR(text.status());
  return std::string(absl::StripAsciiWhitespace(*text));
}

}  // namespace

std::string LeaseName(const Lease& lease) {
  return absl::StrFormat("run %d attempt %d", lease.run_id, lease.attempt);
}

absl::StatusOr<StateDir> StateDir::Open(const std::string& path) {
  ALLO_RETURN_IF_ERROR(MakePrivateDirectories(path));
  ALLO_RETURN_IF_ERROR(TakeFromOthers(path));
  const std::string lock_path = path + "/lock";
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(lock_path, "open");
  StateDir state(path, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(lock_path, "lock");
    const std::string pid = ReadFile(lock_path).value_or("");
    return absl::FailedPreconditionError(absl::StrCat(
        "state dir ", path, " is in use by another allo-worker (process ",
        absl::StripAsciiWhitespace(pid), "): stop it, or give each its own ", "--state-dir"));
  }
  // The folder itself too: its lock file may be removed. Where folders cannot be locked (NFS), the
  // file alone is.
  state.folder_fd_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (state.folder_fd_ >= 0 && flock(state.folder_fd_, LOCK_EX | LOCK_NB) != 0 &&
      errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(absl::StrCat(
        "state dir ", path,
        " is in use by another allo-worker: stop it, or give each its own --state-dir"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || write(fd, pid.data(), pid.size()) < 0) {
    return ErrnoStatus(lock_path, "write");
  }
  ALLO_RETURN_IF_ERROR(state.ReadIdentity());
  return state;
}

absl::Status StateDir::ReadIdentity() {
  const std::string secret_path = path_ + "/agent_secret";
  ALLO_ASSIGN_OR_RETURN(agent_secret_, ReadOr(secret_path, "none"));
  if (agent_secret_ == "none") {
    agent_secret_ = RandomHex128() + RandomHex128();
    ALLO_RETURN_IF_ERROR(WriteFileAtomically(secret_path, agent_secret_ + "\n"));
  }
  if (agent_secret_.size() < kShortestSecret) {
    return absl::DataLossError(
        absl::StrCat(secret_path, " is damaged: remove it for a new identity"));
  }
  ALLO_RETURN_IF_ERROR(RefuseCopiedFolder("state dir " + path_, secret_path, path_ + "/held.json"));
  ALLO_RETURN_IF_ERROR(TakeFromOthers(secret_path));
  agent_id_ = transport::AgentIdOf(agent_secret_);
  const std::string id_path = path_ + "/agent_id";
  ALLO_ASSIGN_OR_RETURN(const std::string stored_id, ReadOr(id_path, ""));
  if (stored_id != agent_id_) {
    ALLO_RETURN_IF_ERROR(WriteFileAtomically(id_path, agent_id_ + "\n"));
  }
  const std::string starts_path = path_ + "/starts";
  ALLO_ASSIGN_OR_RETURN(const std::string starts, ReadOr(starts_path, "0"));
  if (!absl::SimpleAtoi(starts, &start_)) {
    return absl::DataLossError(absl::StrCat(starts_path, " is damaged: remove it"));
  }
  ++start_;
  return WriteFileAtomically(starts_path, absl::StrCat(start_, "\n"));
}

StateDir::~StateDir() {
  if (lock_fd_ >= 0) close(lock_fd_);
  if (folder_fd_ >= 0) close(folder_fd_);
}

StateDir::StateDir(StateDir&& other) noexcept
    : path_(std::move(other.path_)),
      agent_secret_(std::move(other.agent_secret_)),
      agent_id_(std::move(other.agent_id_)),
      start_(other.start_),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      folder_fd_(std::exchange(other.folder_fd_, -1)) {}

absl::StatusOr<std::vector<Lease>> StateDir::ReadHeld() const {
  const std::string path = path_ + "/held.json";
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return std::vector<Lease>();
  ALLO_RETURN_IF_ERROR(text.status());
  const nlohmann::json json =
      CheckJsonShape(*text).ok() ? nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false)
                                 : nlohmann::json();
  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      path,
      " is not what an agent writes: remove it, and the leases it named run out by themselves"));
  if (!json.is_array()) return damaged;
  std::vector<Lease> held;
  for (const nlohmann::json& entry : json) {
    if (!entry.is_object() || !entry.value("run_id", nlohmann::json()).is_number_integer() ||
        !entry.value("attempt", nlohmann::json()).is_number_integer() ||
        !entry.value("token", nlohmann::json()).is_string()) {
      return damaged;
    }
    held.push_back({entry["run_id"], entry["attempt"], entry["token"]});
  }
  return held;
}

absl::Status StateDir::WriteHeld(const std::vector<Lease>& held) const {
  nlohmann::json json = nlohmann::json::array();
  for (const Lease& lease : held) {
    json.push_back({{"run_id", lease.run_id}, {"attempt", lease.attempt}, {"token", lease.token}});
  }
  return WriteFileAtomically(path_ + "/held.json", json.dump(1) + "\n");
}

}  // namespace allometry::agent
