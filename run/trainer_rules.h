// What the records of a command of the sweep file must keep to (docs/trainer.md). Our own trainer
// keeps to more; a stranger's is told, in a sentence, before a wrong number is stored.
//
//   numerics    the contract's major version is ours; params is that of the sweep file's size
//   point       0 <= step <= steps; the steps of a series ascend; of `train` and `heldout`:
//               tokens = step * batch_tokens, and the value is finite (otherwise DIVERGED)
//   checkpoint  1 <= step <= steps, named as run_spec.h says, of this attempt, with its hash
//   exit        SUCCEEDED only at the last step, with the held-out loss of every evaluation step
//               after the start
//
// Pure. One attempt's records, in order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "run/run_spec.h"
#include "run/spool.h"

namespace allometry::run {

inline constexpr char kContractVersion[] = "1.1";
inline constexpr char kContractMajor[] = "1";

class TrainerRules {
 public:
  explicit TrainerRules(RunSpec spec);

  // The end of the attempt that the record breaks a rule of; nothing: it breaks none.
  std::optional<ExitRecord> Check(const Record& record);

 private:
  std::string Problem(const ExecutionConfig& numerics) const;
  std::string Problem(const Point& point);
  std::string Problem(const CheckpointRecord& checkpoint) const;
  std::string Problem(const ExitRecord& exit) const;
  std::string Problem(const UnknownRecord&) const { return ""; }

  const RunSpec spec_;
  int64_t params_ = 0;  // of the sweep file; 0: not known
  std::set<int64_t> awaited_;
  std::map<std::string, int64_t> last_step_;  // by series
  bool diverged_ = false;
};

// Whether the command can do `what`: "resume", "branch", "evaluation_steps".
bool CanDo(const Trainer& trainer, absl::string_view what);

}  // namespace allometry::run
