// A spool's records, appended in order behind the fence.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/foreign_text.h"
#include "coordinator/store/attempt_end.h"
#include "coordinator/store/events.h"
#include "coordinator/store/fence.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/schema.h"

namespace allometry::store {
namespace {

constexpr size_t kLongestSeries = 120;
constexpr size_t kLongestName = 256;  // of what an attempt's numerics name
// No curve: the peak memory of a rank so far, kept with the run.
constexpr absl::string_view kMemorySeries = "memory_bytes";

// What a batch changes in its run's row, written once at its end.
struct Progress {
  int64_t step = 0;
  bool point = false;
  bool checkpoint = false;
  bool new_checkpoint = false;  // beyond every good one
  std::optional<double> train, heldout, tokens_per_second;
  int64_t memory_bytes = 0;
};

// Why a record can never be stored; empty: it can.
std::string WhyNever(const v1::Point& point) {
  if (point.step() < 0 || point.tokens() < 0) {
    return absl::StrFormat("a point at step %d and token %d: both are 0 or more", point.step(),
                           point.tokens());
  }
  if (point.series().empty() || point.series().size() > kLongestSeries) {
    return absl::StrFormat("a series name of %d bytes: 1 to %d are allowed", point.series().size(),
                           kLongestSeries);
  }
  for (const char c : point.series()) {
    if (c < 0x20 || c == 0x7f) return "a series name with a control character";
  }
  return {};
}

std::string WhyNever(const v1::Checkpoint& checkpoint, int32_t attempt) {
  // It becomes a path that an agent opens or deletes under its run root.
  const std::string folder = absl::StrCat("attempt-", attempt, "/");
  if (!absl::StartsWith(checkpoint.file(), folder) ||
      checkpoint.file().find('/', folder.size()) != std::string::npos ||
      checkpoint.file().size() == folder.size() || checkpoint.file().size() > 200 ||
      checkpoint.file().find_first_of("\\\n\r", 0) != std::string::npos) {
    return absl::StrCat("a checkpoint's file is a name in ", folder, ", not '", checkpoint.file(),
                        "'");
  }
  if (checkpoint.step() <= 0) return absl::StrCat("a checkpoint at step ", checkpoint.step());
  const size_t digits = checkpoint.hash().size();  // XXH3, or CRC-32 of a command's
  if ((digits != 16 && digits != 8) ||
      checkpoint.hash().find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::StrCat("a checkpoint's hash is 16 hexadecimal digits, or 8, not '",
                        checkpoint.hash(), "'");
  }
  return {};
}

class Appending {
 public:
  Appending(Transaction& transaction, const v1::RecordBatch& batch, v1::RecordAck& ack)
      : transaction_(transaction), db_(transaction.db), batch_(batch), ack_(ack) {}

  int64_t points() const { return points_; }

  absl::Status Run() {
    *ack_.mutable_lease() = batch_.lease();
    absl::StatusOr<FencedAttempt> fenced = CheckFence(db_, batch_.lease());
    if (absl::IsFailedPrecondition(fenced.status())) {
      ack_.set_stale(true);
      ack_.set_message(std::string(fenced.status().message()));
      return CountRefusal();
    }
    ALLO_RETURN_IF_ERROR(fenced.status());
    fenced_ = *std::move(fenced);
    const uint64_t before = fenced_.durable_sequence;
    for (const v1::Record& record : batch_.records()) {
      if (record.sequence() <= fenced_.durable_sequence) continue;  // a resend
      if (record.sequence() != fenced_.durable_sequence + 1) {
        ack_.set_message(absl::StrFormat("a gap: record %d came after record %d; send from %d",
                                         record.sequence(), fenced_.durable_sequence,
                                         fenced_.durable_sequence + 1));
        break;
      }
      ALLO_RETURN_IF_ERROR(Take(record));
      ++fenced_.durable_sequence;
    }
    ack_.set_durable_sequence(fenced_.durable_sequence);
    if (fenced_.durable_sequence == before) return absl::OkStatus();
    return PutProgress();
  }

 private:
  absl::Status Take(const v1::Record& record) {
    if (fenced_.spool_ended) return SetAside(record, "it comes after the attempt's exit record");
    switch (record.kind_case()) {
      case v1::Record::kPoint:
        return TakePoint(record);
      case v1::Record::kCheckpoint:
        return TakeCheckpoint(record);
      case v1::Record::kNumerics:
        return TakeExecutionConfig(record.numerics());
      case v1::Record::kExit:
        return TakeExit(record);
      default:
        return SetAside(record, "a kind of record that this coordinator does not know");
    }
  }

  // A zombie's writes are worth a word, once an attempt, and a count; a made-up token's are not.
  absl::Status CountRefusal() {
    const v1::Lease& lease = batch_.lease();
    ALLO_RETURN_IF_ERROR(db_.Prepare("UPDATE attempts SET refused_batches = refused_batches + 1 "
                                     "WHERE run_id = ?1 AND attempt = ?2 AND token = ?3")
                             .With(lease.run_id(), lease.attempt(), lease.token())
                             .Run());
    if (db_.changes() == 0) return absl::OkStatus();
    Statement find = db_.Prepare(
        "SELECT a.host, r.sweep_id, r.size FROM attempts AS a JOIN runs AS r USING (run_id) "
        "WHERE a.run_id = ?1 AND a.attempt = ?2 AND a.refused_batches = 1");
    find.With(lease.run_id(), lease.attempt());
    if (!find.Step()) return find.status();
    return InsertEvent(
        transaction_, find.Int(1), lease.run_id(),
        absl::StrFormat("run %d (%s): attempt %d on %s went on writing after its lease was given "
                        "away; refused, nothing of it is stored",
                        lease.run_id(), find.Text(2), lease.attempt(), find.Text(0)));
  }

  absl::Status SetAside(const v1::Record& record, const std::string& reason) {
    v1::SetAside& aside = *ack_.add_set_aside();
    aside.set_sequence(record.sequence());
    aside.set_reason(reason);
    return db_
        .Prepare(
            "INSERT OR REPLACE INTO set_aside (run_id, attempt, sequence, reason, record) "
            "VALUES (?1, ?2, ?3, ?4, ?5)")
        .With(batch_.lease().run_id(), batch_.lease().attempt(),
              static_cast<int64_t>(record.sequence()), reason,
              Shortened(record.ShortDebugString(), 4096))
        .Run();
  }

  absl::Status TakePoint(const v1::Record& record) {
    const v1::Point& point = record.point();
    if (const std::string why = WhyNever(point); !why.empty()) return SetAside(record, why);
    if (point.series() == kMemorySeries) {
      if (std::isfinite(point.value()) && point.value() > 0 && point.value() < 1e18) {
        progress_.memory_bytes =
            std::max(progress_.memory_bytes, static_cast<int64_t>(point.value()));
      }
      return absl::OkStatus();
    }
    ALLO_ASSIGN_OR_RETURN(const int64_t series, SeriesId(point.series()));
    std::optional<double> value;
    if (!point.is_null() && std::isfinite(point.value())) value = point.value();
    ALLO_RETURN_IF_ERROR(
        db_.Prepare(
               "INSERT OR IGNORE INTO points (run_id, series_id, step, tokens, value, attempt) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .With(batch_.lease().run_id(), series, point.step(), point.tokens(), value,
                  batch_.lease().attempt())
            .Run());
    points_ += db_.changes();
    if (db_.changes() == 0) ALLO_RETURN_IF_ERROR(Replace(point, series, value));
    progress_.point = true;
    progress_.step = std::max(progress_.step, point.step());
    if (!value.has_value()) return absl::OkStatus();
    if (series == kTrainSeries) progress_.train = value;
    if (series == kHeldoutSeries) progress_.heldout = value;
    if (series == kTokensPerSecondSeries) progress_.tokens_per_second = value;
    return absl::OkStatus();
  }

  // A point of an older attempt holds the place (it ended a cell, see StartAttempt): into the
  // archive with it. One of this attempt stays: the same step twice is the same point.
  absl::Status Replace(const v1::Point& point, int64_t series, std::optional<double> value) {
    const int64_t run_id = batch_.lease().run_id();
    ALLO_RETURN_IF_ERROR(
        db_.Prepare("INSERT OR IGNORE INTO archived_points "
                    "(run_id, attempt, series_id, step, tokens, value) "
                    "SELECT run_id, attempt, series_id, step, tokens, value FROM points "
                    "WHERE run_id = ?1 AND series_id = ?2 AND step = ?3 AND attempt < ?4")
            .With(run_id, series, point.step(), batch_.lease().attempt())
            .Run());
    return db_
        .Prepare(
            "UPDATE points SET tokens = ?5, value = ?6, attempt = ?4 "
            "WHERE run_id = ?1 AND series_id = ?2 AND step = ?3 AND attempt < ?4")
        .With(run_id, series, point.step(), batch_.lease().attempt(), point.tokens(), value)
        .Run();
  }

  absl::StatusOr<int64_t> SeriesId(const std::string& name) {
    const auto known = transaction_.series_ids.find(name);
    if (known != transaction_.series_ids.end()) return known->second;
    ALLO_RETURN_IF_ERROR(
        db_.Prepare("INSERT OR IGNORE INTO series (name) VALUES (?1)").With(name).Run());
    Statement find = db_.Prepare("SELECT series_id FROM series WHERE name = ?1");
    find.With(name);
    if (!find.Step()) {
      ALLO_RETURN_IF_ERROR(find.status());
      return absl::InternalError(absl::StrCat("series ", name, " was not stored"));
    }
    transaction_.series_ids.emplace(name, find.Int(0));
    return find.Int(0);
  }

  absl::Status TakeCheckpoint(const v1::Record& record) {
    const v1::Checkpoint& checkpoint = record.checkpoint();
    if (const std::string why = WhyNever(checkpoint, batch_.lease().attempt()); !why.empty()) {
      return SetAside(record, why);
    }
    ALLO_ASSIGN_OR_RETURN(const bool is_new, IsBeyondAll(checkpoint));
    progress_.new_checkpoint |= is_new;
    progress_.checkpoint = true;
    progress_.step = std::max(progress_.step, checkpoint.step());
    return db_
        .Prepare(
            "INSERT OR IGNORE INTO checkpoints (run_id, attempt, step, file, hash, bytes, "
            "root_id, state, created_unix_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'GOOD', ?8)")
        .With(batch_.lease().run_id(), batch_.lease().attempt(), checkpoint.step(),
              checkpoint.file(), checkpoint.hash(), checkpoint.bytes(), fenced_.root_id,
              transaction_.now_unix_us)
        .Run();
  }

  // A run that came no further than before has not made good what went wrong.
  absl::StatusOr<bool> IsBeyondAll(const v1::Checkpoint& checkpoint) {
    Statement find = db_.Prepare(
        "SELECT 1 FROM checkpoints WHERE run_id = ?1 AND step >= ?2 AND state = 'GOOD' "
        "AND root_id = ?3 LIMIT 1");
    find.With(batch_.lease().run_id(), checkpoint.step(), fenced_.root_id);
    const bool found = find.Step();
    ALLO_RETURN_IF_ERROR(find.status());
    return !found;
  }

  absl::Status TakeExecutionConfig(const v1::Numerics& numerics) {
    return db_
        .Prepare(
            "UPDATE attempts SET ranks = ?3, hosts = ?4, micro_batch = ?5, device = ?6, "
            "device_model = ?7, trainer_build = ?8, step_backend = ?9 "
            "WHERE run_id = ?1 AND attempt = ?2")
        .With(batch_.lease().run_id(), batch_.lease().attempt(), numerics.ranks(),
              Shortened(numerics.hosts(), kLongestName * 16), numerics.micro_batch(),
              Shortened(numerics.device(), kLongestName),
              Shortened(numerics.device_model(), kLongestName),
              Shortened(numerics.trainer_build(), kLongestName),
              Shortened(numerics.step_backend(), kLongestName))
        .Run();
  }

  absl::Status TakeExit(const v1::Record& record) {
    const v1::ExitRecord& exit = record.exit();
    if (exit.reason() == v1::EXIT_REASON_UNSPECIFIED) {
      return SetAside(record, "an exit record without a reason");
    }
    // The rule reads the run's row: what came before in this batch must be in it.
    ALLO_RETURN_IF_ERROR(PutProgress());
    progress_.new_checkpoint = false;  // it is in the row: what this end counts comes after it
    fenced_.spool_ended = true;
    ALLO_RETURN_IF_ERROR(
        db_.Prepare("UPDATE attempts SET spool_ended = 1 WHERE run_id = ?1 AND attempt = ?2")
            .With(batch_.lease().run_id(), batch_.lease().attempt())
            .Run());
    AttemptEnd end;
    end.reason = exit.reason();
    end.message = exit.message();
    end.step = exit.step();
    return EndAttempt(transaction_, batch_.lease(), fenced_, end);
  }

  absl::Status PutProgress() {
    ALLO_RETURN_IF_ERROR(
        db_.Prepare("UPDATE attempts SET durable_sequence = ?3, got_going = max(got_going, ?4) "
                    "WHERE run_id = ?1 AND attempt = ?2")
            .With(batch_.lease().run_id(), batch_.lease().attempt(),
                  static_cast<int64_t>(fenced_.durable_sequence), progress_.point)
            .Run());
    fenced_.made_progress |= progress_.point;
    if (progress_.memory_bytes > 0) transaction_.changed_runs.insert(batch_.lease().run_id());
    if (progress_.checkpoint) {
      fenced_.lost_leases = 0;
      if (progress_.new_checkpoint) fenced_.tries.clear();
      transaction_.changed_runs.insert(batch_.lease().run_id());
    }
    return db_
        .Prepare(
            "UPDATE runs SET step = max(step, ?2), "
            "last_train_loss = coalesce(?3, last_train_loss), "
            "last_heldout_loss = coalesce(?4, last_heldout_loss), "
            "tokens_per_second = coalesce(?5, tokens_per_second), "
            "lost_leases = CASE ?6 WHEN 1 THEN 0 ELSE lost_leases END, "
            "failures = CASE ?8 WHEN 1 THEN 0 ELSE failures END, "
            "tries = CASE ?8 WHEN 1 THEN '' ELSE tries END, "
            "memory_bytes = max(memory_bytes, ?7) WHERE run_id = ?1")
        .With(batch_.lease().run_id(), progress_.step, progress_.train, progress_.heldout,
              progress_.tokens_per_second, progress_.checkpoint, progress_.memory_bytes,
              progress_.new_checkpoint)
        .Run();
  }

  Transaction& transaction_;
  Connection& db_;
  const v1::RecordBatch& batch_;
  v1::RecordAck& ack_;
  FencedAttempt fenced_;
  Progress progress_;
  int64_t points_ = 0;  // that were not stored yet
};

struct PendingAppend {
  v1::RecordBatch batch;
  v1::RecordAck ack;
  int64_t points = 0;
};

}  // namespace

void Store::Append(v1::RecordBatch batch, std::function<void(absl::StatusOr<v1::RecordAck>)> done) {
  // Shared between the operation and its completion, which std::function copies.
  auto pending = std::make_shared<PendingAppend>();
  pending->batch = std::move(batch);
  parts_->writer->Submit(
      [this, pending](Transaction& transaction) {
        pending->ack.Clear();
        Appending appending(transaction, pending->batch, pending->ack);
        absl::Status status = appending.Run();
        pending->points = appending.points();
        return status;
      },
      [this, pending, done = std::move(done)](absl::Status status) {
        if (status.ok()) {
          parts_->points_stored += pending->points;
          done(std::move(pending->ack));
        } else {
          done(std::move(status));
        }
      });
}

}  // namespace allometry::store
