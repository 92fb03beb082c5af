#include "tests/agent/scripted_coordinator.h"

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/testing/eventually.h"
#include "worker/agent/record_conversion.h"

namespace allometry::testing {

using agent::FromProto;
using agent::Lease;

ScriptedCoordinator::ScriptedCoordinator(int64_t lease_ms) : lease_ms_(lease_ms) { Start(); }

ScriptedCoordinator::~ScriptedCoordinator() { Stop(); }

void ScriptedCoordinator::Start() {
  {
    MutexLock lock(mutex_);
    stopping_ = false;
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  ALLO_CHECK(server_ != nullptr) << address_;
}

void ScriptedCoordinator::Stop() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void ScriptedCoordinator::Assign(const v1::Hold& hold) {
  MutexLock lock(mutex_);
  holds_[FromProto(hold.lease())] = hold;
}

void ScriptedCoordinator::Unassign(const Lease& lease) {
  MutexLock lock(mutex_);
  holds_.erase(lease);
}

void ScriptedCoordinator::TellPreempt(const Lease& lease, int64_t within_ms) {
  MutexLock lock(mutex_);
  holds_.at(lease).set_preempt(true);
  holds_.at(lease).set_stop_within_ms(within_ms);
}

void ScriptedCoordinator::TellCancel(const Lease& lease) {
  MutexLock lock(mutex_);
  holds_.at(lease).set_cancel(true);
}

void ScriptedCoordinator::Delete(const std::string& checkpoint) {
  MutexLock lock(mutex_);
  deletable_.push_back(checkpoint);
}

void ScriptedCoordinator::GiveAway(const Lease& lease) {
  MutexLock lock(mutex_);
  given_away_.insert(lease);
}

void ScriptedCoordinator::SetMute(bool mute) {
  MutexLock lock(mutex_);
  mute_ = mute;
  changed_.NotifyAll();
}

void ScriptedCoordinator::SetRepeatSpecs(bool repeat) {
  MutexLock lock(mutex_);
  repeat_specs_ = repeat;
}

void ScriptedCoordinator::SetWithholdAcks(bool withhold) {
  MutexLock lock(mutex_);
  withhold_acks_ = withhold;
}

void ScriptedCoordinator::ForgetAgents() {
  MutexLock lock(mutex_);
  knows_agent_ = false;
}

std::vector<v1::Record> ScriptedCoordinator::RecordsOf(const Lease& lease) const {
  MutexLock lock(mutex_);
  std::vector<v1::Record> records;
  if (const auto found = records_.find(lease); found != records_.end()) {
    for (const auto& [sequence, record] : found->second) records.push_back(record);
  }
  return records;
}

int64_t ScriptedCoordinator::repeated_records() const {
  MutexLock lock(mutex_);
  return repeated_records_;
}

std::vector<v1::RegisterRequest> ScriptedCoordinator::registrations() const {
  MutexLock lock(mutex_);
  return registrations_;
}

v1::HeartbeatRequest ScriptedCoordinator::last_heartbeat() const {
  MutexLock lock(mutex_);
  return last_heartbeat_;
}

size_t ScriptedCoordinator::heartbeats() const {
  MutexLock lock(mutex_);
  return heartbeats_;
}

std::vector<std::string> ScriptedCoordinator::deleted() const {
  MutexLock lock(mutex_);
  return deleted_;
}

bool ScriptedCoordinator::Eventually(
    const std::function<bool(const ScriptedCoordinator&)>& condition) const {
  return testing::Eventually([&] { return condition(*this); }, std::chrono::milliseconds(10));
}

bool ScriptedCoordinator::HasExited(const Lease& lease) const {
  const std::vector<v1::Record> records = RecordsOf(lease);
  return !records.empty() && records.back().has_exit();
}

v1::ExitRecord ScriptedCoordinator::ExitOf(const Lease& lease) const {
  if (!Eventually([&](const auto& self) { return self.HasExited(lease); })) return {};
  return RecordsOf(lease).back().exit();
}

bool ScriptedCoordinator::IsHeld(const Lease& lease) const {
  const v1::HeartbeatRequest heartbeat = last_heartbeat();
  for (const v1::HeldAttempt& held : heartbeat.held()) {
    if (FromProto(held.lease()) == lease) return true;
  }
  return false;
}

grpc::Status ScriptedCoordinator::Register(grpc::ServerContext*, const v1::RegisterRequest* request,
                                           v1::RegisterResponse* response) {
  MutexLock lock(mutex_);
  registrations_.push_back(*request);
  for (const v1::GivenBack& given_back : request->given_back()) {
    holds_.erase(FromProto(given_back.lease()));
  }
  knows_agent_ = true;
  response->set_lease_ms(lease_ms_);
  response->set_heartbeat_every_ms(100);
  response->set_session("session");
  return grpc::Status::OK;
}

grpc::Status ScriptedCoordinator::Heartbeat(grpc::ServerContext*,
                                            const v1::HeartbeatRequest* request,
                                            v1::HeartbeatResponse* response) {
  MutexLock lock(mutex_);
  while (mute_ && !stopping_) changed_.Wait(lock);
  if (!knows_agent_) return {grpc::StatusCode::NOT_FOUND, "who are you?"};
  last_heartbeat_ = *request;
  ++heartbeats_;
  deleted_.insert(deleted_.end(), request->deleted_checkpoints().begin(),
                  request->deleted_checkpoints().end());
  std::set<Lease> listed;
  for (const v1::HeldAttempt& held : request->held()) listed.insert(FromProto(held.lease()));
  for (const auto& [lease, hold] : holds_) {
    v1::Hold* reply = response->add_hold();
    *reply = hold;
    if (listed.count(lease) > 0 && !repeat_specs_) reply->clear_spec();
  }
  response->mutable_deletable_checkpoints()->Assign(deletable_.begin(), deletable_.end());
  deletable_.clear();
  return grpc::Status::OK;
}

v1::RecordAck ScriptedCoordinator::Store(const v1::RecordBatch& batch) {
  MutexLock lock(mutex_);
  const Lease lease = FromProto(batch.lease());
  v1::RecordAck ack;
  *ack.mutable_lease() = batch.lease();
  if (given_away_.count(lease) > 0) {
    ack.set_stale(true);
    ack.set_message("another agent has it");
    return ack;
  }
  std::map<uint64_t, v1::Record>& stored = records_[lease];
  for (const v1::Record& record : batch.records()) {
    // As the real one: no gaps, and what is there stays.
    if (record.sequence() > stored.size() + 1) break;
    if (!stored.emplace(record.sequence(), record).second) ++repeated_records_;
    if (record.has_exit()) holds_.erase(lease);
  }
  ack.set_durable_sequence(stored.size());
  return ack;
}

grpc::Status ScriptedCoordinator::StreamRecords(
    grpc::ServerContext*, grpc::ServerReaderWriter<v1::RecordAck, v1::RecordBatch>* stream) {
  v1::RecordBatch batch;
  while (stream->Read(&batch)) {
    const v1::RecordAck ack = Store(batch);
    bool withhold = false;
    {
      MutexLock lock(mutex_);
      withhold = withhold_acks_;
    }
    if (!withhold && !stream->Write(ack)) break;
  }
  return grpc::Status::OK;
}

}  // namespace allometry::testing
