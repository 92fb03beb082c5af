#include "tests/e2e/deployment.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/files.h"
#include "coordinator/store/sqlite.h"
#include "tests/testing/eventually.h"
#include "tests/testing/shell.h"
#include "transport/agent_id.h"
#include "transport/connection.h"
#include "worker/agent/launch.h"
#include "worker/launch/processes.h"

namespace allometry::testing {
namespace {

// Asks again while the coordinator is away.
void Ask(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  grpc::Status status;
  (void)Eventually(
      [&] {
        grpc::ClientContext context;
        status = call(&context);
        return status.error_code() != grpc::StatusCode::UNAVAILABLE;
      },
      std::chrono::milliseconds(100));
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

Deployment::Deployment(const DeploymentOptions& options) : options_(options) {
  data::TextOptions text = options.text;
  if (text.inputs.empty()) {
    text.name = "generated";
    text.inputs = {folder_.Path("text.txt")};
    ALLO_CHECK(WriteFileAtomically(text.inputs[0], GeneratedText(400'000)).ok());
  }
  const absl::StatusOr<data::MadeDataset> dataset =
      data::MakeTextDataset(text, folder_.Path("data"));
  ALLO_CHECK(dataset.ok()) << dataset.status();
  manifest_ = dataset->manifest;
  StartCoordinator();
  for (int worker = 0; worker < options_.workers; ++worker) {
    workers_.push_back(std::make_unique<ChildProcess>());
    StartWorker(worker);
  }
}

Deployment::~Deployment() {
  // SIGKILL ends stopped ones too.
  if (coordinator_.started()) KillCoordinator();
  for (int worker = 0; worker < workers(); ++worker) {
    if (workers_[static_cast<size_t>(worker)]->started()) KillWorker(worker);
  }
  (void)Eventually([this] { return NoTrainerLeft(); });
}

std::string Deployment::ManifestJson() const {
  const auto json = ReadFile(folder_.Path("data") + "/" + manifest_.name + "/dataset.json");
  ALLO_CHECK(json.ok()) << json.status();
  return *json;
}

std::string Deployment::WorkerPath(const std::string& what, int worker) const {
  return folder_.Path(worker == 0 ? what : absl::StrCat(what, "-", worker));
}

void Deployment::StartCoordinator() {
  const std::string address_file = folder_.Path("address");
  std::vector<std::string> command = {ALLO_BIN_DIR "/allo-coordinator",
                                      "--db",
                                      DbPath(),
                                      "--listen",
                                      "unix:" + folder_.Path("coordinator.sock"),
                                      "--lease",
                                      absl::StrCat(options_.lease_ms, "ms"),
                                      "--heartbeat",
                                      absl::StrCat(options_.heartbeat_ms, "ms"),
                                      "--address-file",
                                      address_file};
  command.insert(command.end(), options_.coordinator_flags.begin(),
                 options_.coordinator_flags.end());
  coordinator_.Start(command, folder_.Path("coordinator.log"));
  (void)Eventually([&] {
    if (client_ != nullptr) return true;
    const absl::StatusOr<std::string> written = ReadFile(address_file);
    if (!written.ok()) return false;
    address_ = std::string(absl::StripAsciiWhitespace(*written));
    const auto channel = transport::Connect({.address = address_});
    ALLO_CHECK(channel.ok()) << channel.status();
    client_ = v1::ClientService::NewStub(*channel);
    return true;
  });
  ALLO_CHECK(client_ != nullptr) << Logs();
}

void Deployment::StartWorker(int worker) {
  const auto index = static_cast<size_t>(worker);
  std::vector<std::string> command = {
      ALLO_BIN_DIR "/allo-worker",
      "--coordinator",
      address_,
      "--state-dir",
      WorkerPath("state", worker),
      "--run-root",
      WorkerPath("runs", worker),
      "--data-dir",
      index < options_.data_dirs.size() ? options_.data_dirs[index] : folder_.Path("data"),
      "--slots",
      options_.slots,
      "--launcher",
      "mpirun"};
  // Several share this machine's devices under names of their own; one is simply this machine.
  if (options_.workers > 1) {
    command.insert(command.end(), {"--host", absl::StrCat("host-", worker)});
  }
  if (index < options_.worker_flags.size()) {
    const std::vector<std::string>& flags = options_.worker_flags[index];
    command.insert(command.end(), flags.begin(), flags.end());
  }
  workers_[index]->Start(command, WorkerPath("worker.log", worker));
}

void Deployment::KillCoordinator() {
  coordinator_.Signal(SIGKILL);
  coordinator_.Wait();
}

void Deployment::KillWorker(int worker) {
  SignalWorker(worker, SIGKILL);
  workers_[static_cast<size_t>(worker)]->Wait();
}

void Deployment::SignalWorker(int worker, int signal) const {
  workers_[static_cast<size_t>(worker)]->Signal(signal);
}

void Deployment::KillAndRestartCoordinator() {
  KillCoordinator();
  StartCoordinator();
}

void Deployment::KillAndRestartWorker(int worker) {
  KillWorker(worker);
  StartWorker(worker);
}

void Deployment::StopAndRestartWorker() {
  SignalWorker(0, SIGTERM);
  ALLO_CHECK(workers_[0]->Wait() == 0) << Logs();
  StartWorker(0);
}

bool Deployment::SignalRank(int64_t run_id, int rank, int signal) const {
  const std::string run = absl::StrCat("/run-", run_id, "/attempt-");
  for (const pid_t pid :
       launch::ProcessesWithEnvironment(absl::StrCat("OMPI_COMM_WORLD_RANK=", rank))) {
    const auto environment = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
    if (!environment.ok()) continue;
    for (int worker = 0; worker < workers(); ++worker) {
      const auto root_id = ReadFile(WorkerPath("runs", worker) + "/root_id");
      if (!root_id.ok()) continue;
      const std::string mark =
          absl::StrCat(agent::AttemptMark(absl::StripAsciiWhitespace(*root_id)), run);
      if (environment->find(mark) != std::string::npos) return kill(pid, signal) == 0;
    }
  }
  return false;
}

std::string Deployment::MarkOf(int worker) const {
  const auto agent_id = ReadFile(WorkerPath("state", worker) + "/agent_id");
  return agent_id.ok() ? agent::AgentMark(absl::StripAsciiWhitespace(*agent_id)) : "";
}

bool Deployment::NoTrainerLeft() const {
  for (int worker = 0; worker < workers(); ++worker) {
    const std::string mark = MarkOf(worker);
    if (!mark.empty() && !launch::ProcessesWithEnvironment(mark).empty()) return false;
  }
  return true;
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

std::optional<v1::GetSweepResponse> Deployment::TryGet(const std::string& sweep) const {
  v1::GetSweepRequest request;
  request.set_name(sweep);
  v1::GetSweepResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  if (!client_->GetSweep(&context, request, &response).ok()) return std::nullopt;
  return response;
}

int Deployment::Retry(const std::string& sweep) const {
  v1::RetrySweepRequest request;
  request.set_name(sweep);
  v1::RetrySweepResponse response;
  Ask([&](grpc::ClientContext* context) {
    return client_->RetrySweep(context, request, &response);
  });
  return response.retried();
}

std::unique_ptr<v1::WorkerService::Stub> Deployment::NewWorkerStub() const {
  const auto channel = transport::Connect({.address = address_});
  ALLO_CHECK(channel.ok()) << channel.status();
  return v1::WorkerService::NewStub(*channel);
}

std::string Deployment::SessionOfAStranger() const {
  v1::RegisterRequest request;
  request.set_agent_secret("a stranger's");
  request.set_agent_id(transport::AgentIdOf(request.agent_secret()));
  request.set_life("one");
  request.set_host("stranger");
  request.set_run_root_id("stranger");
  request.add_slots()->set_host("stranger");
  request.mutable_slots(0)->set_device("cpu:0");
  v1::RegisterResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  return NewWorkerStub()->Register(&context, request, &response).ok() ? response.session() : "";
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
  const Outcome outcome = Shell(command);
  ALLO_CHECK(outcome.exit_code == 0) << command << "\n"
                                     << ReadFile(folder_.Path("allo.log")).value_or("");
  return outcome.output;
}

std::vector<std::string> Deployment::Query(const char* sql) const {
  auto db = store::Connection::Open(DbPath(), store::Connection::Mode::kReadOnly, 5000);
  ALLO_CHECK(db.ok()) << db.status();
  std::vector<std::string> values;
  store::Statement rows = (*db)->Prepare(sql);
  while (rows.Step()) values.push_back(rows.Text(0));
  ALLO_CHECK(rows.status().ok()) << rows.status();
  return values;
}

std::string Deployment::Logs() const {
  std::string logs =
      absl::StrCat("--- coordinator\n", ReadFile(folder_.Path("coordinator.log")).value_or(""));
  for (int worker = 0; worker < workers(); ++worker) {
    absl::StrAppend(&logs, "--- worker ", worker, "\n",
                    ReadFile(WorkerPath("worker.log", worker)).value_or(""));
  }
  return logs;
}

}  // namespace allometry::testing
