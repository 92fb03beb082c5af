// allo-supervisor: started by a worker, on each host of a run whose trainer is a command.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "base/host_name.h"
#include "base/private_files.h"
#include "run/exit_reason.h"
#include "worker/supervisor/supervisor.h"

namespace {

// Which of the launcher's processes this is. mpirun and srun say so; where neither started it, it
// is the only one.
size_t Rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "SLURM_PROCID"}) {
    const char* value = std::getenv(name);
    size_t rank = 0;
    if (value != nullptr && absl::SimpleAtoi(value, &rank)) return rank;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool help = argc == 2 && std::string(argv[1]) == "--help";
  if (help || argc != 2 || argv[1][0] == '-') {
    (help ? std::cout : std::cerr)
        << "allo-supervisor ATTEMPT_DIR: a worker starts this program, on each host of a run whose "
           "trainer is a command (docs/trainer.md)\n";
    return help ? 0 : 2;
  }
  allometry::MakeFilesPrivate();
  const absl::StatusOr<int> code = allometry::supervisor::Supervisor(argv[1], Rank()).Run();
  if (code.ok()) return *code;
  std::cerr << "allo-supervisor on " << allometry::HostName() << ": " << code.status().message()
            << "\n";
  return allometry::run::ProcessExitCode(allometry::run::ExitReason::kBug);
}
