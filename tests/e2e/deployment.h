// The real programs on this machine: a coordinator, agents, a dataset made of generated text. What
// systemd does elsewhere (starting a dead one again) the test does here.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/manifest.h"
#include "data/text.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {

struct DeploymentOptions {
  // What the dataset is made of; without inputs it is "generated", of GeneratedText.
  data::TextOptions text;
  int workers = 1;
  std::string slots = "cpu:2";  // of each worker
  int64_t lease_ms = 10'000;
  int64_t heartbeat_ms = 200;
  // Arguments beside those.
  std::vector<std::string> coordinator_flags = {};
  std::vector<std::vector<std::string>> worker_flags =
      {};  // by worker; fewer than workers: no more
  // By worker; of those that have none here, the deployment's own.
  std::vector<std::string> data_dirs = {};
};

class Deployment {
 public:
  // Starts all of them.
  explicit Deployment(const DeploymentOptions& options = {});
  // Kills all of them; trainers end by themselves.
  ~Deployment();

  const data::Manifest& manifest() const { return manifest_; }
  std::string ManifestJson() const;
  std::string DbPath() const { return folder_.Path("allometry.db"); }
  // Of the coordinator, as --coordinator takes it.
  const std::string& address() const { return address_; }
  std::string Path(const std::string& name) const { return folder_.Path(name); }
  int workers() const { return options_.workers; }

  // SIGKILL, and a new life on the same folders and port.
  void KillAndRestartCoordinator();
  void KillAndRestartWorker(int worker = 0);
  // SIGTERM: the agent has its trainers write checkpoints; then a new life.
  void StopAndRestartWorker();
  // The same in steps, for tests that do something between them. Kill waits for the death.
  void KillCoordinator();
  void StartCoordinator();
  void SignalCoordinator(int signal) const { coordinator_.Signal(signal); }
  void KillWorker(int worker);
  void StartWorker(int worker = 0);
  void SignalWorker(int worker, int signal) const;

  // To one process of a run of several: rank `rank` of it. False when there was none.
  bool SignalRank(int64_t run_id, int rank, int signal) const;
  bool KillRank(int64_t run_id, int rank) const { return SignalRank(run_id, rank, SIGKILL); }
  // What marks the trainers and mpiruns of the worker in their environment; empty before its first
  // start is over.
  std::string MarkOf(int worker) const;
  // Every process that an agent ever started is gone.
  bool NoTrainerLeft() const;

  // Client calls; each waits for a coordinator that is being started, and fails the test's process
  // where it answers with an error.
  // `manifest_json`: of the dataset that the text names, where it is not the deployment's own.
  v1::CreateSweepResponse Submit(const std::string& sweep_yaml,
                                 const std::string& manifest_json = "") const;
  v1::GetSweepResponse Get(const std::string& sweep) const;
  // Nothing where the coordinator does not answer within two seconds.
  std::optional<v1::GetSweepResponse> TryGet(const std::string& sweep) const;
  // FAILED and CANCELLED runs of the sweep wait again; how many those were.
  int Retry(const std::string& sweep) const;
  // The lines of an export, the first being the names of the columns.
  std::vector<std::string> Export(const std::string& sweep, const std::string& what,
                                  const std::string& series) const;
  std::unique_ptr<v1::WorkerService::Stub> NewWorkerStub() const;
  // Of an agent that registers for this, with a slot that it never offers; empty where the
  // coordinator does not answer.
  std::string SessionOfAStranger() const;

  // Writes a file into the deployment's folder; returns its path.
  std::string Write(const std::string& name, const std::string& text) const;
  // Runs `allo` with its coordinator and datasets; returns what it printed on standard output.
  std::string Allo(const std::vector<std::string>& arguments) const;
  // The first column of a query to the database, read beside the coordinator. A string literal.
  std::vector<std::string> Query(const char* sql) const;

  // What coordinator and agents printed.
  std::string Logs() const;

 private:
  // "state", "state-1", ...: the first worker's have no number.
  std::string WorkerPath(const std::string& what, int worker) const;

  const DeploymentOptions options_;
  const TemporaryFolder folder_;
  data::Manifest manifest_;
  std::string address_;  // of the coordinator's Unix socket
  ChildProcess coordinator_;
  std::vector<std::unique_ptr<ChildProcess>> workers_;
  std::unique_ptr<v1::ClientService::Stub> client_;
};

// Text that looks a little like English: sentences over a small vocabulary, the same on every
// machine.
std::string GeneratedText(int64_t bytes);

}  // namespace allometry::testing
