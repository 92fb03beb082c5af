// A sweep of 10,000 runs as its client sees it: `allo runs` asks for it over gRPC on loopback.
//
// Prints the least of ten (what it costs) and the middle (what a busy machine makes of it) of the
// whole call, from the request to the message parsed. The store's part alone: bench/store.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"
#include "bench/text_manifest.h"
#include "coordinator/server.h"
#include "proto/client.grpc.pb.h"
#include "transport/connection.h"

namespace allometry {
namespace {

constexpr int kSizes = 20;
constexpr int kSeeds = 500;
constexpr int kLooks = 10;

std::string SweepYaml() {
  std::vector<std::string> sizes, seeds;
  // A factor apart, so that no two become one shape.
  for (int i = 0; i < kSizes; ++i)
    sizes.push_back(absl::StrCat(std::lround(5000 * std::pow(1.3, i))));
  for (int i = 1; i <= kSeeds; ++i) seeds.push_back(absl::StrCat(i));
  return absl::StrFormat(
      "name: large\ndataset: bench-text\nmodel: {context: 16, sizes: [%s]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 1e-3, seeds: [%s]}\n"
      "budgets: {tokens: [10000000]}\n",
      absl::StrJoin(sizes, ","), absl::StrJoin(seeds, ","));
}

template <class Look>
void Measure(const char* what, Look look) {
  std::vector<double> ms;
  size_t bytes = 0;
  for (int i = 0; i < kLooks; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    bytes = look();
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
                     .count());
  }
  std::sort(ms.begin(), ms.end());
  std::cout << absl::StrFormat("%s: %.1f ms, median %.1f ms, %.1f MB\n", what, ms[0],
                               ms[kLooks / 2], static_cast<double>(bytes) / 1e6);
}

void Main() {
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("allo-listing-" + RandomHex128())).string();
  ALLO_CHECK(MakeDirectories(folder).ok()) << folder;
  coordinator::Options options;
  options.db_path = folder + "/large.db";
  options.listen = "unix:" + folder + "/coordinator.sock";
  auto server = coordinator::Server::Start(options);
  ALLO_CHECK(server.ok()) << server.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(256 << 20);
  const auto channel = transport::Connect({.address = (*server)->address()}, arguments);
  ALLO_CHECK(channel.ok()) << channel.status();
  const auto stub = v1::ClientService::NewStub(*channel);

  v1::CreateSweepRequest submission;
  submission.set_sweep_yaml(SweepYaml());
  submission.set_manifest_json(bench::TextManifestJson());
  v1::CreateSweepResponse submitted;
  grpc::ClientContext submitting;
  const grpc::Status status = stub->CreateSweep(&submitting, submission, &submitted);
  ALLO_CHECK(status.ok()) << status.error_message();
  ALLO_CHECK(submitted.runs_size() == kSizes * kSeeds) << submitted.runs_size();

  Measure("GetSweep of 10,000 runs over gRPC", [&] {
    grpc::ClientContext context;
    v1::GetSweepRequest request;
    request.set_name("large");
    v1::GetSweepResponse response;
    ALLO_CHECK(stub->GetSweep(&context, request, &response).ok());
    return response.ByteSizeLong();
  });
  Measure("ListSweeps", [&] {
    grpc::ClientContext context;
    v1::ListSweepsResponse response;
    ALLO_CHECK(stub->ListSweeps(&context, {}, &response).ok());
    return response.ByteSizeLong();
  });
  (*server)->Stop();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace allometry

int main() {
  allometry::Main();
  return 0;
}
