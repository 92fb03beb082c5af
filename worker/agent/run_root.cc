#include "worker/agent/run_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/private_files.h"
#include "run/run_key.h"
#include "run/run_spec.h"
#include "worker/agent/copied_folder.h"

namespace allometry::agent {
namespace {

constexpr char kReplaced[] = ".replaced-";
constexpr char kDeleted[] = ".deleted-";

// `prefix` and then digits only.
bool IsNumbered(absl::string_view name, absl::string_view prefix) {
  return absl::ConsumePrefix(&name, prefix) && !name.empty() && name.size() <= 18 &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

bool IsFolder(int folder, const std::string& name) {
  struct stat info {};
  return fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

bool IsRootId(absl::string_view id) {
  return id.size() == 32 && std::all_of(id.begin(), id.end(), absl::ascii_isxdigit);
}

}  // namespace

absl::StatusOr<RunRoot> RunRoot::Open(const std::string& path) {
  ALLO_RETURN_IF_ERROR(MakePrivateDirectories(path));
  ALLO_RETURN_IF_ERROR(TakeFromOthers(path));
  const std::string root = std::filesystem::absolute(path).lexically_normal().string();
  const std::string id_path = root + "/root_id";
  absl::StatusOr<std::string> id = ReadFile(id_path);
  if (absl::IsNotFound(id.status())) {
    // A link, not a rename: of two agents that make it at once, both end with the first one's id.
    const std::string draft = absl::StrCat(id_path, ".", RandomHex128());
    ALLO_RETURN_IF_ERROR(WriteFileAtomically(draft, RandomHex128() + "\n"));
    const bool linked = link(draft.c_str(), id_path.c_str()) == 0 || errno == EEXIST;
    const absl::Status status = linked ? absl::OkStatus() : ErrnoStatus(id_path, "create");
    unlink(draft.c_str());
    ALLO_RETURN_IF_ERROR(status);
    id = ReadFile(id_path);
  }
  ALLO_RETURN_IF_ERROR(id.status());
  const absl::string_view stripped = absl::StripAsciiWhitespace(*id);
  if (!IsRootId(stripped)) {
    return absl::DataLossError(absl::StrCat(id_path, ": '", stripped, "' is not 32 hex digits"));
  }
  ALLO_RETURN_IF_ERROR(RefuseCopiedFolder("run root " + root, id_path));
  return RunRoot(root, std::string(stripped));
}

std::string RunRoot::RunDir(int64_t run_id) const { return absl::StrCat(path_, "/run-", run_id); }

std::string RunRoot::AttemptName(const Lease& lease) const {
  return absl::StrCat(id_, "/run-", lease.run_id, "/attempt-", lease.attempt);
}

absl::Status RunRoot::MakeAttemptDir(const Lease& lease, std::string* moved_to) const {
  const std::string dir = run::AttemptDir(RunDir(lease.run_id), lease.attempt);
  moved_to->clear();
  ALLO_RETURN_IF_ERROR(Check());
  if (std::error_code error; std::filesystem::exists(dir, error)) {
    *moved_to = absl::StrCat(dir, kReplaced, RandomHex128().substr(0, 8));
    if (rename(dir.c_str(), moved_to->c_str()) != 0) return ErrnoStatus(dir, "rename");
  }
  return MakeDirectories(dir);
}

absl::Status RunRoot::Check() const {
  const absl::StatusOr<std::string> id = ReadFile(path_ + "/root_id");
  if (id.ok() && absl::StripAsciiWhitespace(*id) == id_) return absl::OkStatus();
  if (!id.ok() && !absl::IsNotFound(id.status())) return absl::OkStatus();  // not known now
  return absl::NotFoundError(absl::StrCat(
      "run root ", path_,
      " was removed, unmounted or replaced while this worker used it: what it trains would be "
      "lost. Put it back and start the worker again"));
}

void RunRoot::RemoveReplaced(int64_t older_than_s) const {
  std::error_code error;
  const std::time_t now = std::time(nullptr);
  std::vector<std::filesystem::path> old;
  for (const auto& run : std::filesystem::directory_iterator(path_, error)) {
    const std::string run_name = run.path().filename().string();
    if (absl::StartsWith(run_name, "run-") && absl::StrContains(run_name, kDeleted)) {
      if (run.is_directory(error) && !run.is_symlink(error)) old.push_back(run.path());
    }
    if (!IsNumbered(run_name, "run-")) continue;
    for (const auto& entry : std::filesystem::directory_iterator(run.path(), error)) {
      const std::string name = entry.path().filename().string();
      struct stat info {};
      if (absl::StartsWith(name, "attempt-") && absl::StrContains(name, kReplaced) &&
          lstat(entry.path().c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
          now - info.st_ctim.tv_sec >= older_than_s) {
        old.push_back(entry.path());
      }
    }
  }
  for (const std::filesystem::path& folder : old) std::filesystem::remove_all(folder, error);
}

absl::Status RunRoot::DeleteCheckpoint(const std::string& relative) const {
  const size_t slash = relative.find('/');
  if (slash == std::string::npos || !IsNumbered(relative.substr(0, slash), "run-") ||
      !run::IsCheckpointFile(relative.substr(slash + 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", relative, "' is not a checkpoint: only run-N/attempt-K/checkpoint-S may ",
                     "be deleted"));
  }
  const std::vector<std::string> parts = absl::StrSplit(relative, '/');
  int folder = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (size_t i = 0; i + 1 < parts.size() && folder >= 0; ++i) {
    const int next =
        openat(folder, parts[i].c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int error = errno;
    close(folder);
    errno = error;
    folder = next;
  }
  absl::Status status;
  if (folder >= 0 && IsFolder(folder, parts.back())) {
    // A command's. By the folder that was opened: no link leads elsewhere.
    std::error_code error;
    std::filesystem::remove_all(absl::StrCat("/proc/self/fd/", folder, "/", parts.back()), error);
    if (error)
      status = absl::UnavailableError(absl::StrCat(relative, ": delete: ", error.message()));
  } else if (folder < 0 || unlinkat(folder, parts.back().c_str(), 0) != 0) {
    status = errno == ENOENT ? absl::OkStatus() : ErrnoStatus(path_ + "/" + relative, "delete");
  }
  if (folder >= 0) close(folder);
  return status;
}

absl::Status RunRoot::DeleteRun(int64_t run_id, const std::string& run_key) const {
  const std::string dir = RunDir(run_id);
  struct stat info {};
  if (lstat(dir.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(dir, "look at");
  }
  const absl::StatusOr<run::RunSpec> spec = run::ReadRunSpec(dir);
  if (!S_ISDIR(info.st_mode) || !spec.ok() || run::RunKey(spec->identity) != run_key) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, " is not that of the deleted run ", run_key, ": it stays",
                     spec.ok() ? "" : absl::StrCat(" (", spec.status().message(), ")")));
  }
  // Renamed first: of a directory that is half removed nobody could say whose it is.
  const std::string removed = absl::StrCat(dir, kDeleted, RandomHex128().substr(0, 8));
  if (rename(dir.c_str(), removed.c_str()) != 0) return ErrnoStatus(dir, "rename");
  std::error_code error;
  std::filesystem::remove_all(removed, error);  // or when the agent starts again
  return absl::OkStatus();
}

}  // namespace allometry::agent
