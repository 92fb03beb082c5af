#include "worker/trainer/run_trainer.h"

#include <ATen/Context.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/boot_id.h"
#include "base/clock.h"
#include "base/files.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "worker/comm/collective.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/device.h"
#include "worker/trainer/lease_watch.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/process_setup.h"
#include "worker/trainer/step_choice.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

// Whether the launcher's ranks are those of run.json.
absl::Status CheckRanks(const run::RunSpec& spec) {
  const int launched = comm::LaunchedRanks();
  if (launched == spec.ranks) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "run.json asks for %d ranks, %d started: use 'mpirun -np %d allo-trainer ...', or set "
      "\"ranks\": %d (then its numbers differ in the last bits)",
      spec.ranks, launched, spec.ranks, launched));
}

std::string CollectiveName(const std::string& asked, const run::RunSpec& spec) {
  if (asked != "auto") return asked;
  if (spec.ranks == 1) return "self";
  return spec.device == run::DeviceKind::kCuda ? "nccl" : "mpi";
}

// One rank's attempt and what has to be ended in order when it is over.
class Session {
 public:
  Session(const TrainerOptions& options, run::RunSpec spec)
      : options_(options), spec_(std::move(spec)) {}

  // Rank 0 owns the attempt's folder from here on.
  absl::Status OpenSpool() {
    if (comm::LaunchedRank() != 0) return absl::OkStatus();
    ALLO_ASSIGN_OR_RETURN(spool_, OpenAttempt(options_.run_dir, spec_.attempt));
    return absl::OkStatus();
  }

  // An error is this rank's alone.
  absl::StatusOr<TrainingEnd> Train() {
    WatchLease();
    ALLO_ASSIGN_OR_RETURN(const std::optional<TrainingEnd> ended, Prepare());
    if (ended.has_value()) return *ended;
    return training_->Run();
  }

  // Instead of Train.
  absl::StatusOr<TrainingEnd> Measure() {
    WatchLease();
    ALLO_ASSIGN_OR_RETURN(const std::optional<TrainingEnd> ended, Prepare());
    if (ended.has_value()) return *ended;
    ALLO_ASSIGN_OR_RETURN(const Measurement measured, training_->Measure(options_.measure_seconds));
    if (collective_->rank() == 0) {
      std::cout << MeasurementJson(measured, TrainerBuild(), device_model_) << std::endl;
    }
    return TrainingEnd{ExitReason::kSucceeded, "", training_->step()};
  }

  // Writes the exit record, leaves or aborts the other ranks, and returns the exit code.
  int Finish(const absl::StatusOr<TrainingEnd>& end) {
    TrainingEnd last = EndOf(end, training_ != nullptr ? training_->step() : 0);
    if (!last.message.empty()) {
      std::cerr << run::ExitReasonName(last.reason) << ": " << last.message << std::endl;
    }
    if (spool_ != nullptr) RecordExit(*spool_, &last);
    // The agent may close the pipe once it has read the exit record.
    lease_.reset();
    const int code = run::ProcessExitCode(last.reason);
    if (collective_ == nullptr) return code;
    if (!end.ok() && collective_->world_size() > 1) collective_->Abort(code);
    training_.reset();
    const bool speaks = collective_->rank() == 0;
    collective_.reset();
    return speaks ? code : 0;
  }

 private:
  // The device, the ranks and the training. An error is this rank's alone; an end is what all
  // ranks agreed on.
  absl::StatusOr<std::optional<TrainingEnd>> Prepare() {
    ALLO_ASSIGN_OR_RETURN(const ComputeDevice device, Connect());
    if (spec_.identity.precision == run::Precision::kTf32)
      at::globalContext().setAllowTF32CuBLAS(true);

    TrainingParts parts;
    parts.run_dir = options_.run_dir;
    parts.data_dir = options_.data_dir;
    parts.spec = spec_;
    parts.device = device;
    const bool trains_model = spec_.kind != run::RunKind::kPolicy;
    if (spec_.step_backend == "auto" && !device.device.cuda && trains_model) {
      ALLO_RETURN_IF_ERROR(AgreeOnStep(*collective_, options_.run_dir, spec_, device,
                                       /*log=*/options_.measure_seconds == 0,
                                       &parts.spec.step_backend));
    }
    device_model_ = device.model;
    parts.progress = !options_.leased && options_.measure_seconds == 0;
    parts.collective = collective_.get();
    const bool on_gpu = device.device.cuda;
    parts.bucket_elements = static_cast<int64_t>(
        options_.bucket_mib.value_or(on_gpu ? kGpuBucketMib : 0) * (1 << 20) / sizeof(float));
    parts.spool = spool_.get();
    parts.lease = lease_.get();
    absl::StatusOr<std::unique_ptr<Training>> training = Training::Create(std::move(parts));
    const absl::Status all = Agree(*collective_, training.status());
    if (!all.ok()) return TrainingEnd{ReasonOf(all), std::string(all.message()), 0};
    training_ = *std::move(training);
    return std::nullopt;
  }

  void WatchLease() {
    if (!options_.leased) return;
    // Rank 0 tells the others to stop, so that all end at the same step.
    LeaseWatch::TakeSigterm();
    if (spool_ == nullptr) return;
    lease_ = std::make_unique<LeaseWatch>(
        STDIN_FILENO, Clock::Real(), BootId(),
        [this](const auto& why) { EndNow(ExitReason::kLeaseLost, why); });
  }

  // Ends every rank without an exit record, from any thread.
  void EndNow(ExitReason reason, const std::string& why) {
    std::cerr << run::ExitReasonName(reason) << ": " << why << std::endl;
    const int code = run::ProcessExitCode(reason);
    comm::Collective* collective = abort_through_.load();
    if (collective != nullptr) collective->Abort(code);
    _exit(code);
  }

  // Opens the device and joins the other ranks. NCCL's ranks know only then which GPU is theirs.
  absl::StatusOr<ComputeDevice> Connect() {
    const std::string name = CollectiveName(options_.collective, spec_);
    absl::StatusOr<ComputeDevice> device = absl::InternalError("no device was opened");
    const auto open = [&](int index) {
      device = OpenDevice(spec_.device, index, spec_.deterministic);
      return device.ok() ? absl::StatusOr<void*>(device->stream) : device.status();
    };
    comm::Options options;
    options.on_gpu = spec_.device == run::DeviceKind::kCuda;
    options.deterministic = spec_.deterministic;
    if (name == "nccl") {
      options.open_gpu = open;
    } else if (const absl::Status opened = open(0).status(); !opened.ok()) {
      return WithReason(ExitReason::kDevice, opened);
    }
    options.timeout_s = options_.collective_timeout_s;
    options.on_hang = [this](const absl::Status& why) {
      EndNow(ExitReason::kNodeLost, std::string(why.message()));
    };
    absl::StatusOr<std::unique_ptr<comm::Collective>> collective = comm::Create(name, options);
    if (!collective.ok()) {
      return absl::IsAborted(collective.status())
                 ? collective.status()
                 : WithReason(ExitReason::kDevice, collective.status());
    }
    collective_ = *std::move(collective);
    abort_through_ = collective_.get();
    if (collective_->world_size() != spec_.ranks || collective_->rank() != comm::LaunchedRank()) {
      return absl::InternalError(absl::StrFormat(
          "the launcher says rank %d of %d, the collective says rank %d of %d",
          comm::LaunchedRank(), spec_.ranks, collective_->rank(), collective_->world_size()));
    }
    return device;
  }

  const TrainerOptions& options_;
  const run::RunSpec spec_;
  std::unique_ptr<run::SpoolWriter> spool_;  // rank 0's
  std::unique_ptr<comm::Collective> collective_;
  std::atomic<comm::Collective*> abort_through_ = nullptr;
  std::unique_ptr<Training> training_;
  std::string device_model_;
  std::unique_ptr<LeaseWatch> lease_;  // last: its thread uses the collective
};

int Refuse(const absl::Status& status) {
  std::cerr << status.message() << std::endl;
  return run::ProcessExitCode(ReasonOf(status));
}

}  // namespace

int RunTrainer(const TrainerOptions& options) {
  SetUpProcess();
  absl::StatusOr<run::RunSpec> spec = run::ReadRunSpec(options.run_dir);
  if (!spec.ok()) return Refuse(spec.status());
  if (const absl::Status ranks = CheckRanks(*spec); !ranks.ok()) return Refuse(ranks);
  Session session(options, *std::move(spec));
  if (const absl::Status spool = session.OpenSpool(); !spool.ok()) return Refuse(spool);

  absl::StatusOr<TrainingEnd> end = absl::UnknownError("not started");
  try {
    end = session.Train();
  } catch (const std::exception& error) {
    end = FromException(error);
  }
  return session.Finish(end);
}

int MeasureTrainer(const TrainerOptions& options) {
  SetUpProcess();
  absl::StatusOr<run::RunSpec> spec = run::ReadRunSpec(options.run_dir);
  if (!spec.ok()) return Refuse(spec.status());
  if (const absl::Status ranks = CheckRanks(*spec); !ranks.ok()) return Refuse(ranks);
  spec->start.reset();
  TrainerOptions scratch = options;
  if (comm::LaunchedRank() == 0) {
    // Beside run.json, so that checkpoints are timed on the disk that they would be on.
    scratch.run_dir = absl::StrCat(options.run_dir, "/measure-", RandomHex128());
    if (const absl::Status made = MakeDirectories(scratch.run_dir); !made.ok()) return Refuse(made);
  }
  int code = 0;
  {
    Session session(scratch, *std::move(spec));
    if (const absl::Status spool = session.OpenSpool(); !spool.ok()) return Refuse(spool);
    absl::StatusOr<TrainingEnd> end = absl::UnknownError("not started");
    try {
      end = session.Measure();
    } catch (const std::exception& error) {
      end = FromException(error);
    }
    code = session.Finish(end);
  }
  if (comm::LaunchedRank() == 0) {
    std::error_code ignored;
    std::filesystem::remove_all(scratch.run_dir, ignored);
  }
  return code;
}

}  // namespace allometry::trainer
