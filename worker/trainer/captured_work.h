// The device work of an update, which is the same every time but for the batch: enqueued piece by
// piece at first, then captured once and replayed as a whole.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::trainer {

// Records what is enqueued on a device instead of doing it (a CUDA graph).
class GraphRecorder {
 public:
  virtual ~GraphRecorder() = default;
  virtual absl::Status Begin() = 0;
  // Ends the recording, and after an error of the work throws it away.
  virtual absl::Status End() = 0;
  // Enqueues what was recorded.
  virtual absl::Status Replay() = 0;
};

class CapturedWork {
 public:
  // Enqueued as it is: libraries set themselves up and allocate at their first uses.
  static constexpr int kWarmUps = 3;
  // With more micro-batches an update is long enough for its launches not to count, and a graph of
  // it large.
  static constexpr int kMostMicroBatches = 16;

  // Without a recorder nothing is captured. `say` gets one sentence where a capture failed; the
  // work is then enqueued as it is for good.
  CapturedWork(std::unique_ptr<GraphRecorder> recorder, std::function<void(std::string)> say);

  // `enqueue` only enqueues work, and changes nothing on the host that a second call would not.
  absl::Status Run(const std::function<absl::Status()>& enqueue);
  bool captured() const { return captured_; }

 private:
  absl::Status Capture(const std::function<absl::Status()>& enqueue);

  std::unique_ptr<GraphRecorder> recorder_;
  const std::function<void(std::string)> say_;
  int runs_ = 0;
  bool captured_ = false;
};

// Whether ALLO_EAGER=1 asks that nothing is captured.
bool EagerIsAsked();

}  // namespace allometry::trainer
