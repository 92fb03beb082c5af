#include "coordinator/metrics/metrics_text.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace allometry::coordinator {
namespace {

// A label's value, in quotes.
std::string Quoted(const std::string& value) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
}

class Text {
 public:
  // Begins a metric; `type` is "gauge" or "counter".
  void Metric(const char* name, const char* type, const char* help) {
    name_ = name;
    absl::StrAppendFormat(&text_, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
  }
  void Sample(double value) { absl::StrAppendFormat(&text_, "%s %.17g\n", name_, value); }
  void Sample(const char* label, const std::string& of, double value) {
    absl::StrAppendFormat(&text_, "%s{%s=%s} %.17g\n", name_, label, Quoted(of), value);
  }
  void One(const char* name, const char* type, const char* help, double value) {
    Metric(name, type, help);
    Sample(value);
  }

  std::string Take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

void AddQueue(const store::Statistics& stored, const DispatchStatistics& now, Text& text) {
  text.Metric("allometry_runs", "gauge", "Runs of all sweeps by state.");
  for (const auto& [state, runs] : stored.runs) text.Sample("state", state, runs);
  text.One("allometry_queue_length", "gauge", "Runs that wait to be started.",
           stored.runs.at("PENDING"));
  text.One("allometry_workers", "gauge", "Connected workers.", now.workers);
  text.One("allometry_workers_not_taking_runs", "gauge",
           "Connected workers that are drained, back off or report a problem.",
           now.workers_without_work);
  text.One("allometry_slots", "gauge", "Slots of connected workers.", now.slots);
  text.One("allometry_slots_free", "gauge", "Slots that a worker reported free.", now.free_slots);
  text.One("allometry_heartbeat_age_seconds", "gauge",
           "Time since the worker that was silent longest was heard; 0 without workers.",
           now.heartbeat_age_s);
  text.One("allometry_leases_lost_total", "counter", "Leases that ran out.",
           static_cast<double>(now.leases_lost));
}

void AddDatabase(const store::Statistics& stored, Text& text) {
  text.One("allometry_points_total", "counter",
           "Points of curves that were stored; its rate is points per second.",
           static_cast<double>(stored.points_stored));
  text.One("allometry_database_bytes", "gauge", "Database and its write-ahead log on disk.",
           static_cast<double>(stored.database_bytes));
  text.One("allometry_database_unused_bytes", "gauge",
           "Part of the database that deletions left free for new rows.",
           static_cast<double>(stored.unused_bytes));
  text.One("allometry_disk_free_bytes", "gauge", "Free on the disk of the database.",
           static_cast<double>(stored.disk_free_bytes));
}

void AddSweeps(const store::Statistics& stored, int64_t now_unix_us, Text& text) {
  text.One("allometry_sweeps", "gauge", "Sweeps that are stored, archived ones included.",
           static_cast<double>(stored.sweeps));
  text.Metric("allometry_sweep_open_runs", "gauge", "Runs of the sweep that wait or run.");
  for (const store::SweepStatistics& sweep : stored.by_sweep) {
    text.Sample("sweep", sweep.name, static_cast<double>(sweep.open_runs));
  }
  text.Metric("allometry_sweep_failed_runs", "gauge", "Runs of the sweep that failed.");
  for (const store::SweepStatistics& sweep : stored.by_sweep) {
    text.Sample("sweep", sweep.name, static_cast<double>(sweep.failed_runs));
  }
  text.Metric("allometry_fit_age_seconds", "gauge",
              "Time since the newest stored fit of the sweep; of sweeps that have one.");
  for (const store::SweepStatistics& sweep : stored.by_sweep) {
    if (sweep.newest_fit_unix_us == 0) continue;
    text.Sample("sweep", sweep.name,
                static_cast<double>(now_unix_us - sweep.newest_fit_unix_us) / 1e6);
  }
}

}  // namespace

std::string MetricsText(const store::Statistics& stored, const DispatchStatistics& now,
                        int64_t start_unix_us, int64_t now_unix_us) {
  Text text;
  text.One("allometry_start_time_seconds", "gauge", "Unix time at which the coordinator started.",
           static_cast<double>(start_unix_us) / 1e6);
  AddQueue(stored, now, text);
  AddDatabase(stored, text);
  AddSweeps(stored, now_unix_us, text);
  return text.Take();
}

}  // namespace allometry::coordinator
