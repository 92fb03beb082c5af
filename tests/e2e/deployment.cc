#include "tests/e2e/deployment.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/files.h"
#include "data/text.h"
#include "worker/agent/launch.h"
#include "worker/agent/processes.h"

namespace allometry::testing {
namespace {

constexpr char kDataset[] = "generated";

template <class Request, class Response>
Response Call(v1::ClientService::Stub& client,
              grpc::Status (v1::ClientService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
              const Request& request) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  Response response;
  const grpc::Status status = (client.*method)(&context, request, &response);
  ALLO_CHECK(status.ok()) << status.error_code() << ": " << status.error_message();
  return response;
}

}  // namespace

std::string GeneratedText(int64_t bytes) {
  const std::vector<std::string> words = {
      "the",  "a",     "sea",   "ship", "of",    "and",  "wind",  "old",   "runs", "under",
      "with", "light", "stone", "tree", "where", "some", "small", "great", "lies", "sings",
      "over", "house", "king",  "has",  "never", "seen", "it",    "but",   "who",  "asks"};
  std::string text;
  uint64_t state = 1;
  size_t word = 0;
  for (int in_sentence = 0; static_cast<int64_t>(text.size()) < bytes;) {
    state = state * 6364136223846793005 + 1442695040888963407;
    // The next word depends on this one, so that there is something to learn.
    word = (word * 7 + (state >> 33) % 5 + 1) % words.size();
    text += words[word];
    const bool ends = ++in_sentence > 5 && (state >> 40) % 4 == 0;
    text += !ends ? " " : (state >> 45) % 8 == 0 ? ".\n\n" : ". ";
    if (ends) in_sentence = 0;
  }
  return text;
}

Deployment::Deployment() {
  const std::string text = folder_.Path("text.txt");
  ALLO_CHECK(WriteFileAtomically(text, GeneratedText(400'000)).ok());
  data::TextOptions options;
  options.name = kDataset;
  options.inputs = {text};
  const absl::StatusOr<data::TextDataset> dataset =
      data::MakeTextDataset(options, folder_.Path("data"));
  ALLO_CHECK(dataset.ok()) << dataset.status();
  manifest_ = dataset->manifest;
  StartCoordinator();
  StartWorker();
}

Deployment::~Deployment() {
  coordinator_.Signal(SIGKILL);
  worker_.Signal(SIGKILL);
  coordinator_.Wait();
  worker_.Wait();
  for (int i = 0; i < 1000 && !NoTrainerLeft(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::string Deployment::ManifestJson() const {
  const auto json = ReadFile(folder_.Path("data") + "/" + kDataset + "/dataset.json");
  ALLO_CHECK(json.ok()) << json.status();
  return *json;
}

void Deployment::StartCoordinator() {
  const std::string address_file = folder_.Path("address");
  coordinator_.Start(
      {ALLO_BIN_DIR "/allo-coordinator", "--db", folder_.Path("allometry.db"), "--listen", address_,
       "--lease-ms", "10000", "--heartbeat-ms", "200", "--address-file", address_file},
      folder_.Path("coordinator.log"));
  for (int i = 0; i < 3000 && client_ == nullptr; ++i) {
    if (const absl::StatusOr<std::string> written = ReadFile(address_file); written.ok()) {
      address_ = std::string(absl::StripAsciiWhitespace(*written));
      client_ = v1::ClientService::NewStub(
          grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ALLO_CHECK(client_ != nullptr) << Logs();
}

void Deployment::StartWorker() {
  worker_.Start({ALLO_BIN_DIR "/allo-worker", "--coordinator", address_, "--state-dir",
                 folder_.Path("state"), "--run-root", folder_.Path("runs"), "--data-dir",
                 folder_.Path("data"), "--slots", "cpu:2", "--launcher", "mpirun"},
                folder_.Path("worker.log"));
}

void Deployment::KillAndRestartCoordinator() {
  coordinator_.Signal(SIGKILL);
  coordinator_.Wait();
  StartCoordinator();
}

void Deployment::KillAndRestartWorker() {
  worker_.Signal(SIGKILL);
  worker_.Wait();
  StartWorker();
}

void Deployment::StopAndRestartWorker() {
  worker_.Signal(SIGTERM);
  ALLO_CHECK(worker_.Wait() == 0) << Logs();
  StartWorker();
}

bool Deployment::KillRank(int64_t run_id, int rank) const {
  const std::string run = absl::StrCat("/run-", run_id, "/attempt-");
  for (const pid_t pid :
       agent::ProcessesWithEnvironment(absl::StrCat("OMPI_COMM_WORLD_RANK=", rank))) {
    const auto environment = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
    const auto root_id = ReadFile(folder_.Path("runs/root_id"));
    if (!environment.ok() || !root_id.ok()) continue;
    const std::string mark =
        absl::StrCat(agent::AttemptMark(absl::StripAsciiWhitespace(*root_id)), run);
    if (environment->find(mark) != std::string::npos) return kill(pid, SIGKILL) == 0;
  }
  return false;
}

bool Deployment::NoTrainerLeft() const {
  const auto agent_id = ReadFile(folder_.Path("state/agent_id"));
  return !agent_id.ok() ||
         agent::ProcessesWithEnvironment(agent::AgentMark(absl::StripAsciiWhitespace(*agent_id)))
             .empty();
}

v1::CreateSweepResponse Deployment::Submit(const std::string& sweep_yaml) const {
  v1::CreateSweepRequest request;
  request.set_file_name("test.yaml");
  request.set_sweep_yaml(sweep_yaml);
  request.set_manifest_json(ManifestJson());
  return Call(*client_, &v1::ClientService::Stub::CreateSweep, request);
}

v1::GetSweepResponse Deployment::Get(const std::string& sweep) const {
  v1::GetSweepRequest request;
  request.set_name(sweep);
  return Call(*client_, &v1::ClientService::Stub::GetSweep, request);
}

std::vector<std::string> Deployment::Export(const std::string& sweep, const std::string& what,
                                            const std::string& series) const {
  v1::ExportRequest request;
  request.set_sweep(sweep);
  request.set_what(what);
  request.set_series(series);
  request.set_allow_repeat(true);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const auto stream = client_->Export(&context, request);
  std::string csv;
  for (v1::ExportResponse piece; stream->Read(&piece);) csv += piece.csv();
  const grpc::Status status = stream->Finish();
  ALLO_CHECK(status.ok()) << status.error_message();
  return absl::StrSplit(csv, '\n', absl::SkipEmpty());
}

std::string Deployment::Logs() const {
  return absl::StrCat("--- coordinator\n", ReadFile(folder_.Path("coordinator.log")).value_or(""),
                      "--- worker\n", ReadFile(folder_.Path("worker.log")).value_or(""));
}

}  // namespace allometry::testing
