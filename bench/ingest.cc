// Loss points made durable over gRPC on loopback: points a second with 1, 8 and 64 streams, and
// the 99th percentile of the time to an ack at half of that load.
//
// The server is the real one over a real file; client and server share the machine's cores. Full
// load: every stream writes batches as fast as it may. Half load: every stream writes what has
// come together in 50 ms, as an agent does. Stalled: full load, but another program holds the
// database for three seconds; what waits for it is bounded by flow control, and the rise of the
// process's memory (both sides of the streams) is shown. Exit code 1 when a target is missed.
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/files.h"
#include "base/mutex.h"
#include "bench/text_manifest.h"
#include "coordinator/server.h"
#include "data/manifest.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "transport/agent_id.h"
#include "transport/connection.h"

namespace allometry {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double kTargetPointsPerSecond = 200'000;
constexpr double kTargetAckMs = 250;
constexpr int kRecordsABatch = 1000;
constexpr std::chrono::milliseconds kTick(50);
constexpr std::chrono::seconds kStall(3);
const char* const kSeries[] = {"train", "grad_norm", "learning_rate", "tokens_per_second"};

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// A coordinator over a new file with one attempt LEASED for each stream.
class Bench {
 public:
  Bench(const std::string& folder, int streams) {
    coordinator::Options options;
    options.db_path = db_path_ = absl::StrFormat("%s/ingest-%d.db", folder, streams);
    options.listen = absl::StrFormat("unix:%s/ingest-%d.sock", folder, streams);
    options.lease_ms = 3'600'000;
    auto server = coordinator::Server::Start(options);
    ALLO_CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    Submit(streams);
    Lease(streams);
  }

  std::unique_ptr<v1::WorkerService::Stub> NewStub() const {
    return v1::WorkerService::NewStub(NewChannel());
  }
  // Of an agent that registers for it: a session has one stream.
  std::string NewSession(int number) const {
    grpc::ClientContext context;
    v1::RegisterResponse registered;
    ALLO_CHECK(NewStub()
                   ->Register(&context, Registration(absl::StrCat("stream-", number)), &registered)
                   .ok());
    return registered.session();
  }
  const std::vector<v1::Lease>& leases() const { return leases_; }
  const std::string& db_path() const { return db_path_; }

 private:
  std::shared_ptr<grpc::Channel> NewChannel() const {
    const auto channel = transport::Connect({.address = server_->address()});
    ALLO_CHECK(channel.ok()) << channel.status();
    return *channel;
  }
  // With one slot.
  static v1::RegisterRequest Registration(const std::string& name) {
    v1::RegisterRequest request;
    request.set_agent_secret(name);
    request.set_agent_id(transport::AgentIdOf(name));
    request.set_life(name);
    request.set_host(name);
    request.set_run_root_id(name);
    request.add_slots()->set_host(name);
    request.mutable_slots(0)->set_device("cpu:0");
    return request;
  }

  void Submit(int streams) {
    std::vector<std::string> seeds;
    for (int i = 1; i <= streams; ++i) seeds.push_back(absl::StrCat(i));
    v1::CreateSweepRequest request;
    request.set_sweep_yaml(absl::StrFormat(
        "name: ingest\ndataset: bench-text\nmodel: {context: 16, sizes: [5k]}\n"
        "training: {batch_tokens: 16, warmup_steps: 1, learning_rate: 1e-3, seeds: [%s]}\n"
        "budgets: {tokens: [1000000000]}\n",
        absl::StrJoin(seeds, ",")));
    request.set_manifest_json(bench::TextManifestJson());
    grpc::ClientContext context;
    v1::CreateSweepResponse response;
    const grpc::Status status =
        v1::ClientService::NewStub(NewChannel())->CreateSweep(&context, request, &response);
    ALLO_CHECK(status.ok()) << status.error_message();
  }

  void Lease(int streams) {
    const auto stub = NewStub();
    v1::RegisterRequest request = Registration("bench");
    request.clear_slots();
    v1::HeartbeatRequest heartbeat;
    heartbeat.set_agent_id(request.agent_id());
    v1::Dataset dataset;
    dataset.set_name("bench-text");
    dataset.set_hash(data::ParseManifest(bench::TextManifestJson())->hash);
    *request.add_datasets() = dataset;
    *heartbeat.add_datasets() = dataset;
    for (int i = 0; i < streams; ++i) {
      v1::Slot slot;
      slot.set_host("bench");
      slot.set_device(absl::StrCat("cpu:", i));
      *request.add_slots() = slot;
      *heartbeat.add_free_slots() = slot;
    }
    grpc::ClientContext registering;
    v1::RegisterResponse registered;
    ALLO_CHECK(stub->Register(&registering, request, &registered).ok());
    heartbeat.set_session(registered.session());
    for (int i = 0; i < 100 && static_cast<int>(leases_.size()) < streams; ++i) {
      grpc::ClientContext context;
      v1::HeartbeatResponse response;
      ALLO_CHECK(stub->Heartbeat(&context, heartbeat, &response).ok());
      leases_.clear();
      for (const v1::Hold& hold : response.hold()) leases_.push_back(hold.lease());
    }
    ALLO_CHECK(static_cast<int>(leases_.size()) == streams) << leases_.size();
  }

  std::string db_path_;
  std::unique_ptr<coordinator::Server> server_;
  std::vector<v1::Lease> leases_;
};

// One stream of one attempt: a thread that writes, a thread that reads acks and times them.
class Stream {
 public:
  Stream(std::unique_ptr<v1::WorkerService::Stub> stub, const std::string& session,
         const v1::Lease& lease, uint64_t sent)
      : stub_(std::move(stub)), lease_(lease), sequence_(sent), durable_(sent) {
    context_.AddMetadata("allo-session", session);
    stream_ = stub_->StreamRecords(&context_);
    reader_ = std::thread([this] { ReadAcks(); });
  }

  void Send(int records) {
    v1::RecordBatch batch;
    *batch.mutable_lease() = lease_;
    batch.mutable_records()->Reserve(records);
    for (int i = 0; i < records; ++i) {
      v1::Record* record = batch.add_records();
      record->set_sequence(++sequence_);
      v1::Point* point = record->mutable_point();
      const auto step = static_cast<int64_t>((sequence_ + 3) / 4);
      point->set_step(step);
      point->set_tokens(step * 16);
      point->set_series(kSeries[sequence_ % 4]);
      point->set_value(4.0 / static_cast<double>(step));
    }
    {
      MutexLock lock(mutex_);
      waiting_.emplace_back(sequence_, SteadyClock::now());
    }
    ALLO_CHECK(stream_->Write(batch));
  }

  // Waits for the last ack; returns the sequence that is durable.
  uint64_t Finish() {
    stream_->WritesDone();
    reader_.join();
    const grpc::Status status = stream_->Finish();
    ALLO_CHECK(status.ok()) << status.error_message();
    ALLO_CHECK(durable_ == sequence_) << durable_ << " of " << sequence_;
    return durable_;
  }
  const std::vector<double>& ack_ms() const { return ack_ms_; }

 private:
  void ReadAcks() {
    v1::RecordAck ack;
    while (stream_->Read(&ack)) {
      ALLO_CHECK(!ack.stale() && ack.message().empty()) << ack.message();
      const auto now = SteadyClock::now();
      durable_ = ack.durable_sequence();
      MutexLock lock(mutex_);
      while (!waiting_.empty() && waiting_.front().first <= durable_) {
        ack_ms_.push_back(1000 * Seconds(now - waiting_.front().second));
        waiting_.pop_front();
      }
    }
  }

  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const v1::Lease lease_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RecordBatch, v1::RecordAck>> stream_;
  uint64_t sequence_;           // the writing thread's
  uint64_t durable_;            // the reading thread's
  std::vector<double> ack_ms_;  // the reading thread's
  Mutex mutex_;
  std::deque<std::pair<uint64_t, SteadyClock::time_point>> waiting_ ALLO_GUARDED_BY(mutex_);
  std::thread reader_;
};

struct Load {
  double points_per_second = 0;
  std::vector<double> ack_ms;  // ascending
};

// Every stream writes for `seconds`: as fast as it may, or at `points_per_second` in all.
Load Run(const Bench& bench, std::vector<uint64_t>& sent, double seconds,
         double points_per_second) {
  const size_t streams = bench.leases().size();
  std::vector<std::unique_ptr<Stream>> open;
  for (size_t i = 0; i < streams; ++i) {
    open.push_back(std::make_unique<Stream>(bench.NewStub(), bench.NewSession(static_cast<int>(i)),
                                            bench.leases()[i], sent[i]));
  }
  const auto begin = SteadyClock::now();
  const auto end = begin + std::chrono::duration<double>(seconds);
  std::vector<std::thread> writers;
  for (size_t i = 0; i < streams; ++i) {
    writers.emplace_back([&, i] {
      if (points_per_second <= 0) {
        while (SteadyClock::now() < end) open[i]->Send(kRecordsABatch);
        return;
      }
      const double of_a_stream = points_per_second / static_cast<double>(streams);
      std::this_thread::sleep_for(kTick * static_cast<int64_t>(i) / static_cast<int64_t>(streams));
      int64_t done = 0;
      for (auto tick = SteadyClock::now(); tick < end; tick += kTick) {
        std::this_thread::sleep_until(tick);
        const auto due = static_cast<int64_t>(of_a_stream * Seconds(tick - begin)) - done;
        if (due > 0) open[i]->Send(static_cast<int>(due));
        done += std::max<int64_t>(0, due);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  Load load;
  uint64_t points = 0;
  for (size_t i = 0; i < streams; ++i) {
    const uint64_t durable = open[i]->Finish();
    points += durable - sent[i];
    sent[i] = durable;
    load.ack_ms.insert(load.ack_ms.end(), open[i]->ack_ms().begin(), open[i]->ack_ms().end());
  }
  load.points_per_second = static_cast<double>(points) / Seconds(SteadyClock::now() - begin);
  std::sort(load.ack_ms.begin(), load.ack_ms.end());
  return load;
}

// The most that the process's resident memory rises over what it is at the begin.
class MemoryRise {
 public:
  MemoryRise() : before_(Resident()), sampler_([this] { Sample(); }) {}
  double Megabytes() {
    over_ = true;
    sampler_.join();
    return static_cast<double>(std::max<int64_t>(0, most_ - before_)) / 1e6;
  }

 private:
  static int64_t Resident() {
    const auto pages = ReadFile("/proc/self/statm");
    ALLO_CHECK(pages.ok()) << pages.status();
    const std::vector<std::string> fields = absl::StrSplit(*pages, ' ');
    return std::stoll(fields.at(1)) * sysconf(_SC_PAGESIZE);
  }
  void Sample() {
    while (!over_.load()) {
      most_ = std::max(most_, Resident());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  const int64_t before_;
  int64_t most_ = 0;
  std::atomic<bool> over_ = false;
  std::thread sampler_;
};

// Holds the database as a sqlite3 by hand may.
void HoldDatabase(const std::string& path, std::chrono::seconds time) {
  sqlite3* db = nullptr;
  ALLO_CHECK(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  sqlite3_busy_timeout(db, 5000);
  ALLO_CHECK(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  std::this_thread::sleep_for(time);
  ALLO_CHECK(sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

double Percentile(const std::vector<double>& ascending, double p) {
  if (ascending.empty()) return 0;
  return ascending[static_cast<size_t>(p * static_cast<double>(ascending.size() - 1))];
}

int Main(int argc, char** argv) {
  std::vector<int> streams = {1, 8, 64};
  double seconds = 5;
  std::string folder = std::filesystem::temp_directory_path().string();
  CLI::App app("Loss points made durable over gRPC on loopback", "ingest");
  app.add_option("--streams", streams, "how many at once")->delimiter(',')->capture_default_str();
  app.add_option("--seconds", seconds, "of each load")->capture_default_str();
  app.add_option("--dir", folder, "where the database is made: the disk that is measured")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const std::string place = folder + "/allo-ingest-" + RandomHex128();
  const absl::Status made = MakeDirectories(place);
  ALLO_CHECK(made.ok()) << made;
  bool met = true;
  std::cout << absl::StrFormat("%u cores; database in %s\n", std::thread::hardware_concurrency(),
                               folder)
            << "streams   points/s   half load: points/s   p50 ack ms   p99 ack ms"
               "   stalled: memory MB\n";
  for (const int count : streams) {
    const Bench bench(place, count);
    std::vector<uint64_t> sent(static_cast<size_t>(count), 0);
    const Load full = Run(bench, sent, seconds, 0);
    const Load half = Run(bench, sent, seconds, full.points_per_second / 2);
    const double p99 = Percentile(half.ack_ms, 0.99);
    MemoryRise memory;
    std::thread other(HoldDatabase, bench.db_path(), kStall);
    Run(bench, sent, 1 + Seconds(kStall), 0);
    other.join();
    std::cout << absl::StrFormat("%7d %10.0f %21.0f %12.1f %12.1f %20.0f\n", count,
                                 full.points_per_second, half.points_per_second,
                                 Percentile(half.ack_ms, 0.5), p99, memory.Megabytes())
              << std::flush;
    met = met && full.points_per_second >= kTargetPointsPerSecond && p99 <= kTargetAckMs;
  }
  std::filesystem::remove_all(place);
  std::cout << absl::StrFormat("target: %.0f points/s, p99 ack %.0f ms: %s\n",
                               kTargetPointsPerSecond, kTargetAckMs, met ? "met" : "missed");
  return met ? 0 : 1;
}

}  // namespace
}  // namespace allometry

int main(int argc, char** argv) { return allometry::Main(argc, argv); }
