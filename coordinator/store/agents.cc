// Agents, their devices and their datasets. Whether one is alive is the coordinator's knowledge.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/store/events.h"
#include "coordinator/store/parts.h"

namespace allometry::store {
namespace {

// Slots become one text in an attempt's row ("host/cpu:0 host/cpu:1").
absl::Status CheckNames(const v1::RegisterRequest& request) {
  if (request.agent_id().empty() || request.host().empty() || request.run_root_id().empty()) {
    return absl::InvalidArgumentError("a worker registers with its id, host and run root id");
  }
  for (const v1::Slot& slot : request.slots()) {
    if (slot.host().empty() || slot.device().empty() ||
        absl::StrCat(slot.host(), slot.device()).find_first_of("/ \t\n") != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("slot '", slot.host(), " ", slot.device(),
                       "' is no host and device: both not empty, without '/' and white space"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(Connection& db, const v1::RegisterRequest& request,
                          absl::Span<const std::string> live_agent_ids) {
  for (const v1::Slot& slot : request.slots()) {
    Statement holders = db.Prepare(
        "SELECT agent_id, agents.host FROM agent_slots JOIN agents USING (agent_id) "
        "WHERE agent_slots.host = ?1 AND device = ?2 AND agent_id <> ?3");
    holders.With(slot.host(), slot.device(), request.agent_id());
    while (holders.Step()) {
      const std::string holder = holders.Text(0);
      if (std::find(live_agent_ids.begin(), live_agent_ids.end(), holder) == live_agent_ids.end()) {
        continue;
      }
      return absl::AlreadyExistsError(
          absl::StrCat("device ", slot.device(), " of ", slot.host(), " is held by the worker on ",
                       holders.Text(1), "; stop that one, or give this one other devices"));
    }
    ALLO_RETURN_IF_ERROR(holders.status());
  }
  return absl::OkStatus();
}

absl::Status PutDatasets(Connection& db, absl::string_view agent_id,
                         absl::Span<const v1::Dataset> datasets) {
  ALLO_RETURN_IF_ERROR(
      db.Prepare("DELETE FROM agent_datasets WHERE agent_id = ?1").With(agent_id).Run());
  for (const v1::Dataset& dataset : datasets) {
    ALLO_RETURN_IF_ERROR(db.Prepare("INSERT OR REPLACE INTO agent_datasets (agent_id, name, hash) "
                                    "VALUES (?1, ?2, ?3)")
                             .With(agent_id, dataset.name(), dataset.hash())
                             .Run());
  }
  return absl::OkStatus();
}

absl::Status PutAgent(Transaction& transaction, const v1::RegisterRequest& request) {
  Connection& db = transaction.db;
  ALLO_RETURN_IF_ERROR(
      db.Prepare("INSERT INTO agents (agent_id, host, run_root_id, version, registered_unix_us) "
                 "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (agent_id) DO UPDATE SET "
                 "host = ?2, run_root_id = ?3, version = ?4, registered_unix_us = ?5")
          .With(request.agent_id(), request.host(), request.run_root_id(), request.version(),
                transaction.now_unix_us)
          .Run());
  ALLO_RETURN_IF_ERROR(
      db.Prepare("DELETE FROM agent_slots WHERE agent_id = ?1").With(request.agent_id()).Run());
  for (int place = 0; place < request.slots_size(); ++place) {
    ALLO_RETURN_IF_ERROR(db.Prepare("INSERT INTO agent_slots (agent_id, place, host, device, "
                                    "memory_bytes, runs) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
                             .With(request.agent_id(), place, request.slots(place).host(),
                                   request.slots(place).device(),
                                   request.slots(place).memory_bytes(),
                                   std::max(1, request.slots(place).runs()))
                             .Run());
  }
  return PutDatasets(
      db, request.agent_id(),
      std::vector<v1::Dataset>(request.datasets().begin(), request.datasets().end()));
}

std::set<std::pair<std::string, std::string>> AsSet(absl::Span<const v1::Dataset> datasets) {
  std::set<std::pair<std::string, std::string>> set;
  for (const v1::Dataset& dataset : datasets) set.emplace(dataset.name(), dataset.hash());
  return set;
}

absl::StatusOr<std::vector<v1::Dataset>> LoadDatasets(Connection& db, absl::string_view agent_id) {
  std::vector<v1::Dataset> datasets;
  Statement list =
      db.Prepare("SELECT name, hash FROM agent_datasets WHERE agent_id = ?1 ORDER BY name");
  list.With(agent_id);
  while (list.Step()) {
    v1::Dataset dataset;
    dataset.set_name(list.Text(0));
    dataset.set_hash(list.Text(1));
    datasets.push_back(std::move(dataset));
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return datasets;
}

}  // namespace

absl::Status Store::RegisterAgent(const v1::RegisterRequest& request,
                                  absl::Span<const std::string> live_agent_ids) {
  ALLO_RETURN_IF_ERROR(CheckNames(request));
  return parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    ALLO_RETURN_IF_ERROR(CheckDevices(transaction.db, request, live_agent_ids));
    ALLO_RETURN_IF_ERROR(PutAgent(transaction, request));
    return InsertEvent(
        transaction, 0, 0,
        absl::StrCat("worker on ", request.host(), " registered with ", request.slots_size(),
                     request.slots_size() == 1 ? " slot" : " slots"));
  });
}

absl::Status Store::UpdateAgentDatasets(absl::string_view agent_id,
                                        absl::Span<const v1::Dataset> datasets) {
  ALLO_ASSIGN_OR_RETURN(
      const std::vector<v1::Dataset> stored,
      parts_->readers->Run([&](Connection& db) { return LoadDatasets(db, agent_id); }));
  if (AsSet(stored) == AsSet(datasets)) return absl::OkStatus();
  return parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    Statement find = transaction.db.Prepare("SELECT 1 FROM agents WHERE agent_id = ?1");
    find.With(agent_id);
    const bool found = find.Step();
    ALLO_RETURN_IF_ERROR(find.status());
    if (!found) return absl::NotFoundError(absl::StrCat("there is no worker ", agent_id));
    return PutDatasets(transaction.db, agent_id, datasets);
  });
}

}  // namespace allometry::store
