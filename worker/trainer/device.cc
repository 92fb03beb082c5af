#include "worker/trainer/device.h"

#include <torch/headeronly/version.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace allometry::trainer {

std::string CpuModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, "model name")) continue;
    const size_t colon = rest.find(": ");
    if (colon != absl::string_view::npos) return std::string(rest.substr(colon + 2));
  }
  return "unknown";
}

std::string TrainerBuild() {
#ifdef __clang__
  constexpr char kCompiler[] = "clang " __clang_version__;
#else
  constexpr char kCompiler[] = "gcc " __VERSION__;
#endif
  return absl::StrCat("allometry ", ALLO_VERSION, ", LibTorch ", TORCH_VERSION, ", ", kCompiler);
}

}  // namespace allometry::trainer
