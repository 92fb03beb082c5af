#include "worker/agent/dataset_list.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "data/union_name.h"
#include "worker/agent/log.h"

namespace allometry::agent {

struct DatasetList::Reading {
  struct File {
    std::string path;
    std::string expected;  // its hash
    FileIdentity identity;
    absl::Status found;  // once done
  };
  std::vector<File> files;
  std::atomic<bool> done = false;  // after it `files` is this thread's again

  void Read() {
    for (File& file : files) {
      const absl::StatusOr<std::string> hash = HashFileHex(file.path);
      if (!hash.ok()) {
        file.found = hash.status();
      } else if (*hash != file.expected) {
        file.found = absl::DataLossError(absl::StrFormat("%s has the hash %s, its manifest says %s",
                                                         file.path, *hash, file.expected));
      } else if (const auto now = IdentityOf(file.path); !now.ok() || *now != file.identity) {
        file.found = absl::UnavailableError(absl::StrCat(file.path, " changed while it was read"));
      }
    }
    done = true;
  }
};

absl::Status DatasetList::Judge(const data::Manifest& manifest, Reading& wanted) const {
  std::vector<Reading::File> unread;
  for (const data::Shard& shard : manifest.shards) {
    const std::string path = absl::StrCat(data_dir_, "/", manifest.name, "/", shard.file);
    ALLO_ASSIGN_OR_RETURN(const FileIdentity identity, IdentityOf(path));
    if (identity.bytes != shard.bytes) {
      return absl::DataLossError(absl::StrFormat("%s has %d bytes, the manifest says %d", path,
                                                 identity.bytes, shard.bytes));
    }
    if (verified_.Contains(path, shard.hash, identity)) continue;
    const auto bad = bad_.find(path);
    if (bad != bad_.end() && bad->second.identity == identity) return bad->second.why;
    unread.push_back({path, shard.hash, identity, absl::OkStatus()});
  }
  if (unread.empty()) return absl::OkStatus();
  wanted.files.insert(wanted.files.end(), unread.begin(), unread.end());
  return absl::UnavailableError("its files are being read to verify them");
}

absl::Status DatasetList::Refresh() {
  absl::StatusOr<std::vector<data::FoundDataset>> found = data::FindDatasets(data_dir_);
  manifests_.clear();
  offered_.clear();
  refused_.clear();
  if (!found.ok()) return found.status();
  const auto wanted = std::make_shared<Reading>();
  for (data::FoundDataset& one : *found) {
    absl::Status judged = one.manifest.ok() ? Judge(*one.manifest, *wanted) : one.manifest.status();
    if (!judged.ok()) {
      refused_.push_back(absl::StrCat("dataset ", one.name, " is not offered: ", judged.message()));
      continue;
    }
    v1::Dataset& dataset = offered_.emplace_back();
    dataset.set_name(one.name);
    dataset.set_hash(one.manifest->hash);
    manifests_.emplace(one.name, *std::move(one.manifest));
  }
  if (reading_ == nullptr && !wanted->files.empty()) {
    reading_ = wanted;
    // Not waited for: an agent that ends does not read a terabyte first.
    std::thread([wanted] { wanted->Read(); }).detach();
  }
  return absl::OkStatus();
}

bool DatasetList::Poll() {
  if (reading_ == nullptr || !reading_->done) return false;
  for (const Reading::File& file : reading_->files) {
    if (file.found.ok()) {
      bad_.erase(file.path);
      verified_.Put(file.path, file.expected, file.identity);
    } else if (!absl::IsUnavailable(file.found)) {
      bad_[file.path] = {file.identity, file.found};
    }
  }
  reading_.reset();
  if (const absl::Status saved = verified_.Save(); !saved.ok()) {
    LogLine(absl::StrCat("what was verified is not remembered: ", saved.message()));
  }
  return true;
}

void DatasetList::Suspect() {
  verified_.Clear();
  bad_.clear();
}

absl::Status DatasetList::CheckUnchanged(const std::string& name) const {
  if (const auto united = data::ParseUnionName(name); united.ok()) {
    for (const std::string& member : united->members) {
      ALLO_RETURN_IF_ERROR(CheckUnchanged(member));
    }
    return absl::OkStatus();
  }
  const auto found = manifests_.find(name);
  if (found == manifests_.end()) return absl::OkStatus();
  for (const data::Shard& shard : found->second.shards) {
    const std::string path = absl::StrCat(data_dir_, "/", name, "/", shard.file);
    const absl::StatusOr<FileIdentity> identity = IdentityOf(path);
    if (!identity.ok()) return absl::DataLossError(identity.status().message());
    if (!verified_.Contains(path, shard.hash, *identity)) {
      return absl::DataLossError(absl::StrCat(path, " changed since it was verified"));
    }
  }
  return absl::OkStatus();
}

}  // namespace allometry::agent
