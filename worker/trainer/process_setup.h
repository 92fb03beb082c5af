// What a process that trains sets once, before anything else.
#pragma once

namespace allometry::trainer {

// Signals, the number of threads and the floating-point mode, on which bits depend.
void SetUpProcess();

}  // namespace allometry::trainer
