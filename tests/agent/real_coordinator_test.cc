// The worker and its coordinator, both real programs; the trainer trains nothing. Time goes back
// for the coordinator while its agents live: a copy is restored, or the end of the log is lost with
// its machine. The link between them is slow.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "data/generated.h"
#include "proto/client.grpc.pb.h"
#include "tests/agent/worker_process.h"
#include "tests/testing/child_process.h"
#include "tests/testing/slow_link.h"
#include "tests/testing/temporary_folder.h"
#include "transport/connection.h"

namespace allometry::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kSteps = 500;  // of 10 ms and more each
constexpr char kDataset[] = "strata:universe=7,zo=64";

class RealCoordinatorTest : public ::testing::Test {
 protected:
  RealCoordinatorTest() {
    StartCoordinator("127.0.0.1:0");
    worker_ = NewWorker(address_);
  }
  ~RealCoordinatorTest() override {
    if (HasFailure()) std::cerr << worker_->output() << ReadFile(log_).value_or("");
  }

  void StartCoordinator(const std::string& listen, const std::string& lease = "3s",
                        const std::string& heartbeat = "100ms") {
    const std::string address_file = folder_.Path("address");
    fs::remove(address_file);
    coordinator_.Start(
        {ALLO_BIN_DIR "/allo-coordinator", "--db", db_, "--listen", listen, "--lease", lease,
         "--heartbeat", heartbeat, "--token-file", token_, "--address-file", address_file},
        log_);
    ASSERT_TRUE(Eventually([&] { return ReadFile(address_file).ok(); }));
    address_ = std::string(absl::StripAsciiWhitespace(*ReadFile(address_file)));
    const auto channel = transport::Connect({.address = address_, .token_file = token_});
    ASSERT_TRUE(channel.ok()) << channel.status();
    client_ = v1::ClientService::NewStub(*channel);
  }

  std::unique_ptr<WorkerProcess> NewWorker(const std::string& address) const {
    auto worker = std::make_unique<WorkerProcess>(address, "cpu:2");
    worker->extra_arguments = {"--token-file", token_};
    return worker;
  }

  static bool Eventually(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  // Four runs, of which two train at a time.
  void Submit() {
    v1::CreateSweepRequest request;
    request.set_file_name("s.yaml");
    request.set_sweep_yaml(absl::StrFormat(
        "name: s\ndataset: '%s'\nmodel: {frames: 2, sizes: [34k]}\n"
        "training: {batch_tokens: 520, warmup_steps: 2, learning_rate: 3e-3, seeds: [1, 2, 3, 4]}\n"
        "budgets: {tokens: [%d]}\n",
        kDataset, kSteps * 520));
    const auto manifest = data::FindManifest("", kDataset);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    request.set_manifest_json(data::ManifestJson(*manifest));
    grpc::ClientContext context;
    v1::CreateSweepResponse response;
    const grpc::Status status = client_->CreateSweep(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.runs_size(), 4);
  }

  v1::GetSweepResponse Sweep() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context.set_wait_for_ready(true);
    v1::GetSweepRequest request;
    request.set_name("s");
    v1::GetSweepResponse response;
    const grpc::Status status = client_->GetSweep(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  int64_t StepsDone() {
    int64_t steps = 0;
    const v1::GetSweepResponse sweep = Sweep();
    for (const v1::Run& run : sweep.runs()) steps += run.step();
    return steps;
  }

  void KillCoordinator() {
    coordinator_.Signal(SIGKILL);
    coordinator_.Wait();
  }

  void BackUp() const {
    ASSERT_EQ(
        std::system(absl::StrCat(ALLO_BIN_DIR "/allo --coordinator ", address_, " --token-file ",
                                 token_, " backup ", folder_.Path("copy.db"), " >/dev/null")
                        .c_str()),
        0);
  }
  // The coordinator dies, and starts again on the copy.
  void Restore() {
    KillCoordinator();
    fs::remove(db_ + "-wal");
    fs::remove(db_ + "-shm");
    fs::rename(folder_.Path("copy.db"), db_);
    StartCoordinator(address_);
  }

  void ExpectEveryRunEndsWithItsWholeCurve() {
    ExpectEveryRunEnds();
    StopAndExpectWholeCurves();
  }
  void ExpectEveryRunEnds() {
    EXPECT_TRUE(Eventually([&] {
      const v1::GetSweepResponse sweep = Sweep();
      for (const v1::Run& run : sweep.runs()) {
        if (run.state() != v1::RUN_SUCCEEDED) return false;
      }
      return true;
    }));
    const v1::GetSweepResponse sweep = Sweep();
    for (const v1::Run& run : sweep.runs()) {
      EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED) << run.ShortDebugString();
      EXPECT_EQ(run.failures(), 0) << run.reason();
    }
  }
  void StopAndExpectWholeCurves() {
    coordinator_.Signal(SIGTERM);
    EXPECT_EQ(coordinator_.Wait(), 0);
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(db_.c_str(), &db), SQLITE_OK);
    std::vector<std::string> curves;
    sqlite3_exec(
        db,
        "SELECT run_id || ': ' || count(*) || ' points from ' || min(step) || ' to ' || max(step) "
        "FROM points WHERE series_id = 2 GROUP BY run_id ORDER BY run_id",
        [](void* out, int, char** values, char**) {
          static_cast<std::vector<std::string>*>(out)->push_back(values[0]);
          return 0;
        },
        &curves, nullptr);
    sqlite3_close(db);
    EXPECT_THAT(curves, ::testing::ElementsAre(
                            "1: 500 points from 1 to 500", "2: 500 points from 1 to 500",
                            "3: 500 points from 1 to 500", "4: 500 points from 1 to 500"));
  }

  const TemporaryFolder folder_;
  const std::string db_ = folder_.Path("a.db");
  const std::string log_ = folder_.Path("log");
  const std::string token_ = folder_.Path("token");
  ChildProcess coordinator_;
  std::string address_;
  std::unique_ptr<v1::ClientService::Stub> client_;
  std::unique_ptr<WorkerProcess> worker_;
};

TEST_F(RealCoordinatorTest, EveryRunEndsAfterACopyIsRestoredUnderLoad) {
  Submit();
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 100; }));
  BackUp();
  // Far enough that the first two have ended and others run, which the copy knows nothing of.
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 2 * kSteps + 100; }));
  Restore();
  ExpectEveryRunEndsWithItsWholeCurve();
}

TEST_F(RealCoordinatorTest, ARunThatGoesOnIsSentAgainFromWhereTheCopyIs) {
  Submit();
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 100; }));
  BackUp();
  const int64_t then = StepsDone();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > then + 200; }));
  Restore();
  ASSERT_TRUE(Eventually(
      [&] { return worker_->output().find("sent again from record") != std::string::npos; }));
  ExpectEveryRunEndsWithItsWholeCurve();
  EXPECT_THAT(worker_->output(), Not(HasSubstr("holds it no longer")))
      << "the runs that trained went on";
}

TEST_F(RealCoordinatorTest, EveryRunEndsAfterTheLogWasLost) {
  Submit();
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 300; }));
  KillCoordinator();
  fs::remove(db_ + "-wal");
  fs::remove(db_ + "-shm");
  StartCoordinator(address_);
  EXPECT_THAT(ReadFile(log_).value(), HasSubstr("is missing"));
  ExpectEveryRunEndsWithItsWholeCurve();
}

// A round trip of 600 ms; leases of 2 s and 3 s.
class SlowLinkTest : public RealCoordinatorTest, public ::testing::WithParamInterface<const char*> {
 protected:
  std::unique_ptr<SlowLink> link_;
};

TEST_P(SlowLinkTest, LeasesAreRenewed) {
  coordinator_.Signal(SIGTERM);
  coordinator_.Wait();
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(db_ + suffix);
  StartCoordinator("127.0.0.1:0", GetParam(), "500ms");
  link_ = std::make_unique<SlowLink>(address_, std::chrono::milliseconds(300));
  worker_ = NewWorker(link_->address());
  Submit();
  worker_->Start();
  ExpectEveryRunEnds();
  EXPECT_THAT(worker_->output(), Not(HasSubstr("its lease ran out")));
  EXPECT_THAT(worker_->output(), Not(HasSubstr("is away")));
  StopAndExpectWholeCurves();
}

INSTANTIATE_TEST_SUITE_P(LeaseMs, SlowLinkTest, ::testing::Values("3s", "2s"),
                         [](const auto& info) { return std::string(info.param); });

// A lease lasts an hour here, so devices that wait for its end would not be free within this test.
TEST_F(RealCoordinatorTest, ACleanStopFreesDevicesAndRunsAtOnce) {
  coordinator_.Signal(SIGTERM);
  coordinator_.Wait();
  StartCoordinator("127.0.0.1:0", "1h");
  Submit();
  worker_ = NewWorker(address_);
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 100; }));
  const auto next = NewWorker(address_);  // of the same devices
  next->Start();
  ASSERT_TRUE(Eventually([&] { return next->output().find("is held by") != std::string::npos; }))
      << next->output();
  EXPECT_THAT(next->output(), Not(HasSubstr("registered")));
  worker_->Signal(SIGTERM);
  EXPECT_EQ(worker_->Wait(), 0);
  ExpectEveryRunEndsWithItsWholeCurve();
  EXPECT_THAT(next->output(), HasSubstr("registered"));
}

TEST_F(RealCoordinatorTest, TheLogOfARunningAttemptComesWhereItIsAskedFor) {
  Submit();
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 50; }));
  const auto newest = [&](bool with_log) {
    grpc::ClientContext context;
    v1::GetRunRequest request;
    request.set_run_id(1);
    request.set_with_log(with_log);
    v1::GetRunResponse response;
    const grpc::Status status = client_->GetRun(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.attempts_size() > 0 ? *response.attempts().rbegin() : v1::AttemptSummary();
  };
  v1::AttemptSummary seen;
  ASSERT_TRUE(Eventually([&] {
    seen = newest(true);
    return seen.log_unix_us() != 0 || seen.state() != "LEASED";
  }));
  ASSERT_EQ(seen.state(), "LEASED") << "it ended before its log was there";
  EXPECT_THAT(seen.log_tail(), HasSubstr("rank 0 pid"));
  EXPECT_EQ(newest(false).log_tail(), "");
}

TEST_F(RealCoordinatorTest, TheWorkerRemovesTheDirectoriesOfADeletedSweepAndNoOther) {
  Submit();
  worker_->Start();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 100; }));
  const auto call = [&](auto method, const auto& request, auto* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return (client_.get()->*method)(&context, request, response);
  };
  using Stub = v1::ClientService::Stub;
  v1::DeleteSweepRequest remove;
  remove.set_name("s");
  v1::DeleteSweepResponse removed;
  EXPECT_EQ(call(&Stub::DeleteSweep, remove, &removed).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  v1::CancelSweepRequest cancel;
  cancel.set_name("s");
  v1::CancelSweepResponse cancelled;
  ASSERT_TRUE(call(&Stub::CancelSweep, cancel, &cancelled).ok());
  ASSERT_TRUE(Eventually([&] { return Sweep().sweep().runs_cancelled() == 4; }));
  const std::string first = worker_->RunDir({1, 1, ""});
  const std::string second = worker_->RunDir({2, 1, ""});
  ASSERT_TRUE(fs::is_directory(first) && fs::is_directory(second));
  // Of the second one the directory is another run's, as its run.json says.
  std::string other = ReadFile(second + "/run.json").value();
  const size_t seed = other.find("\"seed\"");
  ASSERT_NE(seed, std::string::npos);
  other.insert(other.find(':', seed) + 1, " 9");
  ASSERT_TRUE(WriteFileAtomically(second + "/run.json", other).ok());

  const grpc::Status status = call(&Stub::DeleteSweep, remove, &removed);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(removed.runs(), 4);
  EXPECT_EQ(removed.run_directories(), 2);
  EXPECT_EQ(removed.unreachable_directories(), 0);
  EXPECT_TRUE(Eventually([&] { return !fs::exists(first); })) << worker_->output();
  EXPECT_TRUE(Eventually([&] {
    return worker_->output().find("is not that of the deleted run") != std::string::npos;
  }));
  EXPECT_TRUE(fs::is_directory(second));
  for (const auto& entry : fs::directory_iterator(fs::path(first).parent_path())) {
    EXPECT_EQ(entry.path().string().find(".deleted-"), std::string::npos) << entry.path();
  }
  // The name is free, and its runs are others.
  Submit();
  ASSERT_TRUE(Eventually([&] { return StepsDone() > 0; }));
  EXPECT_EQ(Sweep().runs(0).run_id(), 5);
}

// Whoever started the worker may have left this signal ignored.
TEST_F(RealCoordinatorTest, TrainersAreWaitedForWhereTheParentIgnoresTheirEnds) {
  worker_->wrapper = {"/bin/sh", "-c", "trap '' CHLD; exec \"$0\" \"$@\""};
  Submit();
  worker_->Start();
  ExpectEveryRunEndsWithItsWholeCurve();
}

}  // namespace
}  // namespace allometry::testing
