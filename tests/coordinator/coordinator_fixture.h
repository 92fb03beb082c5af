// A coordinator on a clock that the test moves, and agents that the test plays.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/client.grpc.pb.h"
#include "tests/coordinator/fake_agent.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/eventually.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/in_process_coordinator.h"
#include "tests/testing/status_matchers.h"

namespace allometry::testing {

inline absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

class CoordinatorTest : public ::testing::Test {
 protected:
  static constexpr int64_t kLeaseMs = 3000;

  CoordinatorTest() {
    coordinator::Options options = InProcessCoordinator::DefaultOptions();
    options.lease_ms = kLeaseMs;
    options.clock = &clock_;
    coordinator_ = InProcessCoordinator::Start(options);
    client_ = coordinator_->client();
  }

  std::unique_ptr<FakeAgent> NewAgent(const std::string& host,
                                      const std::vector<std::string>& devices = {"cpu:0"},
                                      const TinySweep& sweep = {}) {
    return std::make_unique<FakeAgent>(coordinator_->worker(), host, devices,
                                       std::vector<v1::Dataset>{TinyDataset(sweep)});
  }

  // One of the client's calls: Call(&v1::ClientService::Stub::GetSweep, request).
  template <class Request, class Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ClientService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(RpcDeadline());
    Response response;
    ALLO_RETURN_IF_ERROR(ToAbsl((client_.get()->*method)(&context, request, &response)));
    return response;
  }

  absl::StatusOr<v1::CreateSweepResponse> Submit(const TinySweep& sweep = {}) {
    return Call(&v1::ClientService::Stub::CreateSweep, Request(sweep));
  }
  v1::GetSweepResponse Get(const std::string& name = "tiny") {
    v1::GetSweepRequest request;
    request.set_name(name);
    auto response = Call(&v1::ClientService::Stub::GetSweep, request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? *response : v1::GetSweepResponse();
  }
  v1::Run GetRun(int64_t run_id, const std::string& name = "tiny") {
    const v1::GetSweepResponse sweep = Get(name);
    for (const v1::Run& run : sweep.runs()) {
      if (run.run_id() == run_id) return run;
    }
    ADD_FAILURE() << "run " << run_id << " is not there";
    return {};
  }
  std::string Export(const std::string& what, const std::string& name = "tiny",
                     const std::vector<int64_t>& run_ids = {}) {
    v1::ExportRequest request;
    request.set_sweep(name);
    request.set_what(what);
    request.mutable_run_ids()->Assign(run_ids.begin(), run_ids.end());
    grpc::ClientContext context;
    auto reader = client_->Export(&context, request);
    std::string csv;
    v1::ExportResponse piece;
    while (reader->Read(&piece)) {
      EXPECT_EQ(piece.csv().back(), '\n') << "a piece of a line";
      csv += piece.csv();
    }
    EXPECT_THAT(ToAbsl(reader->Finish()), IsOk());
    return csv;
  }

  // Lets the agent do every run that it is given, to the end; returns how many those were.
  int PlayAll(FakeAgent& agent) {
    int played = 0;
    for (v1::Hold hold = agent.Obtain(); hold.has_lease(); hold = agent.Obtain(5)) {
      const v1::Run run = AnyRun(hold.lease().run_id());
      const auto records = WholeRun(hold.spec(), static_cast<double>(run.n_params()));
      EXPECT_THAT(agent.Send(hold.lease(), records), IsOk());
      agent.MarkEnded(hold.lease(), records.size());
      ++played;
    }
    return played;
  }
  v1::Run AnyRun(int64_t run_id) {
    const auto sweeps = Call(&v1::ClientService::Stub::ListSweeps, v1::ListSweepsRequest());
    for (const v1::Sweep& sweep : sweeps->sweeps()) {
      const v1::GetSweepResponse all = Get(sweep.name());
      for (const v1::Run& run : all.runs()) {
        if (run.run_id() == run_id) return run;
      }
    }
    return {};
  }

  // Waits, in real time, for what a tick of the coordinator brings about.
  template <class Condition>
  static bool Eventually(Condition condition) {
    return testing::Eventually(condition);
  }

  FakeClock clock_;
  std::unique_ptr<InProcessCoordinator> coordinator_;
  std::unique_ptr<v1::ClientService::Stub> client_;
};

}  // namespace allometry::testing
