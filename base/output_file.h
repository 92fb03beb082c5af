// A file that a command writes for a person. An earlier file stays until the new one is complete,
// and files that are still in use are not overwritten.
//
//   ALLO_ASSIGN_OR_RETURN(auto output, OutputFile::Create(path, {.inputs = {csv_path}}));
//   ALLO_RETURN_IF_ERROR(output->Append(text));
//   ALLO_RETURN_IF_ERROR(output->Commit());
//
// A symbolic link stays: the file that it leads to is replaced, with its permissions. A device, a
// pipe or a socket (/dev/stdout, /dev/null) is written to directly.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/status.h"

namespace allometry {

struct OutputOptions {
  // Files that the command reads: none of them may be the output, also not through a link.
  // "-" is standard input, "" is none.
  std::vector<std::string> inputs = {};
  // A database of SQLite may be replaced; otherwise it is refused like a folder.
  bool may_replace_database = false;
  // Only the owner may read it, also where others could read what was there.
  bool only_owner = false;
  // What the output is, "an SVG picture", and how a file of that kind begins. A file that is there,
  // is not empty and begins otherwise is refused. None: any file is replaced.
  std::string kind = "";
  std::vector<std::string> beginnings = {};
};

// Whether `path` may be written: InvalidArgument where it is a folder, in a folder that does not
// exist, one of the inputs, a database, a file of another kind, or (FailedPrecondition) a file that
// another program holds locked, such as the database that a coordinator serves. Nothing is touched.
// Call it before long work.
absl::Status CheckOutput(const std::string& path, const OutputOptions& options);

// Both paths lead to one file (device and inode); false where one of them is not there.
bool SameFile(const std::string& a, const std::string& b);

class OutputFile {
 public:
  // Statuses of CheckOutput, and those of base/files.h.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path,
                                                            const OutputOptions& options);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Append(absl::string_view bytes);
  // Once, after the last piece: checks again, then replaces what is there.
  absl::Status Commit();

  // Where the pieces are until Commit; empty for a device or a pipe.
  const std::string& temporary_path() const;

 private:
  OutputFile(std::string path, OutputOptions options)
      : path_(std::move(path)), options_(std::move(options)) {}

  const std::string path_;  // without symbolic links
  const OutputOptions options_;
  std::unique_ptr<AtomicFile> file_;
  int direct_fd_ = -1;
};

// Create, Append and Commit of a text that is there.
absl::Status WriteOutput(const std::string& path, absl::string_view contents,
                         const OutputOptions& options);

}  // namespace allometry
