// The real programs on this machine: a coordinator, an agent with two slots, a dataset made of
// generated text. What systemd does elsewhere (starting a dead one again) the test does here.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/manifest.h"
#include "data/text.h"
#include "proto/client.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {

struct DeploymentOptions {
  // What the dataset is made of; without inputs it is "generated", of GeneratedText.
  data::TextOptions text;
};

class Deployment {
 public:
  // Starts both.
  explicit Deployment(const DeploymentOptions& options = {});
  // Kills both; trainers end by themselves.
  ~Deployment();

  const data::Manifest& manifest() const { return manifest_; }
  std::string ManifestJson() const;
  std::string Path(const std::string& name) const { return folder_.Path(name); }

  // SIGKILL, and a new life on the same folders and port.
  void KillAndRestartCoordinator();
  void KillAndRestartWorker();
  // SIGTERM: the agent has its trainers write checkpoints; then a new life.
  void StopAndRestartWorker();
  // SIGKILL to one process of the run: rank `rank` of it. False when there was none.
  bool KillRank(int64_t run_id, int rank) const;
  // Every process that the agent ever started is gone.
  bool NoTrainerLeft() const;

  // Client calls; each waits for a coordinator that is being started, and fails the test's process
  // where it answers with an error.
  // `manifest_json`: of the dataset that the text names, where it is not the deployment's own.
  v1::CreateSweepResponse Submit(const std::string& sweep_yaml,
                                 const std::string& manifest_json = "") const;
  v1::GetSweepResponse Get(const std::string& sweep) const;
  // The lines of an export, the first being the names of the columns.
  std::vector<std::string> Export(const std::string& sweep, const std::string& what,
                                  const std::string& series) const;

  // Writes a file into the deployment's folder; returns its path.
  std::string Write(const std::string& name, const std::string& text) const;
  // Runs `allo` with its coordinator and datasets; returns what it printed on standard output.
  std::string Allo(const std::vector<std::string>& arguments) const;

  // What coordinator and agent printed.
  std::string Logs() const;

 private:
  void StartCoordinator();
  void StartWorker();

  const TemporaryFolder folder_;
  data::Manifest manifest_;
  std::string address_ = "127.0.0.1:0";
  ChildProcess coordinator_;
  ChildProcess worker_;
  std::unique_ptr<v1::ClientService::Stub> client_;
};

// Text that looks a little like English: sentences over a small vocabulary, the same on every
// machine.
std::string GeneratedText(int64_t bytes);

}  // namespace allometry::testing
