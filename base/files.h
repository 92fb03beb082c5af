// Whole small files, read and written so that a crash leaves the old or the new file, never a part.
//
// Errors carry the path and the system's reason: NotFound where the file is missing,
// ResourceExhausted on a full disk or quota, Unavailable otherwise.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"

namespace allometry {

// More than any file that is read whole.
inline constexpr size_t kSmallFileBytes = size_t{64} << 20;

// The status for the current errno, as "PATH: what: reason".
absl::Status ErrnoStatus(absl::string_view path, absl::string_view what);

// InvalidArgument: longer than `max_bytes`, or a pipe or a device, unless under /dev or /proc.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = kSmallFileBytes);

// Writes PATH.tmp.PID.n, syncs it, renames it over PATH and syncs the folder.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

// mkdir -p with mode 0755.
absl::Status MakeDirectories(const std::string& path);

// 64-bit XXH3 of `bytes` as 16 lower-case hexadecimal digits. Stored: do not change.
std::string HashHex(absl::string_view bytes);
// The same hash of a file's contents, read in pieces. InvalidArgument: not a regular file.
absl::StatusOr<std::string> HashFileHex(const std::string& path);

// 128 random bits from the kernel as 32 hexadecimal digits: lease tokens, agent and root ids.
std::string RandomHex128();

}  // namespace allometry
