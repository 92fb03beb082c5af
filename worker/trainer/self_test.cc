#include "worker/trainer/self_test.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "run/exit_reason.h"
#include "worker/trainer/device.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

constexpr size_t kBytes = 16 << 20;  // a small checkpoint

absl::Status TryDevice(run::DeviceKind kind) {
  const absl::StatusOr<ComputeDevice> device = OpenDevice(kind, 0, /*deterministic=*/false);
  if (!device.ok()) return WithReason(ExitReason::kDevice, device.status());
  constexpr int64_t kSize = 64;
  at::Tensor ones = at::ones({kSize, kSize});
  if (device->device.cuda) ones = ones.cuda();
  ones.set_requires_grad(true);
  at::matmul(ones, ones).sum().backward();
  const double sum = ones.grad().sum().cpu().item<double>();
  const double expected = 2.0 * kSize * kSize * kSize;
  if (sum == expected) return absl::OkStatus();
  return WithReason(ExitReason::kDevice,
                    absl::InternalError(absl::StrFormat(
                        "%s computes wrongly: a sum of gradients is %g, and must be %g",
                        run::NameOf(kind), sum, expected)));
}

absl::Status TryToWrite(const std::string& folder) {
  const std::string file = absl::StrCat(folder, "/self-test-", getpid());
  const absl::Status written = WriteFileAtomically(file, std::string(kBytes, 'x'));
  unlink(file.c_str());
  return written;
}

absl::Status TryAll(const std::string& folder, run::DeviceKind device) {
  try {
    ALLO_RETURN_IF_ERROR(TryDevice(device));
  } catch (const std::exception& error) {
    return FromException(error);
  }
  return TryToWrite(folder);
}

}  // namespace

int SelfTest(const std::string& folder, run::DeviceKind device) {
  signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error of write(2) then
  const absl::Status status = TryAll(folder, device);
  if (status.ok()) return run::ProcessExitCode(ExitReason::kSucceeded);
  std::cerr << run::ExitReasonName(ReasonOf(status)) << ": " << status.message() << std::endl;
  return run::ProcessExitCode(ReasonOf(status));
}

}  // namespace allometry::trainer
