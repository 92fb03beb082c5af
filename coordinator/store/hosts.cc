// Hosts: what ended on each, and which are drained.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/store/events.h"
#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"

namespace allometry::store {
namespace {

// Out of memory with more than one sequence at a time says that the plan was too large, and the
// next attempt takes half; only what fails with the least is a host's fault.
absl::StatusOr<std::vector<HostEnd>> LoadEnds(Connection& db, int64_t since_unix_us) {
  std::vector<HostEnd> ends;
  Statement list = db.Prepare(
      "SELECT a.host, a.run_id, a.exit_reason, a.exit_step, "
      "(SELECT max(CASE WHEN o.attempt = r.attempt THEN max(r.step, o.exit_step) "
      "                 ELSE o.exit_step END) FROM attempts AS o "
      " WHERE o.run_id = a.run_id AND o.host <> a.host), a.charged_to_host "
      "FROM attempts AS a JOIN runs AS r USING (run_id) "
      "LEFT JOIN drained_hosts AS d ON d.host = a.host "
      "WHERE a.ended_unix_us > ?1 AND a.ended_unix_us > 0 AND a.exit_reason <> '' "
      "AND NOT (a.exit_reason = 'OOM' AND coalesce(a.micro_batch, 1) > 1) "
      "AND (d.host IS NULL OR (d.reason = '' AND a.ended_unix_us > d.unix_us)) "
      "ORDER BY a.ended_unix_us, a.run_id");
  list.With(since_unix_us);
  while (list.Step()) {
    HostEnd& end = ends.emplace_back();
    end.host = list.Text(0);
    end.run_id = list.Int(1);
    end.reason = ParseFailure(list.Text(2));
    end.step = list.Int(3);
    end.step_elsewhere = list.Int(4);
    end.charged_to_host = list.Int(5) != 0;
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return ends;
}

// What a host got going since forgives what was before.
absl::StatusOr<std::vector<ChargedEnd>> LoadCharged(Connection& db, int64_t since_unix_us) {
  std::vector<ChargedEnd> ends;
  Statement list = db.Prepare(
      "SELECT a.host, a.run_id, a.exit_reason, a.exit_message, a.started_unix_us, a.ended_unix_us "
      "FROM attempts AS a LEFT JOIN drained_hosts AS d ON d.host = a.host "
      "WHERE a.charged_to_host = 1 AND a.ended_unix_us > ?1 "
      "AND (d.host IS NULL OR d.reason <> '' OR a.ended_unix_us > d.unix_us) "
      "AND a.started_unix_us > coalesce((SELECT g.started_unix_us FROM attempts AS g "
      " WHERE g.host = a.host AND g.got_going = 1 AND g.charged_to_host = 0 "
      " ORDER BY g.started_unix_us DESC LIMIT 1), 0)");
  list.With(since_unix_us);
  while (list.Step()) {
    ChargedEnd& end = ends.emplace_back();
    end.host = list.Text(0);
    end.run_id = list.Int(1);
    end.reason = ParseFailure(list.Text(2));
    const std::string message = list.Text(3);
    end.message = message.substr(0, message.find('\n'));
    end.started_unix_us = list.Int(4);
    end.ended_unix_us = list.Int(5);
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return ends;
}

absl::StatusOr<std::vector<DrainedHost>> LoadDrained(Connection& db) {
  std::vector<DrainedHost> drained;
  Statement list = db.Prepare(
      "SELECT host, reason, unix_us FROM drained_hosts WHERE reason <> '' ORDER BY host");
  while (list.Step()) drained.push_back({list.Text(0), list.Text(1), list.Int(2)});
  ALLO_RETURN_IF_ERROR(list.status());
  return drained;
}

absl::Status CheckHost(Connection& db, absl::string_view host) {
  std::vector<std::string> known;
  Statement list = db.Prepare("SELECT DISTINCT host FROM agents ORDER BY host");
  bool found = false;
  while (list.Step()) {
    known.push_back(list.Text(0));
    found = found || known.back() == host;
  }
  ALLO_RETURN_IF_ERROR(list.status());
  if (found) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "no worker ever registered from host '", host, "'; ",
      known.empty() ? "there is none yet" : absl::StrCat("there is ", absl::StrJoin(known, ", "))));
}

absl::Status PutDrained(Transaction& transaction, absl::string_view host,
                        absl::string_view reason) {
  ALLO_RETURN_IF_ERROR(CheckHost(transaction.db, host));
  {
    Statement find = transaction.db.Prepare("SELECT reason FROM drained_hosts WHERE host = ?1");
    find.With(host);
    const std::string before = find.Step() ? find.Text(0) : "";
    ALLO_RETURN_IF_ERROR(find.status());
    if (before == reason) return absl::OkStatus();
  }
  ALLO_RETURN_IF_ERROR(
      transaction.db
          .Prepare("INSERT INTO drained_hosts (host, reason, unix_us) VALUES (?1, ?2, ?3) "
                   "ON CONFLICT (host) DO UPDATE SET reason = ?2, unix_us = ?3")
          .With(host, reason, transaction.now_unix_us)
          .Run());
  return InsertEvent(transaction, 0, 0,
                     reason.empty() ? absl::StrCat(host, " gets runs again")
                                    : absl::StrCat(host, " is drained: ", reason));
}

}  // namespace

absl::StatusOr<std::vector<HostEnd>> Store::EndsSince(int64_t unix_us) const {
  return parts_->readers->Run([&](Connection& db) { return LoadEnds(db, unix_us); });
}

absl::StatusOr<std::vector<ChargedEnd>> Store::ChargedEndsSince(int64_t unix_us) const {
  return parts_->readers->Run([&](Connection& db) { return LoadCharged(db, unix_us); });
}

absl::StatusOr<std::vector<DrainedHost>> Store::DrainedHosts() const {
  return parts_->readers->Run([](Connection& db) { return LoadDrained(db); });
}

absl::Status Store::SetDrained(absl::string_view host, absl::string_view reason) {
  return parts_->writer->Run(
      [&](Transaction& transaction) { return PutDrained(transaction, host, reason); });
}

}  // namespace allometry::store
