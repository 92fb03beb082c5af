#include "coordinator/services/run_remarks.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::coordinator {

absl::Status AddRemarks(const store::Store& store, const std::string& sweep,
                        google::protobuf::RepeatedPtrField<v1::Run>& runs) {
  // Most lists need neither.
  const auto any = [&](auto&& is) { return std::any_of(runs.begin(), runs.end(), is); };
  std::vector<store::ExecutionConfigChange> changes;
  if (any([](const v1::Run& run) { return run.attempt() > 1 || run.spec().inputs_size() > 0; })) {
    ALLO_ASSIGN_OR_RETURN(changes, store.ExecutionConfigChanges(sweep));
  }
  std::map<int64_t, std::string> words;
  if (any([](const v1::Run& run) { return run.state() == v1::RUN_FAILED; })) {
    ALLO_ASSIGN_OR_RETURN(words, store.FailureLogs(sweep));
  }
  std::map<int64_t, std::string> remarks;
  for (const store::ExecutionConfigChange& change : changes) {
    std::string& remark = remarks[change.run_id];
    absl::StrAppendFormat(&remark, "%snumerics changed at step %d: %s", remark.empty() ? "" : "; ",
                          change.step, change.what);
  }
  for (v1::Run& run : runs) {
    std::string reason = run.reason();
    if (const auto remark = remarks.find(run.run_id()); remark != remarks.end()) {
      absl::StrAppend(&reason, reason.empty() ? "" : "; ", remark->second);
    }
    if (const auto last = words.find(run.run_id()); last != words.end()) {
      // The first line is in the reason already.
      const size_t line = last->second.find('\n');
      if (line != std::string::npos) reason += last->second.substr(line);
    }
    run.set_reason(std::move(reason));
  }
  return absl::OkStatus();
}

}  // namespace allometry::coordinator
