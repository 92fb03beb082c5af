#include "worker/trainer/device.h"

#include <malloc.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "models/instruction_set.h"

namespace allometry::trainer {
namespace {

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

}  // namespace

absl::StatusOr<ComputeDevice> OpenCpu() {
  ALLO_ASSIGN_OR_RETURN(const models::InstructionSet set, models::ChooseInstructionSet());
  return ComputeDevice{
      .device = {}, .stream = nullptr, .model = absl::StrCat(CpuModel(), " (", set.name, ")")};
}

int64_t PeakHostBytes() {
  std::ifstream status("/proc/self/status");
  int64_t peak_kib = 0, file_kib = 0;
  for (std::string line; std::getline(status, line);) {
    absl::string_view rest = line;
    int64_t* field = absl::ConsumePrefix(&rest, "VmHWM:")     ? &peak_kib
                     : absl::ConsumePrefix(&rest, "RssFile:") ? &file_kib
                                                              : nullptr;
    if (field == nullptr || !absl::ConsumeSuffix(&rest, "kB")) continue;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(rest), field)) *field = 0;
  }
  return std::max<int64_t>(0, peak_kib - file_kib) * 1024;
}

void ForgetPeakHostBytes() {
  malloc_trim(0);
  // proc(5): resets VmHWM to the current resident set.
  std::ofstream("/proc/self/clear_refs") << "5";
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
