// A real store on a file in a temporary folder, and builders of what goes into it.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "coordinator/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/append_and_wait.h"
#include "tests/testing/status_matchers.h"

namespace allometry::store {

inline std::string MakeTemporaryFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "allo-store-XXXXXX").string();
  ALLO_CHECK(mkdtemp(path.data()) != nullptr) << path;
  return path;
}

// Spec of a run that trains `steps` updates of 100 tokens with a warm-up of 10.
inline v1::RunSpec MakeSpec(int64_t steps, const std::vector<int64_t>& evaluation_steps) {
  v1::RunSpec spec;
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.mutable_shape()->set_layers(2);
  identity.mutable_shape()->set_width(16);
  identity.set_dataset("text");
  identity.set_dataset_hash("00000000000000aa");
  identity.set_batch_tokens(100);
  identity.set_warmup_steps(10);
  identity.set_learning_rate(0.01);
  identity.set_seed(1);
  spec.set_steps(steps);
  for (const int64_t step : evaluation_steps) spec.add_evaluation_steps(step);
  spec.set_ranks(1);
  return spec;
}

inline v1::Run MakeRun(const std::string& key, const std::string& size, const v1::RunSpec& spec) {
  v1::Run run;
  run.set_key(key);
  run.set_size(size);
  *run.mutable_spec() = spec;
  run.mutable_params()->set_blocks(900);
  run.mutable_params()->set_token_embedding(100);
  run.set_n_params(1000);
  run.set_flops_per_token_6n(6000);
  run.set_flops_per_token_exact(7000);
  return run;
}

inline NewCell MakeCell(const std::string& key, const std::string& size, int64_t step) {
  NewCell added;
  added.run_key = key;
  added.cell.set_size(size);
  added.cell.set_params(1000);
  added.cell.set_asked_tokens(static_cast<double>(step) * 100.5);
  added.cell.set_tokens(step * 100);
  added.cell.set_step(step);
  added.cell.set_flops(static_cast<double>(step) * 600000);
  added.cell.set_epochs(static_cast<double>(step) * 100 / 5000);
  return added;
}

// Sweep "grid" with runs of the given sizes, each with cells at steps 50 and 100.
inline Submission MakeSubmission(const std::vector<std::string>& sizes = {"40k"}) {
  Submission submission;
  submission.sweep.set_name("grid");
  submission.sweep.set_dataset("text");
  submission.sweep.set_params_policy("paper");
  submission.sweep.set_flops_convention("6nd");
  submission.sweep.set_max_epochs(4);
  submission.file_name = "grid.yaml";
  submission.text = "name: grid\n";
  submission.dataset = {"00000000000000aa", "text", "{}", 5000};
  for (const std::string& size : sizes) {
    submission.new_runs.push_back(MakeRun("key-" + size, size, MakeSpec(100, {20, 50, 100})));
    submission.new_cells.push_back(MakeCell("key-" + size, size, 50));
    submission.new_cells.push_back(MakeCell("key-" + size, size, 100));
  }
  return submission;
}

inline v1::Slot MakeSlot(const std::string& host, const std::string& device) {
  v1::Slot slot;
  slot.set_host(host);
  slot.set_device(device);
  return slot;
}

inline v1::RegisterRequest MakeAgent(const std::string& id, const std::string& host,
                                     const std::string& root, int slots = 2) {
  v1::RegisterRequest request;
  request.set_agent_id(id);
  request.set_host(host);
  request.set_run_root_id(root);
  for (int i = 0; i < slots; ++i) *request.add_slots() = MakeSlot(host, absl::StrCat("cpu:", i));
  return request;
}

// A spool in the making: records with the sequence numbers of one attempt.
class Spool {
 public:
  explicit Spool(v1::Lease lease) : lease_(std::move(lease)) {}

  v1::Record Point(int64_t step, const std::string& series, double value) {
    v1::Record record = Next();
    record.mutable_point()->set_step(step);
    record.mutable_point()->set_tokens(step * 100);
    record.mutable_point()->set_series(series);
    record.mutable_point()->set_value(value);
    return record;
  }
  v1::Record Checkpoint(int64_t step) {
    v1::Record record = Next();
    v1::Checkpoint& checkpoint = *record.mutable_checkpoint();
    checkpoint.set_attempt(lease_.attempt());
    checkpoint.set_step(step);
    checkpoint.set_file(
        absl::StrFormat("attempt-%d/checkpoint-%012d.safetensors", lease_.attempt(), step));
    checkpoint.set_hash("0123456789abcdef");
    checkpoint.set_bytes(1234);
    return record;
  }
  v1::Record Exit(v1::ExitReason reason, int64_t step, const std::string& message = "") {
    v1::Record record = Next();
    record.mutable_exit()->set_reason(reason);
    record.mutable_exit()->set_step(step);
    record.mutable_exit()->set_message(message);
    return record;
  }
  v1::RecordBatch Batch(const std::vector<v1::Record>& records) const {
    v1::RecordBatch batch;
    *batch.mutable_lease() = lease_;
    for (const v1::Record& record : records) *batch.add_records() = record;
    return batch;
  }
  const v1::Lease& lease() const { return lease_; }
  uint64_t sequence() const { return sequence_; }  // of the newest record

 private:
  v1::Record Next() {
    v1::Record record;
    record.set_sequence(++sequence_);
    return record;
  }

  const v1::Lease lease_;
  uint64_t sequence_ = 0;
};

class StoreFixture : public ::testing::Test {
 protected:
  StoreFixture() : folder_(MakeTemporaryFolder()), path_(folder_ + "/allometry.db") { Reopen(); }
  ~StoreFixture() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Reopen() {
    store_.reset();
    auto store = Store::Open(path_, options_);
    ALLO_CHECK(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  // Submits MakeSubmission(sizes) and registers agent "a" on host-a with run root "root-a".
  void SubmitAndRegister(const std::vector<std::string>& sizes = {"40k"}) {
    ASSERT_OK(store_->Submit(MakeSubmission(sizes)));
    ASSERT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
  }

  // The next attempt of the run on agent "a", or another.
  Attempt Start(int64_t run_id = 1, const std::string& agent = "a") {
    auto attempt = store_->StartAttempt(run_id, agent, {MakeSlot("host-" + agent, "cpu:0")});
    EXPECT_OK(attempt);
    return attempt.ok() ? *attempt : Attempt();
  }

  v1::RecordAck Append(const v1::RecordBatch& batch) {
    auto ack = testing::AppendAndWait(*store_, batch);
    EXPECT_OK(ack);
    return ack.ok() ? *ack : v1::RecordAck();
  }

  v1::Run GetRun(int64_t run_id = 1) {
    auto row = store_->GetRun(run_id);
    EXPECT_OK(row);
    return row.ok() ? row->run : v1::Run();
  }

  // Attempt 1 of run 1 up to step 70: evaluations at 20 and 50, checkpoints at 30 and 60.
  Attempt TrainToStep70() {
    const Attempt attempt = Start();
    Spool spool(attempt.lease);
    const v1::RecordAck ack = Append(spool.Batch(
        {spool.Point(10, "train", 4), spool.Point(20, "train", 3.9),
         spool.Point(20, "heldout", 3.95), spool.Point(30, "train", 3.8), spool.Checkpoint(30),
         spool.Point(50, "heldout", 3.5), spool.Point(60, "train", 3.4), spool.Checkpoint(60),
         spool.Point(70, "train", 3.3)}));
    EXPECT_EQ(ack.durable_sequence(), 9u);
    return attempt;
  }

  // Rows of a query by a connection of its own, as a person's sqlite3 would see them: columns
  // separated by '|', NULL empty.
  std::vector<std::string> Sql(const std::string& query) {
    sqlite3* db = nullptr;
    ALLO_CHECK(sqlite3_open_v2(path_.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
    std::vector<std::string> rows;
    char* error = nullptr;
    sqlite3_exec(
        db, query.c_str(),
        [](void* out, int count, char** values, char**) {
          std::vector<std::string> row;
          for (int i = 0; i < count; ++i) row.push_back(values[i] != nullptr ? values[i] : "");
          static_cast<std::vector<std::string>*>(out)->push_back(absl::StrJoin(row, "|"));
          return 0;
        },
        &rows, &error);
    EXPECT_EQ(error, nullptr) << (error != nullptr ? error : "");
    sqlite3_free(error);
    sqlite3_close(db);
    return rows;
  }

  const std::string folder_;
  const std::string path_;
  Options options_;
  std::unique_ptr<Store> store_;
};

}  // namespace allometry::store
