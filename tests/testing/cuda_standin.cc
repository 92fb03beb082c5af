// The part of the CUDA runtime that worker/comm/nccl.cc and worker/trainer/batch_feed_cuda.cc call,
// on host memory, so that they run unchanged where there is no GPU. A stand-in for tests: nothing
// here has run on a GPU. Kept of the real one is what order depends on:
//
//   * A call returns at once; a stream's work is done later, in order, by a thread of its own. The
//     null stream is one of them, and no other stream waits for it.
//   * An event is a point in a stream; a stream that waits for it goes on when it has been passed.
//     Waiting for an event that was never recorded does nothing.
//   * What a capture takes in from other streams must be joined by its own again.
//   * A copy of pageable host memory reads it before the call returns; of pinned memory it is read
//     when the stream comes to it.
//
//   STANDIN_GPUS=1             so many GPUs are seen by each rank; 8 unless said
//   STANDIN_FAIL=malloc@0      this call fails on this rank
#include "tests/testing/cuda_standin.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "worker/comm/collective.h"

// How the CUDA runtime declares its handles.
// One at a time, of one thread; streams whose work it takes in, with how much of that its own
// stream follows.
struct Capture {
  cudaStream_t origin = nullptr;
  struct Taken {
    size_t works = 0;
    size_t followed = 0;
  };
  std::map<cudaStream_t, Taken> streams;
  std::vector<std::function<void()>> works;  // of all of them, in the order of the calls
};
std::unique_ptr<Capture> capture;
std::vector<std::function<void()>> captured;

struct CUstream_st {
  void Enqueue(std::function<void()> work) {
    if (capture != nullptr && capture->streams.count(this) > 0) {
      ++capture->streams[this].works;
      capture->works.push_back(std::move(work));
      return;
    }
    const std::lock_guard lock(mutex);
    if (!thread.joinable()) thread = std::thread([this] { Work(); });
    works.push_back(std::move(work));
    changed.notify_all();
  }
  bool IsEmpty() {
    const std::lock_guard lock(mutex);
    return works.empty();
  }
  void WaitUntilEmpty() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return works.empty(); });
  }
  void Work() {
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return !works.empty(); });
        work = works.front();
      }
      work();
      const std::lock_guard lock(mutex);
      works.pop_front();
      changed.notify_all();
    }
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> works;
  std::thread thread;  // outlives main
};

// Counts how often it was recorded and how often a stream came to such a point.
struct CUevent_st {
  std::mutex mutex;
  std::condition_variable changed;
  int recorded = 0;
  int passed = 0;
  // Recorded in a capture: on this stream, after so many of its works.
  cudaStream_t captured_on = nullptr;
  size_t captured_works = 0;
};

namespace {

// Handles are never freed: a stream's thread may still look at them.
CUstream_st& StreamOf(cudaStream_t stream) {
  static CUstream_st* const null_stream = new CUstream_st;
  return stream != nullptr ? *stream : *null_stream;
}

std::mutex pinned_mutex;
std::map<const char*, size_t> pinned;

bool IsPinned(const void* memory) {
  const std::lock_guard lock(pinned_mutex);
  const auto* at = static_cast<const char*>(memory);
  auto next = pinned.upper_bound(at);
  if (next == pinned.begin()) return false;
  --next;
  return at < next->first + next->second;
}

std::atomic<int> slow_copies_us = 0;

}  // namespace

bool StandinAsked(const char* variable, const std::string& call) {
  const char* text = std::getenv(variable);
  return text != nullptr && text == call + "@" + std::to_string(allometry::comm::LaunchedRank());
}
void StandinEnqueue(cudaStream_t stream, std::function<void()> work) {
  StreamOf(stream).Enqueue(std::move(work));
}
void StandinWait(cudaStream_t stream) { StreamOf(stream).WaitUntilEmpty(); }
void StandinBeginCapture(cudaStream_t stream) {
  capture = std::make_unique<Capture>();
  capture->origin = &StreamOf(stream);
  capture->streams[capture->origin] = {};
}
cudaError_t StandinEndCapture(cudaStream_t) {
  const std::unique_ptr<Capture> ended = std::exchange(capture, nullptr);
  for (const auto& [other, taken] : ended->streams) {
    if (other != ended->origin && taken.followed < taken.works)
      return cudaErrorStreamCaptureUnjoined;
  }
  captured = ended->works;
  return cudaSuccess;
}
void StandinReplay(cudaStream_t stream) {
  for (const auto& work : captured) StreamOf(stream).Enqueue(work);
}
void StandinSlowCopies(int most_us) { slow_copies_us = most_us; }

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  const char* text = std::getenv("STANDIN_GPUS");
  *count = text != nullptr ? std::atoi(text) : 8;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "out of memory";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (StandinAsked("STANDIN_FAIL", "malloc")) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  StandinWait(nullptr);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned int) {
  if (StandinAsked("STANDIN_FAIL", "host_alloc")) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  const std::lock_guard lock(pinned_mutex);
  pinned[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  {
    const std::lock_guard lock(pinned_mutex);
    pinned.erase(static_cast<const char*>(memory));
  }
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const auto copy = [to, bytes](const void* source) {
    // Half, a pause, half: whoever reads or writes too early is seen.
    static thread_local unsigned int seed = 1;
    const int most = slow_copies_us;
    std::memcpy(to, source, bytes / 2);
    if (most > 0) std::this_thread::sleep_for(std::chrono::microseconds(rand_r(&seed) % most));
    std::memcpy(static_cast<char*>(to) + bytes / 2, static_cast<const char*>(source) + bytes / 2,
                bytes - bytes / 2);
  };
  if (kind == cudaMemcpyHostToDevice && !IsPinned(from)) {
    const std::string taken(static_cast<const char*>(from), bytes);
    StandinEnqueue(stream, [copy, taken] { copy(taken.data()); });
  } else {
    StandinEnqueue(stream, [copy, from] { copy(from); });
  }
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (capture != nullptr) return cudaErrorStreamCaptureUnsupported;
  return StreamOf(stream).IsEmpty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->captured_on = nullptr;
  if (capture != nullptr && capture->streams.count(&StreamOf(stream)) > 0) {
    event->captured_on = &StreamOf(stream);
    event->captured_works = capture->streams[event->captured_on].works;
    return cudaSuccess;
  }
  {
    const std::lock_guard lock(event->mutex);
    ++event->recorded;
  }
  StandinEnqueue(stream, [event] {
    const std::lock_guard lock(event->mutex);
    ++event->passed;
    event->changed.notify_all();
  });
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(event->mutex);
  return event->passed >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (event->captured_on != nullptr) {
    // Works are replayed in the order of the calls, which keeps what the event asks for.
    if (capture == nullptr) return cudaErrorStreamCaptureIsolation;
    capture->streams.try_emplace(&StreamOf(stream));
    Capture::Taken& taken = capture->streams[event->captured_on];
    if (&StreamOf(stream) == capture->origin)
      taken.followed = std::max(taken.followed, event->captured_works);
    return cudaSuccess;
  }
  int point = 0;
  {
    const std::lock_guard lock(event->mutex);
    point = event->recorded;
  }
  StandinEnqueue(stream, [event, point] {
    std::unique_lock lock(event->mutex);
    event->changed.wait(lock, [event, point] { return event->passed >= point; });
  });
  return cudaSuccess;
}

}  // extern "C"
