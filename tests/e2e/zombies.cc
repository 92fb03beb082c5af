#include "tests/e2e/zombies.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "grpcpp/client_context.h"
#include "tests/coordinator/records.h"

namespace allometry::testing {

absl::StatusOr<v1::RecordAck> WriteAs(const Deployment& deployment, const v1::Lease& lease,
                                      const v1::Record& record) {
  v1::RecordBatch batch;
  *batch.mutable_lease() = lease;
  *batch.add_records() = record;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  const auto stub = deployment.NewWorkerStub();
  const std::string session = deployment.SessionOfAStranger();
  context.AddMetadata("allo-session", session);
  const auto stream = stub->StreamRecords(&context);
  v1::RecordAck ack;
  const bool answered = stream->Write(batch) && stream->Read(&ack);
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  if (!answered || !status.ok()) {
    return absl::UnavailableError(absl::StrCat("no ack: ", status.error_message()));
  }
  return ack;
}

std::map<std::string, v1::Record> AllThatAZombieSays(int attempt, int64_t step) {
  constexpr uint64_t kNext = 1'000'000;
  return {{"point", PointAt(kNext, step, "heldout", 0.001)},
          {"checkpoint", CheckpointAt(kNext, attempt, step - 1, "root")},
          {"completion", ExitWith(kNext, v1::SUCCEEDED, step)}};
}

std::vector<std::string> Zombies::Write() {
  std::vector<std::string> wrong;
  for (const std::string& row : deployment_.Query(
           "SELECT run_id || ' ' || attempt || ' ' || token FROM attempts AS old WHERE attempt < "
           "(SELECT max(attempt) FROM attempts WHERE run_id = old.run_id)")) {
    const std::vector<std::string> fields = absl::StrSplit(row, ' ');
    v1::Lease lease;
    lease.set_run_id(std::stoll(fields.at(0)));
    lease.set_attempt(std::stoi(fields.at(1)));
    lease.set_token(fields.at(2));
    for (const auto& [name, record] : AllThatAZombieSays(lease.attempt(), 1'000)) {
      const std::string once =
          absl::StrCat(name, " of run ", lease.run_id(), ", attempt ", lease.attempt());
      if (written_.count(once) > 0) continue;
      const absl::StatusOr<v1::RecordAck> ack = WriteAs(deployment_, lease, record);
      if (!ack.ok()) return wrong;
      written_.insert(once);
      if (ack->stale()) {
        ++refused_[name];
      } else {
        wrong.push_back(absl::StrCat("a zombie's ", once, " was taken"));
      }
    }
  }
  return wrong;
}

}  // namespace allometry::testing
