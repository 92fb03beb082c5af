#include "worker/trainer/attempt_records.h"

#include <unistd.h>

#include <array>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {

using run::ExitReason;

namespace {

// What to do about an attempt that has records already, as a sentence.
std::string AdviceOnUsedAttempt(const std::string& run_dir, int attempt) {
  const std::string dir = run::AttemptDir(run_dir, attempt);
  run::SpoolReader reader(dir);
  int64_t last_step = 0;
  run::CheckpointRecord checkpoint;
  for (;;) {
    const auto records = reader.Read(1024);
    if (!records.ok()) return std::string(records.status().message());
    if (records->empty()) break;
    for (const run::Record& record : *records) {
      if (const auto* point = std::get_if<run::Point>(&record.body)) last_step = point->step;
      if (const auto* written = std::get_if<run::CheckpointRecord>(&record.body)) {
        checkpoint = *written;
      }
    }
  }
  std::string advice = absl::StrFormat(
      "%s has records already, up to update %d; an attempt runs once. ", dir, last_step);
  if (checkpoint.file.empty()) {
    return advice + absl::StrFormat(
                        "Set \"attempt\": %d in run.json to begin again (it has no "
                        "checkpoint to continue from).",
                        attempt + 1);
  }
  return advice + absl::StrFormat(
                      "To continue, set in run.json \"attempt\": %d and \"start\": {\"attempt\": "
                      "%d, \"step\": %d, \"file\": \"%s\", \"hash\": \"%s\"}; without \"start\" "
                      "it begins again.",
                      attempt + 1, attempt, checkpoint.step, checkpoint.file, checkpoint.hash);
}

}  // namespace

absl::StatusOr<std::unique_ptr<run::SpoolWriter>> OpenAttempt(const std::string& run_dir,
                                                              int attempt) {
  auto spool = run::SpoolWriter::Create(run::AttemptDir(run_dir, attempt));
  if (absl::IsAlreadyExists(spool.status())) {
    return absl::AlreadyExistsError(AdviceOnUsedAttempt(run_dir, attempt));
  }
  return spool;
}

TrainingEnd EndOf(const absl::StatusOr<TrainingEnd>& end, int64_t step) {
  if (end.ok()) return *end;
  return {ReasonOf(end.status()), std::string(end.status().message()), step};
}

void RecordExit(run::SpoolWriter& spool, TrainingEnd* end) {
  spool.Append(run::ExitRecord{end->reason, end->message, end->step});
  if (const absl::Status synced = spool.Sync(); !synced.ok()) {
    std::cerr << "the exit record could not be written: " << synced << std::endl;
    if (absl::IsResourceExhausted(synced)) end->reason = ExitReason::kDiskFull;
  }
}

absl::Status RecordExecutionConfig(const TrainingParts& parts, int64_t micro_batch,
                                   const std::string& step_backend) {
  comm::Collective& collective = *parts.collective;
  std::vector<std::string> hosts;
  for (int rank = 0; rank < collective.world_size(); ++rank) {
    std::array<char, 256> host = {};
    if (rank == collective.rank()) gethostname(host.data(), host.size() - 1);
    ALLO_RETURN_IF_ERROR(collective.Broadcast(std::as_writable_bytes(std::span(host)), rank));
    hosts.emplace_back(host.data());
  }
  if (parts.spool == nullptr) return absl::OkStatus();
  const std::string stacked =
      parts.stack_width == 0 ? "" : absl::StrCat(", stacked by ", parts.stack_width);
  std::string build = TrainerBuild();
  if (!collective.library().empty()) absl::StrAppend(&build, ", ", collective.library());
  if (collective.world_size() > 1 && parts.bucket_elements > 0) {
    absl::StrAppendFormat(&build, ", gradient summed in buckets of %.3g MiB",
                          static_cast<double>(parts.bucket_elements) * sizeof(float) / (1 << 20));
  }
  parts.spool->Append(run::ExecutionConfig{.ranks = collective.world_size(),
                                           .hosts = absl::StrJoin(hosts, ","),
                                           .micro_batch = static_cast<int>(micro_batch),
                                           .device = run::NameOf(parts.spec.device),
                                           .device_model = parts.device.model,
                                           .trainer_build = build,
                                           .step_backend = step_backend + stacked});
  return parts.spool->Flush();
}

LeaseCommand CommandOf(const TrainingParts& parts) {
  if (parts.lease != nullptr) return parts.lease->command();
  return LeaseWatch::SigtermCame() ? LeaseCommand::kPreempt : LeaseCommand::kNone;
}

std::optional<TrainingEnd> EndBy(LeaseCommand command, int64_t step) {
  if (command == LeaseCommand::kNone) return std::nullopt;
  return TrainingEnd{
      command == LeaseCommand::kPreempt ? ExitReason::kPreempted : ExitReason::kCancelledByUser,
      "told to stop", step};
}

void Checkpoints::Begin(int64_t step) {
  step_ = step;
  written_ = Clock::now();
}

absl::Status Checkpoints::WriteIfDue(int64_t step, bool now, const Write& write) {
  if (parts_.spool == nullptr || step_ == step) return absl::OkStatus();
  const LeaseWatch* lease = parts_.lease;
  const bool lease_asks = lease != nullptr && lease->leases() != lease_ && lease->CheckpointDue();
  if (lease_asks) lease_ = lease->leases();
  const std::chrono::duration<double> passed = Clock::now() - written_;
  if (!now && !lease_asks && passed.count() < parts_.spec.checkpoint_every_s) {
    return absl::OkStatus();
  }
  return WriteNow(step, write);
}

absl::Status Checkpoints::WriteNow(int64_t step, const Write& write) {
  ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kData, shards_.CheckUnchanged()));
  // A checkpoint counts only when everything before it is safe.
  ALLO_RETURN_IF_ERROR(parts_.spool->Sync());
  ALLO_ASSIGN_OR_RETURN(run::CheckpointRecord record, write());
  parts_.spool->Append(std::move(record));
  ALLO_RETURN_IF_ERROR(parts_.spool->Sync());
  Begin(step);
  return absl::OkStatus();
}

}  // namespace allometry::trainer
