// MPI's error codes as statuses.
#pragma once

#include <mpi.h>

#include "base/status.h"

namespace allometry::comm {

// Aborted: an MPI that reports an error has lost a peer, and the job cannot continue.
inline absl::Status FromMpi(int error, absl::string_view what) {
  if (error == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(error, text, &length);
  return absl::AbortedError(absl::StrCat(what, ": ", absl::string_view(text, length)));
}

}  // namespace allometry::comm
