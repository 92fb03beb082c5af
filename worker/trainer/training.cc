#include "worker/trainer/training.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "data/windows.h"
#include "worker/trainer/curve_log.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/learning_rate.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {
namespace {

using rundir::ExitReason;
using Clock = std::chrono::steady_clock;

// Tokens of an evaluation group: enough for efficient matrix products, few enough for small memory.
// The grouping is part of the numerics: do not change.
constexpr int64_t kEvaluationGroupTokens = 8192;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Consecutive windows and their targets, reused from one fill to the next.
struct WindowBuffer {
  std::vector<int32_t> inputs, targets;

  template <class Windows>
  absl::Status Fill(const Windows& windows, int64_t first, int64_t count) {
    inputs.resize(static_cast<size_t>(count * windows.context()));
    targets.resize(inputs.size());
    return WithReason(ExitReason::kData, windows.Fill(first, count, inputs, targets));
  }

  // Windows `begin` .. `begin + count - 1` of those filled.
  models::Batch Slice(int64_t begin, int64_t count, int64_t context) const {
    const auto offset = static_cast<size_t>(begin * context);
    const auto size = static_cast<size_t>(count * context);
    return {.sequences = count,
            .context = context,
            .inputs = std::span(inputs).subspan(offset, size),
            .targets = std::span(targets).subspan(offset, size)};
  }
};

struct Data {
  data::TokenDataset dataset;
  data::TrainWindows train;
  data::HeldoutWindows heldout;
};

absl::StatusOr<Data> OpenData(const std::string& data_dir, const rundir::RunSpec& spec) {
  const rundir::Identity& identity = spec.identity;
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest,
                        data::ReadManifest(data_dir, identity.dataset));
  if (!identity.dataset_hash.empty() && manifest.hash != identity.dataset_hash) {
    return absl::FailedPreconditionError(absl::StrCat(
        data_dir, "/", identity.dataset, "/dataset.json has the hash ", manifest.hash,
        "; the run was submitted with ", identity.dataset_hash, ": it is another dataset"));
  }
  if (manifest.vocabulary > identity.shape.vocabulary) {
    return absl::FailedPreconditionError(
        absl::StrCat("dataset ", identity.dataset, " has ", manifest.vocabulary,
                     " token ids; the model's vocabulary is ", identity.shape.vocabulary));
  }
  ALLO_ASSIGN_OR_RETURN(data::TokenDataset dataset,
                        data::TokenDataset::Open(absl::StrCat(data_dir, "/", identity.dataset)));
  ALLO_ASSIGN_OR_RETURN(data::TrainWindows train,
                        data::TrainWindows::Create(dataset, identity.shape.context, identity.seed));
  ALLO_ASSIGN_OR_RETURN(
      data::HeldoutWindows heldout,
      data::HeldoutWindows::Create(dataset, identity.shape.context, spec.evaluation_windows));
  return Data{std::move(dataset), std::move(train), std::move(heldout)};
}

class TrainingImpl final : public Training {
 public:
  TrainingImpl(TrainingParts parts, Data data, std::unique_ptr<Learner> learner, Progress progress)
      : parts_(std::move(parts)),
        spec_(parts_.spec),
        collective_(*parts_.collective),
        data_(std::move(data)),
        learner_(std::move(learner)),
        progress_(progress),
        curve_(parts_.spool, spec_.identity.batch_tokens, spec_.steps, parts_.progress),
        sequences_(spec_.identity.batch_tokens / spec_.identity.shape.context),
        share_begin_(collective_.rank() * sequences_ / collective_.world_size()),
        share_end_((collective_.rank() + 1) * sequences_ / collective_.world_size()),
        micro_batch_(MicroBatch(spec_, sequences_)) {}

  int64_t step() const override { return progress_.step; }
  absl::StatusOr<TrainingEnd> Run() override;

 private:
  static int64_t MicroBatch(const rundir::RunSpec& spec, int64_t sequences) {
    const int64_t share = (sequences + spec.ranks - 1) / spec.ranks;
    return spec.micro_batch == 0 ? share : std::min<int64_t>(spec.micro_batch, share);
  }

  bool writes() const { return parts_.spool != nullptr; }

  absl::Status RecordNumerics();
  // One update. Sets `command` to what rank 0 was told, and `loss` to the mean over the batch;
  // the parameters stay as they are where it is not finite.
  absl::Status Update(LeaseCommand* command, double* loss);
  // Adds this rank's share of update `step` to the gradient.
  absl::Status ComputeGradient(int64_t step);
  void LogStep(double loss, double seconds);
  absl::StatusOr<double> HeldoutLoss();
  // On rank 0: writes a checkpoint where time, the lease or `now` asks for one.
  absl::Status CheckpointIfDue(bool now);
  absl::Status WriteCheckpoint();

  const TrainingParts parts_;
  const rundir::RunSpec& spec_;
  comm::Collective& collective_;
  const Data data_;
  const std::unique_ptr<Learner> learner_;
  Progress progress_;
  CurveLog curve_;

  const int64_t sequences_;    // of an update, over all ranks
  const int64_t share_begin_;  // this rank's block of them
  const int64_t share_end_;
  const int64_t micro_batch_;
  WindowBuffer windows_;

  double timed_seconds_ = 0;  // training time of timed_steps_, since the last point
  int64_t timed_steps_ = 0;
  Clock::time_point checkpointed_ = Clock::now();
  int64_t checkpoint_step_ = 0;    // of the newest checkpoint
  int64_t checkpoint_lease_ = -1;  // the lease that asked for one
};

absl::Status TrainingImpl::RecordNumerics() {
  std::vector<std::string> hosts;
  for (int rank = 0; rank < collective_.world_size(); ++rank) {
    std::array<char, 256> host = {};
    if (rank == collective_.rank()) gethostname(host.data(), host.size() - 1);
    ALLO_RETURN_IF_ERROR(collective_.Broadcast(std::as_writable_bytes(std::span(host)), rank));
    hosts.emplace_back(host.data());
  }
  if (!writes()) return absl::OkStatus();
  parts_.spool->Append(rundir::Numerics{.ranks = collective_.world_size(),
                                        .hosts = absl::StrJoin(hosts, ","),
                                        .micro_batch = static_cast<int>(micro_batch_),
                                        .device = spec_.device,
                                        .device_model = parts_.device.model,
                                        .trainer_build = TrainerBuild(),
                                        .step_backend = learner_->step_backend()});
  return parts_.spool->Flush();
}

absl::Status TrainingImpl::ComputeGradient(int64_t step) {
  const int64_t context = spec_.identity.shape.context;
  const int64_t share = share_end_ - share_begin_;
  ALLO_RETURN_IF_ERROR(windows_.Fill(data_.train, (step - 1) * sequences_ + share_begin_, share));
  learner_->BeginGradient();
  for (int64_t begin = 0; begin < share; begin += micro_batch_) {
    const int64_t count = std::min(micro_batch_, share - begin);
    const float weight = static_cast<float>(static_cast<double>(count) / sequences_);
    ALLO_RETURN_IF_ERROR(learner_->AddGradient(windows_.Slice(begin, count, context), weight));
  }
  return absl::OkStatus();
}

absl::Status TrainingImpl::Update(LeaseCommand* command, double* loss) {
  const Clock::time_point start = Clock::now();
  const int64_t step = progress_.step + 1;
  ALLO_RETURN_IF_ERROR(ComputeGradient(step));
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(learner_->gradient()));
  // Rank 0's command rides along, so that all ranks stop after the same update.
  std::array<double, 2> scalars = {
      learner_->Loss(),
      parts_.lease != nullptr ? static_cast<double>(parts_.lease->command()) : 0.0};
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(scalars)));
  *loss = scalars[0];
  *command = static_cast<LeaseCommand>(static_cast<int>(scalars[1]));
  if (!std::isfinite(*loss)) return absl::OkStatus();

  learner_->Update(step);
  progress_.step = step;
  progress_.tokens += spec_.identity.batch_tokens;
  LogStep(*loss, SecondsSince(start));
  return absl::OkStatus();
}

void TrainingImpl::LogStep(double loss, double seconds) {
  progress_.train_loss_sum += loss;
  ++progress_.train_loss_count;
  timed_seconds_ += seconds;
  ++timed_steps_;
  if (progress_.step % spec_.log_every != 0) return;

  const int64_t step = progress_.step;
  const double tokens = static_cast<double>(timed_steps_ * spec_.identity.batch_tokens);
  curve_.Add(step, "train",
             progress_.train_loss_sum / static_cast<double>(progress_.train_loss_count));
  curve_.Add(step, "grad_norm", learner_->GradientNorm());
  curve_.Add(step, "learning_rate", LearningRateAt(spec_.identity, step));
  curve_.Add(step, "tokens_per_second", tokens / timed_seconds_);
  progress_.train_loss_sum = 0;
  progress_.train_loss_count = 0;
  timed_seconds_ = 0;
  timed_steps_ = 0;
}

absl::StatusOr<double> TrainingImpl::HeldoutLoss() {
  const int64_t context = spec_.identity.shape.context;
  const int64_t windows = data_.heldout.count();
  const int64_t group = std::max<int64_t>(1, kEvaluationGroupTokens / context);
  std::vector<double> sums(static_cast<size_t>((windows + group - 1) / group), 0.0);
  for (size_t i = 0; i < sums.size(); ++i) {
    if (static_cast<int>(i % collective_.world_size()) != collective_.rank()) continue;
    const int64_t first = static_cast<int64_t>(i) * group;
    const int64_t count = std::min(group, windows - first);
    ALLO_RETURN_IF_ERROR(windows_.Fill(data_.heldout, first, count));
    ALLO_ASSIGN_OR_RETURN(sums[i], learner_->SumLoss(windows_.Slice(0, count, context)));
  }
  // Exact: every sum has one rank that is not zero.
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(sums)));
  double total = 0;
  for (double sum : sums) total += sum;
  return total / static_cast<double>(windows * context);
}

absl::Status TrainingImpl::CheckpointIfDue(bool now) {
  if (!writes() || checkpoint_step_ == progress_.step) return absl::OkStatus();
  const LeaseWatch* lease = parts_.lease;
  const bool lease_asks =
      lease != nullptr && lease->leases() != checkpoint_lease_ && lease->CheckpointDue();
  if (lease_asks) checkpoint_lease_ = lease->leases();
  if (!now && !lease_asks && SecondsSince(checkpointed_) < spec_.checkpoint_every_s) {
    return absl::OkStatus();
  }
  return WriteCheckpoint();
}

absl::Status TrainingImpl::WriteCheckpoint() {
  // A checkpoint counts only when everything before it is safe.
  ALLO_RETURN_IF_ERROR(parts_.spool->Sync());
  ALLO_ASSIGN_OR_RETURN(rundir::CheckpointRecord record,
                        learner_->Save(parts_.run_dir, spec_.attempt, progress_));
  parts_.spool->Append(std::move(record));
  ALLO_RETURN_IF_ERROR(parts_.spool->Sync());
  checkpointed_ = Clock::now();
  checkpoint_step_ = progress_.step;
  return absl::OkStatus();
}

absl::StatusOr<TrainingEnd> TrainingImpl::Run() {
  ALLO_RETURN_IF_ERROR(RecordNumerics());
  checkpoint_step_ = progress_.step;
  checkpointed_ = Clock::now();
  auto evaluation = std::upper_bound(spec_.evaluation_steps.begin(), spec_.evaluation_steps.end(),
                                     progress_.step);
  while (progress_.step < spec_.steps) {
    LeaseCommand command = LeaseCommand::kNone;
    double loss = 0;
    ALLO_RETURN_IF_ERROR(Update(&command, &loss));
    if (!std::isfinite(loss)) {
      const int64_t step = progress_.step + 1;
      curve_.Add(step, "train", loss);
      return TrainingEnd{ExitReason::kDiverged,
                         absl::StrFormat("the training loss of update %d is %g", step, loss), step};
    }
    const int64_t step = progress_.step;
    if (evaluation != spec_.evaluation_steps.end() && *evaluation == step) {
      ++evaluation;
      ALLO_ASSIGN_OR_RETURN(const double heldout, HeldoutLoss());
      curve_.Add(step, "heldout", heldout);
      if (!std::isfinite(heldout)) {
        return TrainingEnd{
            ExitReason::kDiverged,
            absl::StrFormat("the held-out loss after update %d is %g", step, heldout), step};
      }
    }
    const bool done = step == spec_.steps;
    const bool asked =
        std::binary_search(spec_.checkpoint_steps.begin(), spec_.checkpoint_steps.end(), step);
    ALLO_RETURN_IF_ERROR(CheckpointIfDue(done || asked || command != LeaseCommand::kNone));
    ALLO_RETURN_IF_ERROR(curve_.FlushIfDue(step));
    if (done) break;
    if (command == LeaseCommand::kPreempt) {
      return TrainingEnd{ExitReason::kPreempted, "told to stop", step};
    }
    if (command == LeaseCommand::kCancel) {
      return TrainingEnd{ExitReason::kCancelledByUser, "told to stop", step};
    }
  }
  return TrainingEnd{ExitReason::kSucceeded, "", progress_.step};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> Training::Create(TrainingParts parts) {
  const rundir::RunSpec& spec = parts.spec;
  absl::StatusOr<Data> data = OpenData(parts.data_dir, spec);
  if (!data.ok()) return WithReason(ExitReason::kData, data.status());
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Learner> learner,
                        Learner::Create(spec.identity, spec.step_backend, parts.device));
  Progress progress;
  if (spec.start.has_value()) {
    absl::StatusOr<Progress> restored = learner->Restore(parts.run_dir, *spec.start);
    if (!restored.ok()) return WithReason(ExitReason::kCheckpoint, restored.status());
    progress = *restored;
  }
  return std::make_unique<TrainingImpl>(std::move(parts), *std::move(data), std::move(learner),
                                        progress);
}

}  // namespace allometry::trainer
