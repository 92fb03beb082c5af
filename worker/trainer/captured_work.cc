#include "worker/trainer/captured_work.h"

#include <cstdlib>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

namespace allometry::trainer {

CapturedWork::CapturedWork(std::unique_ptr<GraphRecorder> recorder,
                           std::function<void(std::string)> say)
    : recorder_(std::move(recorder)), say_(std::move(say)) {}

absl::Status CapturedWork::Run(const std::function<absl::Status()>& enqueue) {
  if (captured_) return recorder_->Replay();
  if (recorder_ == nullptr || runs_++ < kWarmUps) return enqueue();
  const absl::Status captured = Capture(enqueue);
  if (captured.ok()) {
    captured_ = true;
    return recorder_->Replay();
  }
  // Nothing that was recorded has been done. A lost rank is not to be waited for again.
  if (absl::IsAborted(captured)) return captured;
  recorder_.reset();
  say_(absl::StrCat("updates are not captured as a graph, which makes small models slower: ",
                    captured.message()));
  return enqueue();
}

absl::Status CapturedWork::Capture(const std::function<absl::Status()>& enqueue) {
  ALLO_RETURN_IF_ERROR(recorder_->Begin());
  absl::Status work;
  try {  // LibTorch throws what cannot be captured, which is no failure of the run
    work = enqueue();
  } catch (const std::exception& error) {
    work = absl::InternalError(error.what());
  }
  const absl::Status ended = recorder_->End();
  return work.ok() ? ended : work;
}

bool EagerIsAsked() {
  const char* const text = std::getenv("ALLO_EAGER");
  return text != nullptr && std::string(text) == "1";
}

}  // namespace allometry::trainer
