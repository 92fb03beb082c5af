#include "worker/trainer/process_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <csignal>

#include "models/instruction_set.h"

namespace allometry::trainer {

void SetUpProcess() {
  // A limit on the size of files is an error of write(2), and so DISK_FULL.
  std::signal(SIGXFSZ, SIG_IGN);
  models::LimitLibTorchToInstructionSet();
  at::set_num_threads(1);
  // A memorised batch fills the moments with denormals, which halve the speed of a CPU.
  at::globalContext().setFlushDenormal(true);
}

}  // namespace allometry::trainer
