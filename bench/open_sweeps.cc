// What many open sweeps cost those who come later: submissions and heartbeats over gRPC while
// 10,000 sweeps of five runs wait for two slots.
//
//   open_sweeps [SWEEPS]
//   sweeps=10000 submit p50_ms=... p99_ms=... last_p50_ms=... heartbeat p50_ms=... p99_ms=...
// `last`: of the last tenth. Wall time: on a busy machine also what others took.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/files.h"
#include "coordinator/server.h"
#include "proto/client.grpc.pb.h"
#include "tests/coordinator/fake_agent.h"
#include "tests/coordinator/tiny_sweep.h"
#include "transport/connection.h"

namespace allometry {
namespace {

using Clock = std::chrono::steady_clock;

double MsSince(Clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

void Main(int sweeps) {
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("allo-sweeps-" + RandomHex128())).string();
  ALLO_CHECK(MakeDirectories(folder).ok()) << folder;
  coordinator::Options options;
  options.db_path = folder + "/sweeps.db";
  options.listen = "unix:" + folder + "/coordinator.sock";
  auto server = coordinator::Server::Start(options);
  ALLO_CHECK(server.ok()) << server.status();
  const auto connect = [&] {
    auto channel = transport::Connect({.address = (*server)->address()});
    ALLO_CHECK(channel.ok()) << channel.status();
    return *std::move(channel);
  };

  std::vector<double> heartbeats;
  std::atomic<bool> over = false;
  std::atomic<size_t> heard = 0;
  std::thread worker([&] {
    testing::FakeAgent agent(v1::WorkerService::NewStub(connect()), "host", {"cpu:0", "cpu:1"},
                             {testing::TinyDataset()});
    ALLO_CHECK(agent.Register().ok());
    while (!over) {
      const auto begun = Clock::now();
      const auto answer = agent.Reconcile();
      ALLO_CHECK(answer.ok()) << answer.status();
      heartbeats.push_back(MsSince(begun));
      heard = heartbeats.size();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });

  const auto client = v1::ClientService::NewStub(connect());
  std::vector<double> submissions;
  for (int i = 0; i < sweeps; ++i) {
    const v1::CreateSweepRequest request =
        testing::Request({.name = absl::StrFormat("s%05d", i), .sizes = "[5k, 8k, 12k, 20k, 30k]"});
    grpc::ClientContext context;
    v1::CreateSweepResponse response;
    const auto begun = Clock::now();
    const grpc::Status status = client->CreateSweep(&context, request, &response);
    ALLO_CHECK(status.ok()) << status.error_message();
    submissions.push_back(MsSince(begun));
  }
  const size_t heard_while_submitting = heard;
  std::this_thread::sleep_for(std::chrono::seconds(20));
  over = true;
  worker.join();
  const std::vector<double> last(submissions.end() - std::max(1, sweeps / 10), submissions.end());
  const std::vector<double> quiet(
      heartbeats.begin() + static_cast<std::ptrdiff_t>(heard_while_submitting), heartbeats.end());
  std::cout << absl::StrFormat(
      "sweeps=%d submit p50_ms=%.1f p99_ms=%.1f last_p50_ms=%.1f heartbeat p50_ms=%.1f "
      "p99_ms=%.1f, all submitted: p50_ms=%.1f p99_ms=%.1f\n",
      sweeps, Percentile(submissions, 0.5), Percentile(submissions, 0.99), Percentile(last, 0.5),
      Percentile(heartbeats, 0.5), Percentile(heartbeats, 0.99), Percentile(quiet, 0.5),
      Percentile(quiet, 0.99));
  (*server)->Stop();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace allometry

int main(int argc, char** argv) {
  allometry::Main(argc > 1 ? std::atoi(argv[1]) : 10'000);
  return 0;
}
