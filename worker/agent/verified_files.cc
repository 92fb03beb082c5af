#include "worker/agent/verified_files.h"

#include <sys/stat.h>

#include <utility>

#include "base/files.h"
#include "base/json_shape.h"
#include "nlohmann/json.hpp"

namespace allometry::agent {
namespace {

using Json = nlohmann::json;
constexpr size_t kNumbers = 5;

int64_t Nanos(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

absl::StatusOr<FileIdentity> IdentityOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(path, "read");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
  }
  return FileIdentity{info.st_dev, info.st_ino, info.st_size, Nanos(info.st_mtim),
                      Nanos(info.st_ctim)};
}

VerifiedFiles::VerifiedFiles(std::string kept_in) : kept_in_(std::move(kept_in)) {
  if (kept_in_.empty()) return;
  const absl::StatusOr<std::string> text = ReadFile(kept_in_);
  if (!text.ok() || !CheckJsonShape(*text).ok()) return;
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  for (const auto& [path, entry] : json.items()) {
    if (!entry.is_object() || !entry.contains("hash") || !entry["hash"].is_string() ||
        !entry.contains("identity") || !entry["identity"].is_array() ||
        entry["identity"].size() != kNumbers) {
      continue;
    }
    const Json& numbers = entry["identity"];
    bool all_numbers = true;
    for (const Json& number : numbers) all_numbers = all_numbers && number.is_number_integer();
    if (!all_numbers) continue;
    files_[path] = {
        entry["hash"].get<std::string>(),
        {numbers[0].get<uint64_t>(), numbers[1].get<uint64_t>(), numbers[2].get<int64_t>(),
         numbers[3].get<int64_t>(), numbers[4].get<int64_t>()}};
  }
}

bool VerifiedFiles::Contains(const std::string& path, const std::string& hash,
                             const FileIdentity& identity) const {
  const auto found = files_.find(path);
  return found != files_.end() && found->second.hash == hash && found->second.identity == identity;
}

void VerifiedFiles::Put(const std::string& path, const std::string& hash,
                        const FileIdentity& identity) {
  files_[path] = {hash, identity};
}

absl::Status VerifiedFiles::Save() const {
  if (kept_in_.empty()) return absl::OkStatus();
  Json json = Json::object();
  for (const auto& [path, entry] : files_) {
    const FileIdentity& id = entry.identity;
    json[path] = {{"hash", entry.hash},
                  {"identity", {id.device, id.inode, id.bytes, id.modified_ns, id.changed_ns}}};
  }
  // A path is whatever bytes its file system takes.
  return WriteFileAtomically(kept_in_, json.dump(0, ' ', false, Json::error_handler_t::replace));
}

}  // namespace allometry::agent
