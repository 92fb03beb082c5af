#include "worker/agent/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "nlohmann/json.hpp"

namespace allometry::agent {
namespace {

// RFC 4122, version 4.
std::string RandomUuid() {
  std::string hex = RandomHex128();
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] % 4];
  return absl::StrFormat("%s-%s-%s-%s-%s", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                         hex.substr(16, 4), hex.substr(20));
}

}  // namespace

std::string LeaseName(const Lease& lease) {
  return absl::StrFormat("run %d attempt %d", lease.run_id, lease.attempt);
}

absl::StatusOr<StateDir> StateDir::Open(const std::string& path) {
  ALLO_RETURN_IF_ERROR(MakeDirectories(path));
  const std::string lock_path = path + "/lock";
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(lock_path, "open");
  StateDir state(path, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(lock_path, "lock");
    const std::string pid = ReadFile(lock_path).value_or("");
    return absl::FailedPreconditionError(absl::StrCat(
        "state dir ", path, " is in use by another allo-worker (process ",
        absl::StripAsciiWhitespace(pid), "): stop it, or give each its own ", "--state-dir"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || write(fd, pid.data(), pid.size()) < 0) {
    return ErrnoStatus(lock_path, "write");
  }
  const std::string id_path = path + "/agent_id";
  absl::StatusOr<std::string> id = ReadFile(id_path);
  if (absl::IsNotFound(id.status())) {
    id = RandomUuid();
    ALLO_RETURN_IF_ERROR(WriteFileAtomically(id_path, *id + "\n"));
  }
  ALLO_RETURN_IF_ERROR(id.status());
  state.agent_id_ = std::string(absl::StripAsciiWhitespace(*id));
  if (state.agent_id_.empty()) {
    return absl::DataLossError(absl::StrCat(id_path, " is empty: remove it for a new identity"));
  }
  return state;
}

StateDir::~StateDir() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

StateDir::StateDir(StateDir&& other) noexcept
    : path_(std::move(other.path_)),
      agent_id_(std::move(other.agent_id_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)) {}

absl::StatusOr<std::vector<Lease>> StateDir::ReadHeld() const {
  const std::string path = path_ + "/held.json";
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return std::vector<Lease>();
  ALLO_RETURN_IF_ERROR(text.status());
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
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
