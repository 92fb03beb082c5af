#include "tests/coordinator/fake_agent.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

absl::Status ToStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(RpcDeadline());
  context.set_wait_for_ready(true);
}

}  // namespace

FakeAgent::FakeAgent(std::unique_ptr<v1::WorkerService::Stub> stub, std::string host,
                     std::vector<std::string> devices, std::vector<v1::Dataset> datasets)
    : datasets(std::move(datasets)),
      stub_(std::move(stub)),
      host_(std::move(host)),
      devices_(std::move(devices)) {}

absl::Status FakeAgent::Register(const std::vector<v1::GivenBack>& given_back) {
  v1::RegisterRequest request;
  request.set_agent_id(agent_id());
  request.set_agent_secret(agent_secret());
  request.set_life("the only one");
  request.set_host(host_);
  request.set_run_root_id("root-of-" + host_);
  for (const std::string& device : devices_) {
    v1::Slot* slot = request.add_slots();
    slot->set_host(host_);
    slot->set_device(device);
  }
  request.mutable_datasets()->Add(datasets.begin(), datasets.end());
  request.mutable_given_back()->Add(given_back.begin(), given_back.end());
  request.set_version("test");
  request.set_problem(problem);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::RegisterResponse response;
  ALLO_RETURN_IF_ERROR(ToStatus(stub_->Register(&context, request, &response)));
  session_ = response.session();
  return absl::OkStatus();
}

v1::HeartbeatRequest FakeAgent::HeartbeatMessage() const {
  v1::HeartbeatRequest request;
  request.set_agent_id(agent_id());
  request.set_session(session_);
  request.mutable_datasets()->Add(datasets.begin(), datasets.end());
  request.mutable_deleted_checkpoints()->Assign(deleted.begin(), deleted.end());
  request.set_problem(problem);
  std::set<std::string> busy;
  for (const v1::Hold& hold : held_) {
    *request.add_held()->mutable_lease() = hold.lease();
    for (const v1::Slot& slot : hold.slots()) busy.insert(slot.device());
  }
  request.mutable_held()->Add(ended_.begin(), ended_.end());
  for (const std::string& device : devices_) {
    if (busy.contains(device)) continue;
    v1::Slot* slot = request.add_free_slots();
    slot->set_host(host_);
    slot->set_device(device);
  }
  return request;
}

absl::StatusOr<v1::HeartbeatResponse> FakeAgent::Heartbeat() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::HeartbeatResponse response;
  ALLO_RETURN_IF_ERROR(ToStatus(stub_->Heartbeat(&context, HeartbeatMessage(), &response)));
  return response;
}

absl::StatusOr<v1::HeartbeatResponse> FakeAgent::Reconcile() {
  ALLO_ASSIGN_OR_RETURN(v1::HeartbeatResponse response, Heartbeat());
  const auto wanted = [&](const v1::Lease& lease) {
    return std::any_of(response.hold().begin(), response.hold().end(),
                       [&](const v1::Hold& hold) { return hold.lease().token() == lease.token(); });
  };
  std::erase_if(held_, [&](const v1::Hold& hold) { return !wanted(hold.lease()); });
  std::erase_if(ended_, [&](const v1::HeldAttempt& held) { return !wanted(held.lease()); });
  for (const v1::Hold& hold : response.hold()) {
    if (hold.has_spec()) held_.push_back(hold);
  }
  return response;
}

v1::Hold FakeAgent::Obtain(int tries) {
  for (int i = 0; i <= tries; ++i) {
    for (const v1::Hold& hold : held_) {
      if (obtained_.insert(hold.lease().token()).second) return hold;
    }
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    (void)Reconcile();
  }
  return {};
}

absl::StatusOr<v1::RecordAck> FakeAgent::Send(const v1::Lease& lease,
                                              const std::vector<v1::Record>& records) {
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("allo-session", session_);
  auto stream = stub_->StreamRecords(&context);
  v1::RecordBatch batch;
  *batch.mutable_lease() = lease;
  batch.mutable_records()->Add(records.begin(), records.end());
  v1::RecordAck ack;
  const bool answered = stream->Write(batch) && stream->Read(&ack);
  stream->WritesDone();
  v1::RecordAck rest;
  while (stream->Read(&rest)) {
  }
  ALLO_RETURN_IF_ERROR(ToStatus(stream->Finish()));
  if (!answered) return absl::UnavailableError("the stream ended without an ack");
  return ack;
}

void FakeAgent::MarkEnded(const v1::Lease& lease, uint64_t last_sequence) {
  Forget(lease);
  v1::HeldAttempt held;
  *held.mutable_lease() = lease;
  held.set_last_sequence(last_sequence);
  held.set_ended(true);
  ended_.push_back(held);
}

void FakeAgent::Forget(const v1::Lease& lease) {
  std::erase_if(held_, [&](const v1::Hold& hold) { return hold.lease().token() == lease.token(); });
}

}  // namespace allometry::testing
