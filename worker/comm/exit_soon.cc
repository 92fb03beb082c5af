#include "worker/comm/exit_soon.h"

#include <unistd.h>

#include <thread>

namespace allometry::comm {

void ExitSoon(int exit_code) {
  std::thread([exit_code] {
    sleep(1);
    _exit(exit_code);
  }).detach();
}

}  // namespace allometry::comm
