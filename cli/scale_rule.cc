#include "cli/scale_rule.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace allometry::cli {
namespace {

constexpr int kFailuresToPause = 3;

bool IsQueued(const std::string& state) {
  return state == "PENDING" || state == "CONFIGURING" || state == "REQUEUED" ||
         state == "REQUEUE_HOLD";
}
bool HasNodes(const std::string& state) {
  return state == "RUNNING" || state == "COMPLETING" || state == "SUSPENDED";
}
bool HasFailed(const std::string& state) {
  return state == "FAILED" || state == "BOOT_FAIL" || state == "OUT_OF_MEMORY";
}

}  // namespace

ScaleDecision DecideScale(const std::map<int64_t, SlurmJob>& jobs, int64_t waiting_runs,
                          int64_t failures_forgiven, const ScaleLimits& limits) {
  int nodes = 0, queued = 0, failures = 0;
  for (const auto& [id, job] : jobs) {
    if (IsQueued(job.state)) ++queued;
    if (IsQueued(job.state) || HasNodes(job.state)) nodes += job.nodes;
    if (id <= failures_forgiven || IsQueued(job.state)) continue;
    failures = HasFailed(job.state) ? failures + 1 : 0;
  }
  if (failures >= kFailuresToPause) {
    return {false, true, absl::StrFormat("the last %d worker jobs failed", failures)};
  }
  if (waiting_runs < limits.backlog) {
    return {false, false, absl::StrFormat("%d runs wait", waiting_runs)};
  }
  if (nodes >= limits.max_nodes) {
    return {false, false,
            absl::StrFormat("%d runs wait, all %d nodes are in use or asked for", waiting_runs,
                            limits.max_nodes)};
  }
  if (queued > 0) {
    return {false, false, absl::StrFormat("%d runs wait, a job is in the queue", waiting_runs)};
  }
  return {true, false,
          absl::StrFormat("%d runs wait, %d of %d nodes are in use", waiting_runs, nodes,
                          limits.max_nodes)};
}

absl::StatusOr<std::map<int64_t, SlurmJob>> ParseQueue(absl::string_view text) {
  std::map<int64_t, SlurmJob> jobs;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, '|');
    int64_t id = 0;
    SlurmJob job;
    // An array's job is "17_3".
    if (fields.size() != 3 || !absl::SimpleAtoi(fields[0].substr(0, fields[0].find('_')), &id) ||
        !absl::SimpleAtoi(fields[2], &job.nodes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("squeue said '", line, "', which is no ID|STATE|NODES"));
    }
    job.state = fields[1];
    jobs[id] = job;
  }
  return jobs;
}

}  // namespace allometry::cli
