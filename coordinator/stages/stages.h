// Moves sweeps from stage to stage: reads what the runs of a stage found, decides by its rule, and
// submits what comes next as an expansion that stores the decision with its inputs.
//
// There are two stages with decisions, never both in one file: the learning-rate ladder
// (ladder_stage.h) and frontier-aware stopping (stopping_stage.h). A decision is a pure function of
// stored rows, so it is the same whenever and however often it is taken: after a commit in which a
// run ended, at start, and after a submission. If another submission came in between (Aborted), the
// decision is taken again. A decision that is stored already changes nothing.
//
// Threading: any thread. A thread of this class takes the decisions after commits; Committed runs
// on the store's writer and only notes the sweeps. mutex_ is never held across a call of the store.
// deciding_ is held: one decision at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

// The expansion of a file given what its sweep has stored. With a ladder: the tuning runs that are
// asked for now, and the grid of the sizes whose rates are stored. With stopping: the cells that
// the stored decisions grant. `stages` receives the state of each stage.
absl::StatusOr<sweep::Expansion> ExpandAgainst(const sweep::SweepFile& file,
                                               const data::Manifest& manifest,
                                               const store::StoredSweep& stored,
                                               absl::Span<const std::string> decisions,
                                               std::vector<v1::StageResult>& stages);

class Stages {
 public:
  // `feed` outlives this; every decision is announced on it.
  explicit Stages(ChangeFeed& feed) : feed_(feed) {}
  ~Stages() { Stop(); }
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  // For store::Options::committed.
  void Committed(absl::Span<const store::RunRow> rows);
  // Takes every sweep's decisions, then starts the thread. Call once. `submitted` is called after
  // each submission, on the thread that made it. The store outlives this.
  absl::Status Start(store::Store& store, std::function<void()> submitted);
  // No decision after it.
  void Stop();

  // Takes the sweep's decisions now; OK if it has none to take.
  absl::Status Advance(const std::string& sweep);

  // As of the last decision.
  std::vector<v1::StageResult> Results(const std::string& sweep) const;
  // Whether a stage will add runs without a person: then a sweep without an open run has not ended.
  bool IsActive(const std::string& sweep) const;
  // How often a sweep file was parsed, in all.
  int64_t files_parsed() const { return files_parsed_; }

 private:
  struct State {
    std::vector<v1::StageResult> results;
    bool is_active = false;
  };

  // The parsed newest file of a sweep, kept because the thread looks at it every two seconds.
  struct Parsed {
    std::string text, manifest_json;
    sweep::SweepFile file;
    data::Manifest manifest;  // of a file with a stage
  };

  void Run();
  absl::StatusOr<State> Decide(const std::string& sweep, bool& submitted) ALLO_REQUIRES(deciding_);
  absl::StatusOr<const Parsed*> Parse(const std::string& sweep, const store::SweepSource& source)
      ALLO_REQUIRES(deciding_);

  ChangeFeed& feed_;
  // Constant after Start.
  store::Store* store_ = nullptr;
  std::function<void()> submitted_;

  Mutex deciding_;                                                   // before mutex_
  std::map<std::string, Parsed> parsed_ ALLO_GUARDED_BY(deciding_);  // as states_
  std::atomic<int64_t> files_parsed_ = 0;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::map<std::string, State> states_ ALLO_GUARDED_BY(mutex_);  // of sweeps that have a stage
  std::set<std::string> due_ ALLO_GUARDED_BY(mutex_);
  bool stopping_ ALLO_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace allometry::coordinator
