#pragma once

namespace allometry::comm {

// Ends the process with `exit_code` in a second, whatever hangs meanwhile: MPI_Abort and
// ncclCommAbort talk to others, who may be gone. Returns at once.
void ExitSoon(int exit_code);

}  // namespace allometry::comm
