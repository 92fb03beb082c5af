#include "worker/trainer/training.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/stacked_step.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/batch_feed.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/captured_work.h"
#include "worker/trainer/curve_log.h"
#include "worker/trainer/dataset_checks.h"
#include "worker/trainer/evaluation.h"
#include "worker/trainer/gradient_buckets.h"
#include "worker/trainer/heldout_losses.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/learning_rate.h"
#include "worker/trainer/model_training.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/policy_training.h"
#include "worker/trainer/read_steps.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using Clock = std::chrono::steady_clock;

// A peak is told again when it rose by more than this.
constexpr double kMemoryStep = 1.01;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of this process so far.
double CpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class TrainingImpl final : public ModelTraining {
 public:
  TrainingImpl(TrainingParts parts, ShardWatch shards, std::unique_ptr<Batches> batches,
               std::unique_ptr<Learner> learner, Progress progress)
      : parts_(std::move(parts)),
        spec_(parts_.spec),
        collective_(*parts_.collective),
        shards_(std::move(shards)),
        batches_(std::move(batches)),
        learner_(std::move(learner)),
        progress_(progress),
        curve_(parts_.spool, spec_.identity.batch_tokens, spec_.steps, parts_.progress),
        sequences_(spec_.identity.batch_tokens / spec_.identity.shape.context),
        share_begin_(collective_.rank() * sequences_ / collective_.world_size()),
        share_end_((collective_.rank() + 1) * sequences_ / collective_.world_size()),
        micro_batch_(MicroBatch(spec_, sequences_)),
        feed_(CreateFeed(parts_.device,
                         [this](const auto& done) { return collective_.WaitUntil(done); })),
        update_work_(Captures() ? CreateRecorder(parts_.device) : nullptr, [this](std::string why) {
          if (collective_.rank() == 0) std::cerr << why << std::endl;
        }) {
    learner_->SetLossSum(progress_.train_loss_sum, static_cast<double>(progress_.train_loss_count));
  }

  int64_t step() const override { return progress_.step; }
  absl::StatusOr<TrainingEnd> Run() override;
  absl::StatusOr<Measurement> Measure(double seconds) override;

  absl::Status Begin() override;
  bool done() const override { return progress_.step >= spec_.steps; }
  absl::StatusOr<FedUpdate> NextBatch() override;
  Learner& learner() override { return *learner_; }
  const models::Objective& objective() const override { return batches_->objective(); }
  absl::StatusOr<std::optional<TrainingEnd>> FinishUpdate(Clock::time_point start) override;

 private:
  static int64_t MicroBatch(const run::RunSpec& spec, int64_t sequences) {
    const int64_t share = (sequences + spec.ranks - 1) / spec.ranks;
    return spec.micro_batch == 0 ? share : std::min<int64_t>(spec.micro_batch, share);
  }

  bool writes() const { return parts_.spool != nullptr; }

  // Enqueues one update, and where `read` waits for its report.
  absl::Status Update(bool read, models::UpdateReport* report);
  // What follows on the host once it is enqueued, the time being counted from `start`.
  absl::Status CountUpdate(Clock::time_point start, bool read, models::UpdateReport* report);
  // Evaluates and checkpoints where that is due. How the attempt ended, or nothing.
  absl::StatusOr<std::optional<TrainingEnd>> AfterUpdate(const models::UpdateReport& report);
  // The device work of an update of this rank's share; the same calls every time.
  absl::Status EnqueueUpdate(const FedUpdate& fed);
  bool Captures() const {
    const int64_t micro_batches = (share_end_ - share_begin_ + micro_batch_ - 1) / micro_batch_;
    return micro_batches <= CapturedWork::kMostMicroBatches && !EagerIsAsked();
  }
  void LogStep(const models::UpdateReport& report);
  void LogMemory(int64_t step);
  absl::StatusOr<HeldoutLosses> Heldout() {
    return MeasureHeldout(spec_, *batches_, *learner_, collective_);
  }
  absl::Status RecordClassEntropy();
  absl::StatusOr<run::CheckpointRecord> Save() {
    return learner_->Save(parts_.run_dir, spec_.attempt, progress_);
  }
  // Updates until rank 0 has seen `seconds` pass, at least one; returns their mean time.
  absl::StatusOr<double> TimeUpdates(double seconds, int64_t* updates);

  const TrainingParts parts_;
  const run::RunSpec& spec_;
  comm::Collective& collective_;
  const ShardWatch shards_;
  const std::unique_ptr<Batches> batches_;
  const std::unique_ptr<Learner> learner_;
  Progress progress_;
  CurveLog curve_;

  const int64_t sequences_;    // of an update, over all ranks
  const int64_t share_begin_;  // this rank's block of them
  const int64_t share_end_;
  const int64_t micro_batch_;
  const std::unique_ptr<BatchFeed> feed_;
  CapturedWork update_work_;

  double timed_seconds_ = 0;  // training time of timed_steps_, since the last point
  int64_t timed_steps_ = 0;
  int64_t memory_bytes_ = 0;  // the peak as last told
  Clock::time_point memory_logged_;
  Checkpoints checkpoints_{parts_, shards_};
};

absl::Status TrainingImpl::EnqueueUpdate(const FedUpdate& fed) {
  const std::span<float> gradient = learner_->gradient();
  const bool in_buckets = SumsInBuckets(parts_, static_cast<int64_t>(gradient.size()));
  GradientBuckets buckets(collective_, parts_.bucket_elements);
  const models::TrainStep::GradientDone done = [&](int64_t begin, int64_t end) {
    return buckets.Add(gradient, begin, end);
  };
  learner_->BeginUpdate(fed.inputs);
  for (int64_t begin = 0; begin < fed.batch.sequences; begin += micro_batch_) {
    const int64_t count = std::min(micro_batch_, fed.batch.sequences - begin);
    const float weight = static_cast<float>(static_cast<double>(count) / sequences_);
    const bool is_last = begin + count == fed.batch.sequences;
    ALLO_RETURN_IF_ERROR(learner_->AddGradient(models::Slice(fed.batch, begin, count), weight,
                                               is_last && in_buckets ? done : nullptr));
  }
  if (in_buckets) ALLO_RETURN_IF_ERROR(buckets.Finish());
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(
      in_buckets ? std::span<float>() : learner_->gradient(), learner_->scalars()));
  learner_->FinishUpdate(fed.inputs, sequences_);
  return absl::OkStatus();
}

absl::StatusOr<FedUpdate> TrainingImpl::NextBatch() {
  const int64_t step = progress_.step + 1;
  const int64_t share = share_end_ - share_begin_;
  ALLO_RETURN_IF_ERROR(WithReason(
      ExitReason::kData, batches_->ReadTrain((step - 1) * sequences_ + share_begin_, share)));
  models::Batch batch = batches_->Slice(0, share);
  if (parts_.stack_width > 0) {
    ALLO_RETURN_IF_ERROR(
        WithReason(ExitReason::kData, models::CheckTokens(batch, spec_.identity.shape.vocabulary)));
  }
  batch.update = step;
  batch.first_sequence = share_begin_;
  batch.update_sequences = sequences_;
  models::UpdateInputs inputs = {.step = static_cast<double>(step),
                                 .rate = LearningRateAt(spec_.identity, step)};
  // Rank 0's command rides along with the loss, so that all ranks stop after the same update.
  inputs.command = static_cast<double>(CommandOf(parts_));
  return feed_->Push(batch, inputs);
}

absl::Status TrainingImpl::Update(bool read, models::UpdateReport* report) {
  const Clock::time_point start = Clock::now();
  ALLO_ASSIGN_OR_RETURN(const FedUpdate fed, NextBatch());
  ALLO_RETURN_IF_ERROR(update_work_.Run([&] { return EnqueueUpdate(fed); }));
  return CountUpdate(start, read, report);
}

absl::Status TrainingImpl::CountUpdate(Clock::time_point start, bool read,
                                       models::UpdateReport* report) {
  if (read) {
    // The report blocks on the device, without a time limit, for whatever rank is not there.
    ALLO_RETURN_IF_ERROR(collective_.Wait());
    *report = learner_->ReadReport();
  }
  timed_seconds_ += SecondsSince(start);
  ++timed_steps_;
  if (read && report->failed_step != 0) return absl::OkStatus();
  ++progress_.step;
  progress_.tokens += spec_.identity.batch_tokens;
  if (read) LogStep(*report);
  return absl::OkStatus();
}

void TrainingImpl::LogStep(const models::UpdateReport& report) {
  progress_.train_loss_sum = report.loss_sum;
  progress_.train_loss_count = static_cast<int64_t>(report.loss_count);
  if (progress_.step % spec_.log_every != 0) return;

  const int64_t step = progress_.step;
  const double tokens = static_cast<double>(timed_steps_ * spec_.identity.batch_tokens);
  curve_.Add(step, "train",
             progress_.train_loss_sum / static_cast<double>(progress_.train_loss_count));
  curve_.Add(step, "grad_norm", report.gradient_norm);
  curve_.Add(step, "learning_rate", LearningRateAt(spec_.identity, step));
  curve_.Add(step, "tokens_per_second", tokens / timed_seconds_);
  LogMemory(step);
  progress_.train_loss_sum = 0;
  progress_.train_loss_count = 0;
  learner_->SetLossSum(0, 0);
  timed_seconds_ = 0;
  timed_steps_ = 0;
}

void TrainingImpl::LogMemory(int64_t step) {
  const Clock::time_point now = Clock::now();
  if (!writes() || (memory_bytes_ > 0 && now - memory_logged_ < std::chrono::seconds(1))) return;
  memory_logged_ = now;
  // A stack's runs have equal shares of what it needs.
  const int64_t bytes = PeakMemoryBytes(parts_.device) / std::max(1, parts_.stack_width);
  if (static_cast<double>(bytes) <= kMemoryStep * static_cast<double>(memory_bytes_)) return;
  memory_bytes_ = bytes;
  curve_.Add(step, "memory_bytes", static_cast<double>(bytes));
}

// Once a curve: chance, which a class-wise loss is to be held against.
absl::Status TrainingImpl::RecordClassEntropy() {
  if (!writes() || progress_.step != 0 || batches_->objective().classes().empty()) {
    return absl::OkStatus();
  }
  absl::StatusOr<double> entropy = batches_->HeldoutClassEntropy();
  if (!entropy.ok()) return WithReason(ExitReason::kData, entropy.status());
  curve_.Add(0, "class_entropy", *entropy);
  return absl::OkStatus();
}

absl::Status TrainingImpl::Begin() {
  ALLO_RETURN_IF_ERROR(RecordExecutionConfig(parts_, micro_batch_, learner_->step_backend()));
  ALLO_RETURN_IF_ERROR(RecordClassEntropy());
  checkpoints_.Begin(progress_.step);
  return absl::OkStatus();
}

absl::StatusOr<TrainingEnd> TrainingImpl::Run() {
  ALLO_RETURN_IF_ERROR(Begin());
  while (!done()) {
    const bool read = ReadsAfter(spec_, progress_.step + 1);
    models::UpdateReport report;
    ALLO_RETURN_IF_ERROR(Update(read, &report));
    if (!read) continue;
    ALLO_ASSIGN_OR_RETURN(const std::optional<TrainingEnd> end, AfterUpdate(report));
    if (end.has_value()) return *end;
  }
  return TrainingEnd{ExitReason::kSucceeded, "", progress_.step};
}

absl::StatusOr<std::optional<TrainingEnd>> TrainingImpl::FinishUpdate(Clock::time_point start) {
  const bool read = ReadsAfter(spec_, progress_.step + 1);
  models::UpdateReport report;
  ALLO_RETURN_IF_ERROR(CountUpdate(start, read, &report));
  if (!read) return std::nullopt;
  return AfterUpdate(report);
}

absl::StatusOr<std::optional<TrainingEnd>> TrainingImpl::AfterUpdate(
    const models::UpdateReport& report) {
  if (report.failed_step != 0) {
    const auto step = static_cast<int64_t>(report.failed_step);
    curve_.Add(step, "train", report.failed_loss);
    return TrainingEnd{
        ExitReason::kDiverged,
        absl::StrFormat("the training loss of update %d is %g", step, report.failed_loss), step};
  }
  const auto command = static_cast<LeaseCommand>(static_cast<int>(report.command));
  const int64_t step = progress_.step;
  if (std::binary_search(spec_.evaluation_steps.begin(), spec_.evaluation_steps.end(), step)) {
    ALLO_ASSIGN_OR_RETURN(const HeldoutLosses heldout, Heldout());
    curve_.Add(step, "heldout", heldout.loss);
    for (const auto& [frame, loss] : heldout.frames) {
      curve_.Add(step, absl::StrCat("heldout/frame=", frame + 1), loss);
    }
    for (size_t i = 0; i < heldout.members.size(); ++i) {
      curve_.Add(step, absl::StrCat("heldout_", batches_->members()[i]), heldout.members[i]);
    }
    if (heldout.outcome) curve_.Add(step, "heldout_outcome", *heldout.outcome);
    if (const auto recall = heldout.rewards.Recall()) curve_.Add(step, "reward_recall", *recall);
    if (const auto precision = heldout.rewards.Precision()) {
      curve_.Add(step, "reward_precision", *precision);
    }
    if (heldout.perplexity > 0) curve_.Add(step, "perplexity", heldout.perplexity);
    if (!std::isfinite(heldout.loss)) {
      return TrainingEnd{
          ExitReason::kDiverged,
          absl::StrFormat("the held-out loss after update %d is %g", step, heldout.loss), step};
    }
  }
  const bool asked =
      std::binary_search(spec_.checkpoint_steps.begin(), spec_.checkpoint_steps.end(), step);
  ALLO_RETURN_IF_ERROR(checkpoints_.WriteIfDue(
      step, done() || asked || command != LeaseCommand::kNone, [this] { return Save(); }));
  ALLO_RETURN_IF_ERROR(curve_.FlushIfDue(step));
  if (done()) return TrainingEnd{ExitReason::kSucceeded, "", step};
  return EndBy(command, step);
}

absl::StatusOr<double> TrainingImpl::TimeUpdates(double seconds, int64_t* updates) {
  const Clock::time_point start = Clock::now();
  *updates = 0;
  // Ranks agree once for a growing number of updates, so that agreeing costs nothing.
  for (int64_t batch = 1;; batch = std::min<int64_t>(2 * batch, 1024)) {
    for (int64_t i = 0; i < batch; ++i) {
      const bool read = i + 1 == batch || ReadsAfter(spec_, progress_.step + 1);
      models::UpdateReport report;
      ALLO_RETURN_IF_ERROR(Update(read, &report));
      if (!read) continue;
      if (report.failed_step != 0) {
        return WithReason(ExitReason::kDiverged, absl::InternalError(absl::StrFormat(
                                                     "the training loss of update %.0f is %g",
                                                     report.failed_step, report.failed_loss)));
      }
      ALLO_RETURN_IF_ERROR(curve_.FlushIfDue(progress_.step));
    }
    *updates += batch;
    const double passed = SecondsSince(start);
    double go_on = collective_.rank() == 0 && passed < seconds ? 1 : 0;
    ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(&go_on, 1)));
    if (go_on == 0) return passed / static_cast<double>(*updates);
  }
}

absl::StatusOr<Measurement> TrainingImpl::Measure(double seconds) {
  constexpr double kShort = 0.5;  // seconds; what takes longer is timed once
  const Clock::time_point begin = Clock::now();
  Measurement measured;
  measured.step_backend = learner_->step_backend();
  // The first updates touch their memory for the first time.
  ALLO_RETURN_IF_ERROR(TimeUpdates(std::min(0.2, seconds / 5), &measured.updates).status());
  const double cpu_before = CpuSeconds();
  ALLO_ASSIGN_OR_RETURN(measured.update_s, TimeUpdates(seconds, &measured.updates));
  double cpu = CpuSeconds() - cpu_before;
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(&cpu, 1)));
  measured.update_cpu_s = cpu / static_cast<double>(measured.updates);
  for (int i = 0; i < 2; ++i) {
    const Clock::time_point start = Clock::now();
    ALLO_RETURN_IF_ERROR(Heldout().status());
    measured.evaluation_s = SecondsSince(start);
    double again = collective_.rank() == 0 && measured.evaluation_s < kShort ? 1 : 0;
    ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(&again, 1)));
    if (again == 0) break;
  }
  if (writes()) {
    const Clock::time_point start = Clock::now();
    ALLO_RETURN_IF_ERROR(checkpoints_.WriteNow(progress_.step, [this] { return Save(); }));
    measured.checkpoint_s = SecondsSince(start);
  }
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  std::vector<double> peaks(static_cast<size_t>(collective_.world_size()), 0.0);
  peaks[collective_.rank()] = static_cast<double>(usage.ru_maxrss) * 1024;
  ALLO_RETURN_IF_ERROR(collective_.AllReduceSum(std::span<double>(peaks)));
  measured.peak_memory_bytes = static_cast<int64_t>(*std::max_element(peaks.begin(), peaks.end()));
  measured.measuring_s = SecondsSince(begin);
  return measured;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> Training::Create(TrainingParts parts) {
  const run::RunSpec& spec = parts.spec;
  if (spec.kind == run::RunKind::kEvaluate) return CreateEvaluation(std::move(parts));
  if (spec.kind == run::RunKind::kPolicy) return CreatePolicyTraining(std::move(parts));
  return ModelTraining::Open(std::move(parts));
}

absl::StatusOr<std::unique_ptr<ModelTraining>> ModelTraining::Open(TrainingParts parts,
                                                                   LearnerMemory memory) {
  const run::RunSpec& spec = parts.spec;
  ShardWatch shards = ShardWatch::Of(parts.data_dir, spec.identity.dataset);
  absl::StatusOr<std::unique_ptr<Batches>> batches =
      Batches::Open(parts.run_dir, parts.data_dir, spec);
  if (!batches.ok()) return WithReason(ExitReason::kData, batches.status());
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Learner> learner,
                        Learner::Create(spec.identity, spec.step_backend, parts.device, memory));
  Progress progress;
  if (spec.start.has_value()) {
    absl::StatusOr<Progress> restored = learner->Restore(parts.run_dir, *spec.start);
    if (!restored.ok()) return WithReason(ExitReason::kCheckpoint, restored.status());
    progress = *restored;
  }
  return std::make_unique<TrainingImpl>(std::move(parts), std::move(shards), *std::move(batches),
                                        std::move(learner), progress);
}

}  // namespace allometry::trainer
