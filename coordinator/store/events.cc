#include "coordinator/store/events.h"

#include "coordinator/store/parts.h"

namespace allometry::store {

absl::Status InsertEvent(Transaction& transaction, int64_t sweep_id, int64_t run_id,
                         absl::string_view text) {
  return transaction.db
      .Prepare("INSERT INTO events (sweep_id, run_id, unix_us, text) VALUES (?1, ?2, ?3, ?4)")
      .With(sweep_id, run_id, transaction.now_unix_us, text)
      .Run();
}

absl::Status Store::AddEvent(int64_t sweep_id, int64_t run_id, absl::string_view text) {
  return parts_->writer->Run(
      [&](Transaction& transaction) { return InsertEvent(transaction, sweep_id, run_id, text); });
}

absl::StatusOr<std::vector<Event>> Store::EventsAfter(int64_t sweep_id, int64_t after,
                                                      int limit) const {
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<std::vector<Event>> {
    std::vector<Event> events;
    Statement list = db.Prepare(
        "SELECT event_id, sweep_id, run_id, unix_us, text FROM events "
        "WHERE event_id > ?2 AND sweep_id IN (0, ?1) ORDER BY event_id LIMIT ?3");
    list.With(sweep_id, after, limit);
    while (list.Step()) {
      events.push_back({list.Int(0), list.Int(1), list.Int(2), list.Int(3), list.Text(4)});
    }
    ALLO_RETURN_IF_ERROR(list.status());
    return events;
  });
}

absl::StatusOr<int64_t> Store::NewestEvent() const {
  return parts_->readers->Run(
      [](Connection& db) { return db.QueryInt("SELECT coalesce(max(event_id), 0) FROM events"); });
}

}  // namespace allometry::store
