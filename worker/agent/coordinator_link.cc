#include "worker/agent/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "base/files.h"
#include "proto/worker.grpc.pb.h"

namespace allometry::agent {
namespace {

constexpr int kDispatchAtOnce = 64;  // so that a flood of acks does not starve the caller

// What the transport says, without gRPC's words.
absl::Status ToAbsl(const transport::ConnectionOptions& options, const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      transport::PlainReason(options, status));
}

std::chrono::system_clock::time_point In(int64_t ms) {
  return std::chrono::system_clock::now() + std::chrono::milliseconds(ms);
}

// What a tag of the completion queue points to.
struct Event {
  std::function<void(bool ok)> happened;
};

struct Call {
  virtual ~Call() = default;
  grpc::ClientContext context;
  bool silent = false;  // the link goes away: nobody to call back
};

template <class Response>
struct UnaryCall : Call {
  Response response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  Event finished;
};

// The stream of record batches: at most one write and one read in flight, as gRPC asks.
struct RecordStream : Call {
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::RecordBatch, v1::RecordAck>> stream;
  CoordinatorLink::OnAck ack;
  CoordinatorLink::OnStreamClosed closed;
  v1::RecordAck incoming;
  grpc::Status status;
  bool started = false;
  bool writing = false;
  bool broken = false;
  bool finishing = false;
  Event on_start, on_read, on_write, on_finish;

  void FinishWhenIdle() {
    if (!broken || writing || finishing) return;
    finishing = true;
    stream->Finish(&status, &on_finish);
  }
};

}  // namespace

struct CoordinatorLink::Wire {
  transport::ConnectionOptions options;
  std::string coordinator_file;
  std::string session;
  grpc::CompletionQueue queue;
  std::unique_ptr<v1::WorkerService::Stub> stub;
  std::set<std::unique_ptr<Call>> calls;     // in flight, the stream included
  std::vector<std::unique_ptr<Call>> ended;  // kept until no callback of theirs runs any more
  RecordStream* stream = nullptr;

  std::string AddressNow() const;
  absl::Status Connect();
  void End(Call* call);
  template <class Response, class Start>
  void StartUnary(int64_t timeout_ms, Start start,
                  std::function<void(const absl::Status&, const Response&)> done);
};

std::string CoordinatorLink::Wire::AddressNow() const {
  if (coordinator_file.empty()) return options.address;
  const absl::StatusOr<std::string> text = ReadFile(coordinator_file);
  const std::string address(absl::StripAsciiWhitespace(text.value_or("")));
  return address.empty() ? options.address : address;
}

absl::Status CoordinatorLink::Wire::Connect() {
  options.address = AddressNow();
  ALLO_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, transport::Connect(options));
  stub = v1::WorkerService::NewStub(channel);
  return absl::OkStatus();
}

void CoordinatorLink::Wire::End(Call* call) {
  const auto found = std::find_if(calls.begin(), calls.end(),
                                  [&](const auto& other) { return other.get() == call; });
  ALLO_CHECK(found != calls.end());
  ended.push_back(std::move(calls.extract(found).value()));
}

template <class Response, class Start>
void CoordinatorLink::Wire::StartUnary(
    int64_t timeout_ms, Start start,
    std::function<void(const absl::Status&, const Response&)> done) {
  auto owned = std::make_unique<UnaryCall<Response>>();
  UnaryCall<Response>* call = owned.get();
  calls.insert(std::move(owned));
  call->context.set_deadline(In(timeout_ms));
  call->finished.happened = [this, call, done = std::move(done)](bool) {
    End(call);
    if (!call->silent) done(ToAbsl(options, call->status), call->response);
  };
  call->reader = start(&call->context);
  call->reader->Finish(&call->response, &call->status, &call->finished);
}

absl::StatusOr<std::unique_ptr<CoordinatorLink>> CoordinatorLink::Create(
    transport::ConnectionOptions options, const std::string& coordinator_file) {
  auto wire = std::make_unique<Wire>();
  wire->options = std::move(options);
  wire->coordinator_file = coordinator_file;
  wire->options.address = wire->AddressNow();
  ALLO_RETURN_IF_ERROR(transport::Validate(wire->options));
  ALLO_RETURN_IF_ERROR(wire->Connect());
  return std::unique_ptr<CoordinatorLink>(new CoordinatorLink(std::move(wire)));
}

CoordinatorLink::CoordinatorLink(std::unique_ptr<Wire> wire) : wire_(std::move(wire)) {}

CoordinatorLink::~CoordinatorLink() {
  for (const std::unique_ptr<Call>& call : wire_->calls) {
    call->silent = true;
    call->context.TryCancel();
  }
  void* tag = nullptr;
  bool ok = false;
  while (!wire_->calls.empty() && wire_->queue.Next(&tag, &ok)) {
    static_cast<Event*>(tag)->happened(ok);
  }
  wire_->queue.Shutdown();
  while (wire_->queue.Next(&tag, &ok)) {
  }
}

void CoordinatorLink::Register(const v1::RegisterRequest& request, int64_t timeout_ms,
                               OnRegister done) {
  wire_->StartUnary<v1::RegisterResponse>(
      timeout_ms,
      [&](grpc::ClientContext* context) {
        return wire_->stub->AsyncRegister(context, request, &wire_->queue);
      },
      std::move(done));
}

void CoordinatorLink::Heartbeat(const v1::HeartbeatRequest& request, int64_t timeout_ms,
                                OnHeartbeat done) {
  wire_->StartUnary<v1::HeartbeatResponse>(
      timeout_ms,
      [&](grpc::ClientContext* context) {
        return wire_->stub->AsyncHeartbeat(context, request, &wire_->queue);
      },
      std::move(done));
}

void CoordinatorLink::SetSession(std::string session) { wire_->session = std::move(session); }

const std::string& CoordinatorLink::address() const { return wire_->options.address; }

bool CoordinatorLink::Moved() const { return wire_->AddressNow() != wire_->options.address; }

const std::string& CoordinatorLink::session() const { return wire_->session; }

void CoordinatorLink::OpenStream(OnAck ack, OnStreamClosed closed) {
  ALLO_CHECK(!has_stream());
  auto owned = std::make_unique<RecordStream>();
  RecordStream* stream = owned.get();
  wire_->calls.insert(std::move(owned));
  wire_->stream = stream;
  stream->ack = std::move(ack);
  stream->closed = std::move(closed);

  stream->context.AddMetadata("allo-session", wire_->session);
  stream->on_start.happened = [stream](bool ok) {
    stream->started = ok;
    stream->broken = !ok;
    if (ok) stream->stream->Read(&stream->incoming, &stream->on_read);
    stream->FinishWhenIdle();
  };
  stream->on_read.happened = [stream](bool ok) {
    if (ok) {
      if (!stream->silent) stream->ack(stream->incoming);
      stream->stream->Read(&stream->incoming, &stream->on_read);
    } else {
      stream->broken = true;
      stream->FinishWhenIdle();
    }
  };
  stream->on_write.happened = [stream](bool) {
    stream->writing = false;  // a write that failed: the pending read fails too
    stream->FinishWhenIdle();
  };
  stream->on_finish.happened = [this, stream](bool) {
    wire_->stream = nullptr;
    wire_->End(stream);
    if (!stream->silent) stream->closed(ToAbsl(wire_->options, stream->status));
  };
  stream->stream = wire_->stub->PrepareAsyncStreamRecords(&stream->context, &wire_->queue);
  stream->stream->StartCall(&stream->on_start);
}

bool CoordinatorLink::has_stream() const { return wire_->stream != nullptr; }

bool CoordinatorLink::writable() const {
  const RecordStream* stream = wire_->stream;
  return stream != nullptr && stream->started && !stream->writing && !stream->broken;
}

void CoordinatorLink::Send(const v1::RecordBatch& batch) {
  ALLO_CHECK(writable());
  wire_->stream->writing = true;
  wire_->stream->stream->Write(batch, &wire_->stream->on_write);
}

void CoordinatorLink::WaitAndDispatch(int64_t timeout_ms) {
  auto deadline = In(timeout_ms);
  for (int i = 0; i < kDispatchAtOnce; ++i) {
    wire_->ended.clear();
    void* tag = nullptr;
    bool ok = false;
    const auto next = wire_->queue.AsyncNext(&tag, &ok, deadline);
    if (next != grpc::CompletionQueue::GOT_EVENT) return;
    static_cast<Event*>(tag)->happened(ok);
    deadline = In(0);
  }
}

absl::Status CoordinatorLink::Reconnect() {
  for (const std::unique_ptr<Call>& call : wire_->calls) call->context.TryCancel();
  return wire_->Connect();
}

}  // namespace allometry::agent
