#include "worker/trainer/run_stack.h"

#include <ATen/Context.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "worker/comm/collective.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/device.h"
#include "worker/trainer/lease_watch.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/process_setup.h"
#include "worker/trainer/stack.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

// Their spools, in order, where none has run before and all can be written; a folder of an attempt
// that was made for nothing is taken away again.
absl::StatusOr<std::vector<std::unique_ptr<run::SpoolWriter>>> OpenAttempts(
    const std::vector<std::string>& run_dirs, const std::vector<run::RunSpec>& specs) {
  std::vector<std::unique_ptr<run::SpoolWriter>> spools;
  for (size_t i = 0; i < specs.size(); ++i) {
    auto spool = OpenAttempt(run_dirs[i], specs[i].attempt);
    if (!spool.ok()) {
      spools.clear();
      for (size_t made = 0; made < i; ++made) {
        std::error_code ignored;
        std::filesystem::remove_all(run::AttemptDir(run_dirs[made], specs[made].attempt), ignored);
      }
      return spool.status();
    }
    spools.push_back(*std::move(spool));
  }
  return spools;
}

absl::StatusOr<std::vector<run::RunSpec>> ReadSpecs(const std::vector<std::string>& run_dirs) {
  std::vector<run::RunSpec> specs;
  std::set<std::filesystem::path> seen;
  for (const std::string& run_dir : run_dirs) {
    if (!seen.insert(std::filesystem::weakly_canonical(run_dir)).second) {
      return absl::InvalidArgumentError(absl::StrCat(run_dir, " is given twice"));
    }
    ALLO_ASSIGN_OR_RETURN(specs.emplace_back(), run::ReadRunSpec(run_dir));
  }
  return specs;
}

}  // namespace

int RunStack(const TrainerOptions& options, const std::vector<std::string>& run_dirs, int width) {
  SetUpProcess();
  const auto refuse = [](const absl::Status& status) {
    std::cerr << status.message() << std::endl;
    return run::ProcessExitCode(ReasonOf(status));
  };
  const absl::StatusOr<std::vector<run::RunSpec>> specs = ReadSpecs(run_dirs);
  if (!specs.ok()) return refuse(specs.status());
  if (width == 0) width = static_cast<int>(run_dirs.size());
  if (const absl::Status stackable = CheckStack(*specs, width); !stackable.ok()) {
    return refuse(stackable);
  }
  LeaseWatch::TakeSigterm();
  auto spools = OpenAttempts(run_dirs, *specs);
  if (!spools.ok()) return refuse(spools.status());

  int code = 0;
  const auto end_run = [&](size_t k, const absl::StatusOr<TrainingEnd>& end, int64_t step) {
    TrainingEnd last = EndOf(end, step);
    RecordExit(*(*spools)[k], &last);
    std::cerr << run_dirs[k] << ": " << run::ExitReasonName(last.reason)
              << (last.message.empty() ? "" : ": ") << last.message << std::endl;
    if (code == 0) code = run::ProcessExitCode(last.reason);
  };

  std::unique_ptr<comm::Collective> self;
  std::unique_ptr<Stack> stack;
  const auto train = [&]() -> absl::Status {
    const run::RunSpec& first = specs->front();
    const auto device = OpenDevice(first.device, 0, first.deterministic);
    if (!device.ok()) return WithReason(ExitReason::kDevice, device.status());
    if (first.identity.precision == run::Precision::kTf32) {
      at::globalContext().setAllowTF32CuBLAS(true);
    }
    ALLO_ASSIGN_OR_RETURN(self, comm::Create("self", {}));
    std::vector<TrainingParts> runs(run_dirs.size());
    for (size_t k = 0; k < runs.size(); ++k) {
      runs[k].run_dir = run_dirs[k];
      runs[k].data_dir = options.data_dir;
      runs[k].spec = (*specs)[k];
      runs[k].spec.step_backend = "autograd";  // of evaluations
      runs[k].device = *device;
      runs[k].collective = self.get();
      runs[k].spool = (*spools)[k].get();
    }
    ALLO_ASSIGN_OR_RETURN(stack,
                          Stack::Create(std::move(runs), width, [&](size_t k, const auto& end) {
                            end_run(k, end, stack ? stack->StepOf(k) : 0);
                          }));
    return stack->Run();
  };
  absl::Status failed;
  try {
    failed = train();
  } catch (const std::exception& error) {
    failed = FromException(error);
  }
  if (!failed.ok()) {
    for (size_t k = 0; k < run_dirs.size(); ++k) {
      if (stack != nullptr && !stack->IsOpen(k)) continue;
      end_run(k, failed, stack ? stack->StepOf(k) : 0);
    }
  }
  return code;
}

}  // namespace allometry::trainer
