// Loss points durable a second into the store, without gRPC, and the reads that people wait for.
//
//   build/bench/store [--points 2000000] [--streams 8] [--batch 500] [--folder DIR]
//
// Points of every stream become durable in batches of `batch`, two series a step as a trainer
// writes them, with at most four batches of a stream under way. Prints one line a number.
#include "coordinator/store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/mutex.h"

namespace allometry::store {
namespace {

using Timer = std::chrono::steady_clock;

double Seconds(Timer::time_point since) {
  return std::chrono::duration<double>(Timer::now() - since).count();
}

// CPU time of the thread: what stays the same on a busy machine.
double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Arguments {
  int points = 2'000'000;
  int streams = 8;
  int batch = 500;
  std::string folder;
};

// One attempt that sends batches and keeps at most four under way.
class Stream {
 public:
  Stream(Store& store, v1::Lease lease) : store_(store), lease_(std::move(lease)) {}

  void Send(int points, int batch_size) {
    for (int sent = 0; sent < points; sent += batch_size) {
      v1::RecordBatch batch;
      *batch.mutable_lease() = lease_;
      for (int i = 0; i < batch_size; ++i) AddPoint(batch);
      {
        MutexLock lock(mutex_);
        while (under_way_ == 4) changed_.Wait(lock);
        ++under_way_;
      }
      const Timer::time_point begun = Timer::now();
      store_.Append(std::move(batch), [this, begun](absl::StatusOr<v1::RecordAck> ack) {
        ALLO_CHECK(ack.ok() && !ack->stale()) << ack.status();
        MutexLock lock(mutex_);
        --under_way_;
        ack_ms_.push_back(1000 * Seconds(begun));
        changed_.NotifyAll();
      });
    }
    MutexLock lock(mutex_);
    while (under_way_ > 0) changed_.Wait(lock);
  }

  const std::vector<double>& ack_ms() const { return ack_ms_; }  // after Send

 private:
  void AddPoint(v1::RecordBatch& batch) {
    v1::Record& record = *batch.add_records();
    record.set_sequence(++sequence_);
    v1::Point& point = *record.mutable_point();
    point.set_step(static_cast<int64_t>((sequence_ + 1) / 2));
    point.set_tokens(point.step() * 4096);
    point.set_series(sequence_ % 2 == 0 ? "grad_norm" : "train");
    point.set_value(4.0 / static_cast<double>(sequence_));
  }

  Store& store_;
  const v1::Lease lease_;
  uint64_t sequence_ = 0;
  Mutex mutex_;
  ConditionVariable changed_;
  int under_way_ ALLO_GUARDED_BY(mutex_) = 0;
  std::vector<double> ack_ms_;
};

Submission MakeSubmission(const std::string& name, int runs) {
  Submission submission;
  submission.sweep.set_name(name);
  submission.dataset = {"0000000000000001", "text", "{}", 1'000'000};
  for (int i = 0; i < runs; ++i) {
    v1::Run run;
    run.set_key(absl::StrCat("run-", i));
    run.set_size(absl::StrCat(i, "k"));
    run.mutable_spec()->set_ranks(1);
    run.mutable_spec()->set_steps(10'000'000);
    for (int step = 1; step <= 100; ++step) run.mutable_spec()->add_evaluation_steps(step * 100);
    submission.new_runs.push_back(run);
    NewCell added;
    added.run_key = run.key();
    added.cell.set_step(10'000);
    submission.new_cells.push_back(added);
  }
  return submission;
}

// The least of ten, which is what the read costs, and the middle, which is what a busy machine
// makes of it.
template <class Read>
void BenchRead(const std::string& what, double target_ms, Read read) {
  std::vector<double> wall_ms, cpu_ms;
  size_t items = 0;
  for (int i = 0; i < 10; ++i) {
    const Timer::time_point begun = Timer::now();
    const double cpu = CpuSeconds();
    items = read();
    cpu_ms.push_back(1000 * (CpuSeconds() - cpu));
    wall_ms.push_back(1000 * Seconds(begun));
  }
  std::sort(wall_ms.begin(), wall_ms.end());
  std::sort(cpu_ms.begin(), cpu_ms.end());
  absl::PrintF("%s of %d: %.1f ms, median %.1f ms, CPU %.1f ms (target %.0f ms)\n", what, items,
               wall_ms[0], wall_ms[5], cpu_ms[0], target_ms);
}

void BenchReads(Store& store, int64_t run_id) {
  BenchRead("curve, points", 20, [&] {
    const auto curve = store.Curve(run_id, "train");
    ALLO_CHECK(curve.ok());
    return curve->size();
  });
  ALLO_CHECK(store.Submit(MakeSubmission("large", 10'000)).ok());
  BenchRead("sweep, runs", 50, [&] {
    const auto sweep = store.GetSweep("large");
    ALLO_CHECK(sweep.ok());
    return sweep->runs.size();
  });
  BenchRead("list of sweeps", 50, [&] {
    const auto sweeps = store.ListSweeps();
    ALLO_CHECK(sweeps.ok());
    return sweeps->size();
  });
}

void Bench(const Arguments& arguments) {
  const std::string path = arguments.folder + "/bench.db";
  Options options;
  std::atomic<int> commits = 0;
  options.committed = [&commits](absl::Span<const RunRow>) { ++commits; };
  auto store = Store::Open(path, options);
  ALLO_CHECK(store.ok()) << store.status();
  ALLO_CHECK((*store)->Submit(MakeSubmission("bench", arguments.streams)).ok());
  v1::RegisterRequest agent;
  agent.set_agent_id("a");
  agent.set_host("host");
  agent.set_run_root_id("root");
  ALLO_CHECK((*store)->RegisterAgent(agent, {}).ok());
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 1; i <= arguments.streams; ++i) {
    auto attempt = (*store)->StartAttempt(i, "a", {});
    ALLO_CHECK(attempt.ok()) << attempt.status();
    streams.push_back(std::make_unique<Stream>(**store, attempt->lease));
  }
  commits = 0;
  const Timer::time_point begun = Timer::now();
  std::vector<std::thread> threads;
  for (const auto& stream : streams) {
    threads.emplace_back(
        [&] { stream->Send(arguments.points / arguments.streams, arguments.batch); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Seconds(begun);
  std::vector<double> ack_ms;
  for (const auto& stream : streams) {
    ack_ms.insert(ack_ms.end(), stream->ack_ms().begin(), stream->ack_ms().end());
  }
  std::sort(ack_ms.begin(), ack_ms.end());
  absl::PrintF(
      "%d streams, batches of %d: %.0f points/s durable, %d commits, ack p50 %.1f ms, "
      "p99 %.1f ms\n",
      arguments.streams, arguments.batch, arguments.points / seconds, commits.load(),
      ack_ms[ack_ms.size() / 2], ack_ms[ack_ms.size() * 99 / 100]);
  BenchReads(**store, 1);
}

}  // namespace
}  // namespace allometry::store

int main(int argc, char** argv) {
  allometry::store::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    bool known = true;
    if (name == "--points") {
      known = absl::SimpleAtoi(argv[i + 1], &arguments.points);
    } else if (name == "--streams") {
      known = absl::SimpleAtoi(argv[i + 1], &arguments.streams);
    } else if (name == "--batch") {
      known = absl::SimpleAtoi(argv[i + 1], &arguments.batch);
    } else if (name == "--folder") {
      arguments.folder = argv[i + 1];
    } else {
      known = false;
    }
    if (!known) {
      absl::FPrintF(stderr, "%s %s: allowed are --points, --streams, --batch and --folder\n", name,
                    argv[i + 1]);
      return 2;
    }
  }
  std::string temporary;
  if (arguments.folder.empty()) {
    temporary = (std::filesystem::temp_directory_path() / "allo-bench-XXXXXX").string();
    ALLO_CHECK(mkdtemp(temporary.data()) != nullptr);
    arguments.folder = temporary;
  }
  allometry::store::Bench(arguments);
  if (!temporary.empty()) std::filesystem::remove_all(temporary);
  return 0;
}
