#include "tests/e2e/deployment.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/files.h"
#include "worker/agent/launch.h"
#include "worker/agent/processes.h"

namespace allometry::testing {
namespace {

// Asks again while the coordinator is away.
void Ask(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  grpc::Status status;
  for (int i = 0; i < 600; ++i) {
    grpc::ClientContext context;
    status = call(&context);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ALLO_CHECK(status.ok()) << status.error_code() << ": " << status.error_message();
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

Deployment::Deployment(const DeploymentOptions& options) {
  data::TextOptions text = options.text;
  if (text.inputs.empty()) {
    text.name = "generated";
    text.inputs = {folder_.Path("text.txt")};
    ALLO_CHECK(WriteFileAtomically(text.inputs[0], GeneratedText(400'000)).ok());
  }
  const absl::StatusOr<data::TextDataset> dataset =
      data::MakeTextDataset(text, folder_.Path("data"));
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
  const auto json = ReadFile(folder_.Path("data") + "/" + manifest_.name + "/dataset.json");
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

v1::CreateSweepResponse Deployment::Submit(const std::string& sweep_yaml,
                                           const std::string& manifest_json) const {
  v1::CreateSweepRequest request;
  request.set_file_name("test.yaml");
  request.set_sweep_yaml(sweep_yaml);
  request.set_manifest_json(manifest_json.empty() ? ManifestJson() : manifest_json);
  v1::CreateSweepResponse response;
  Ask([&](grpc::ClientContext* context) {
    return client_->CreateSweep(context, request, &response);
  });
  return response;
}

v1::GetSweepResponse Deployment::Get(const std::string& sweep) const {
  v1::GetSweepRequest request;
  request.set_name(sweep);
  v1::GetSweepResponse response;
  Ask([&](grpc::ClientContext* context) { return client_->GetSweep(context, request, &response); });
  return response;
}

std::vector<std::string> Deployment::Export(const std::string& sweep, const std::string& what,
                                            const std::string& series) const {
  v1::ExportRequest request;
  request.set_sweep(sweep);
  request.set_what(what);
  request.set_series(series);
  request.set_allow_repeat(true);
  std::string csv;
  Ask([&](grpc::ClientContext* context) {
    csv.clear();
    const auto stream = client_->Export(context, request);
    for (v1::ExportResponse piece; stream->Read(&piece);) csv += piece.csv();
    return stream->Finish();
  });
  return absl::StrSplit(csv, '\n', absl::SkipEmpty());
}

std::string Deployment::Write(const std::string& name, const std::string& text) const {
  ALLO_CHECK(WriteFileAtomically(folder_.Path(name), text).ok());
  return folder_.Path(name);
}

std::string Deployment::Allo(const std::vector<std::string>& arguments) const {
  // A cache of its own, so that nothing is known from before.
  std::string command =
      absl::StrCat("XDG_CACHE_HOME=", folder_.Path("cache"), " ", ALLO_BIN_DIR, "/allo");
  for (const std::string& argument : arguments) absl::StrAppend(&command, " '", argument, "'");
  if (!arguments.empty() && arguments[0] == "plan") {
    absl::StrAppend(&command, " --data-dir ", folder_.Path("data"));
  }
  absl::StrAppend(&command, " --coordinator ", address_, " 2>>", folder_.Path("allo.log"));
  FILE* pipe = popen(command.c_str(), "r");
  ALLO_CHECK(pipe != nullptr);
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
  ALLO_CHECK(pclose(pipe) == 0) << command << "\n"
                                << ReadFile(folder_.Path("allo.log")).value_or("");
  return output;
}

std::string Deployment::Logs() const {
  return absl::StrCat("--- coordinator\n", ReadFile(folder_.Path("coordinator.log")).value_or(""),
                      "--- worker\n", ReadFile(folder_.Path("worker.log")).value_or(""));
}

}  // namespace allometry::testing
