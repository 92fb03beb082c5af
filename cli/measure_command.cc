#include "cli/measure_command.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "cli/scratch_folder.h"
#include "cli/trainer_attempt.h"
#include "proto/run_conversion.h"
#include "run/lease_line.h"
#include "run/spool.h"
#include "worker/agent/exit_verdict.h"
#include "worker/agent/trainer_process.h"

namespace allometry::cli {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

absl::StatusOr<cost::RunCost> MeasureOne(run::RunSpec spec, const std::string& folder,
                                         double seconds, const std::string& data_dir) {
  spec.attempt = 1;
  spec.log_every = 1;
  spec.start.reset();
  const std::string run_dir = folder + "/run-1";
  std::error_code error;
  std::filesystem::remove_all(run_dir, error);
  ALLO_ASSIGN_OR_RETURN(const StartedAttempt attempt, StartAttempt(spec, run_dir, data_dir));
  agent::TrainerProcess* const process = attempt.process.get();
  const Clock& clock = Clock::Real();
  const int64_t began = clock.BootNanos();
  const int64_t end = began + static_cast<int64_t>(seconds * kSecond);
  process->WriteLine(run::WriteLeaseLine(began, end + 60 * kSecond, began));
  run::SpoolReader reader(attempt.attempt_dir);
  int64_t first_step = -1, first_ns = 0, last_step = -1, last_ns = 0;
  for (bool ended = false; !ended && clock.BootNanos() < end;) {
    ended = process->Exited();
    ALLO_ASSIGN_OR_RETURN(const std::vector<run::Record> records, reader.Read(10'000));
    const int64_t now = clock.BootNanos();
    for (const run::Record& record : records) {
      const auto* point = std::get_if<run::Point>(&record.body);
      if (point == nullptr) continue;
      last_step = point->step;
      last_ns = now;
      if (first_step >= 0) continue;
      first_step = point->step;
      first_ns = now;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  process->Kill();
  while (!process->Gone()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (last_step <= first_step) {
    const std::string log = agent::LogTail(attempt.attempt_dir + "/log", 5);
    return absl::UnavailableError(absl::StrFormat("in %.0f s its command logged no two losses%s",
                                                  seconds, log.empty() ? "" : ": " + log));
  }
  cost::RunCost cost;
  cost.update_s =
      static_cast<double>(last_ns - first_ns) / 1e9 / static_cast<double>(last_step - first_step);
  cost.start_s = std::max(0.0, static_cast<double>(first_ns - began) / 1e9 -
                                   static_cast<double>(first_step) * cost.update_s);
  cost.source = absl::StrFormat("its command, measured on this machine for %.0f s", seconds);
  return cost;
}

}  // namespace

MeasuredCosts MeasureCommands(absl::Span<const v1::Run> runs, double seconds,
                              const MeasureOptions& options) {
  MeasuredCosts result;
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  const auto folder = ScratchFolder::Make("allo-measure");
  if (!folder.ok()) {
    result.problems.push_back(std::string(folder.status().message()));
    return result;
  }
  std::map<std::string, absl::StatusOr<cost::RunCost>> by_size;
  for (const v1::Run& run : runs) {
    auto found = by_size.find(run.size());
    if (found == by_size.end()) {
      if (options.progress) {
        options.progress(absl::StrFormat("measuring size %s for %.0f s", run.size(), seconds));
      }
      const absl::StatusOr<run::RunSpec> spec = ToRunSpec(run.spec());
      found = by_size
                  .emplace(run.size(), spec.ok() ? MeasureOne(*spec, (*folder)->path(), seconds,
                                                              options.data_dir)
                                                 : spec.status())
                  .first;
      if (found->second.ok()) {
        ++result.measured;
      } else {
        result.problems.push_back(absl::StrCat(
            "size ", run.size(), " was not measured: ", found->second.status().message()));
      }
    }
    if (found->second.ok()) result.costs[run.key()] = *found->second;
  }
  std::signal(SIGPIPE, pipe_before);
  return result;
}

}  // namespace allometry::cli
