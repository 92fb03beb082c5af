#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/foreign_text.h"
#include "coordinator/cost/plan.h"
#include "coordinator/cost/quantity.h"

namespace allometry::cost {
namespace {

constexpr size_t kColumns = 100;
constexpr size_t kMostRows = 200;
constexpr size_t kMostLabel = 12;

// Right-aligned columns but for the first, two spaces apart.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }

  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string Text() const {
    std::vector<size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    const size_t shown = std::min(rows_.size(), kMostRows + 1);
    for (size_t r = 0; r < shown; ++r) {
      std::string line = absl::StrFormat("%-*s", static_cast<int>(widths[0]), rows_[r][0]);
      for (size_t i = 1; i < rows_[r].size(); ++i) {
        absl::StrAppendFormat(&line, "  %*s", static_cast<int>(widths[i]), rows_[r][i]);
      }
      absl::StrAppend(&text, line, "\n");
    }
    if (shown < rows_.size()) {
      absl::StrAppend(&text, "... and ", rows_.size() - shown, " more\n");
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Label(const std::string& label) { return Shortened(label, kMostLabel); }

std::string EpochsText(double epochs) {
  return epochs < 1000 ? absl::StrFormat("%.3g", epochs) : CountText(epochs);
}

std::string Plural(size_t count, absl::string_view word) {
  return absl::StrCat(count, " ", word, count == 1 ? "" : "s");
}

// Breaks a sentence at spaces; lines after the first are indented by four.
std::string Wrapped(const std::string& sentence) {
  std::string text;
  std::string line = " ";
  for (const absl::string_view word : absl::StrSplit(sentence, ' ')) {
    if (line.size() + 1 + word.size() > kColumns && line.find_first_not_of(' ') != line.npos) {
      absl::StrAppend(&text, line, "\n");
      line = "   ";
    }
    absl::StrAppend(&line, " ", word);
  }
  return absl::StrCat(text, line, "\n");
}

std::string Summary(const SweepPlan& plan) {
  std::string text =
      absl::StrFormat("sweep %s on %s: %s, %s, ", plan.name, plan.dataset,
                      Plural(plan.runs.size(), "run"), Plural(plan.cells.size(), "cell"));
  if (plan.flops < plan.flops_whole) {
    absl::StrAppendFormat(&text, "%s of %s FLOPs still to be trained", FlopsText(plan.flops),
                          FlopsText(plan.flops_whole));
  } else {
    absl::StrAppendFormat(&text, "%s FLOPs", FlopsText(plan.flops));
  }
  if (plan.flops_saved > 0) {
    absl::StrAppendFormat(&text, " (cells that share a run save %s, %.0f %%)",
                          FlopsText(plan.flops_saved),
                          100 * plan.flops_saved / (plan.flops_whole + plan.flops_saved));
  }
  text = Wrapped(text).substr(2);
  absl::StrAppendFormat(&text, "N counts parameters by policy %s, FLOPs by convention %s\n",
                        plan.params_policy, run::NameOf(plan.flops_convention));
  return text;
}

std::string ModelTable(const SweepPlan& plan) {
  Table table({"size", "layers", "heads", "width", "N", "learning rate"});
  std::set<std::tuple<std::string, int, int, int, double>> shown;
  for (const PlannedRun& run : plan.runs) {
    if (!shown.insert({run.size, run.layers, run.heads, run.width, run.learning_rate}).second) {
      continue;
    }
    // Of models that are not ours only N is known.
    const auto count = [](int value) { return value > 0 ? absl::StrCat(value) : "-"; };
    table.Add({Label(run.size), count(run.layers), count(run.heads), count(run.width),
               absl::StrCat(run.params), absl::StrFormat("%.3g", run.learning_rate)});
  }
  return table.Text();
}

std::string RunTable(const SweepPlan& plan) {
  const auto any = [&](auto property) {
    return std::any_of(plan.runs.begin(), plan.runs.end(),
                       [&](const PlannedRun& run) { return run.new_work && property(run); });
  };
  const bool timed = any([](const PlannedRun& run) { return run.seconds.has_value(); });
  const bool goes_on = any([](const PlannedRun& run) { return run.from > 0; });
  std::vector<std::string> head = {"run",    "seed",   "devices", "cells", "steps",
                                   "tokens", "epochs", "FLOPs",   "memory"};
  if (goes_on) head.insert(head.begin() + 4, "from");
  if (timed) head.push_back("time");
  Table table(std::move(head));
  for (const PlannedRun& run : plan.runs) {
    if (!run.new_work) continue;
    std::vector<std::string> row = {Label(run.size),
                                    absl::StrCat(run.seed),
                                    absl::StrCat(run.ranks),
                                    absl::StrCat(run.cells),
                                    CountText(static_cast<double>(run.steps)),
                                    CountText(static_cast<double>(run.tokens)),
                                    EpochsText(run.epochs),
                                    FlopsText(run.flops),
                                    BytesText(run.memory_bytes)};
    if (goes_on) row.insert(row.begin() + 4, CountText(static_cast<double>(run.from)));
    if (timed) row.push_back(DurationText(run.seconds.value_or(-1)));
    table.Add(std::move(row));
  }
  std::string text = table.Text();
  if (plan.done_runs > 0) {
    absl::StrAppend(&text, Plural(plan.done_runs, "run"), " of ", plan.runs.size(),
                    plan.done_runs == 1 ? " trains" : " train", " nothing: done, or ended\n");
  }
  return text;
}

std::string CellTable(const SweepPlan& plan) {
  Table table({"cell", "N", "tokens asked", "tokens", "steps", "FLOPs", "epochs"});
  std::set<std::tuple<std::string, int64_t, int64_t>> shown;  // seeds and rates share a row
  for (const v1::Cell& cell : plan.cells) {
    if (!shown.insert({cell.size(), cell.params(), cell.step()}).second) continue;
    table.Add({Label(cell.size()), CountText(static_cast<double>(cell.params())),
               CountText(cell.asked_tokens()), CountText(static_cast<double>(cell.tokens())),
               CountText(static_cast<double>(cell.step())), FlopsText(cell.flops()),
               EpochsText(cell.epochs())});
  }
  return table.Text();
}

// "0.35 core-hours, done in 10m 40s on 2 slots; times: 5 runs measured, 2 cached"
std::string TimeText(const SweepPlan& plan) {
  std::map<std::string, int> sources;
  bool cpu = true;
  for (const PlannedRun& run : plan.runs) {
    if (!run.new_work) continue;
    cpu &= run.device == run::DeviceKind::kCpu;
    ++sources[run.time_source.empty() ? "not known" : run.time_source];
  }
  if (sources.empty() || (sources.size() == 1 && sources.contains("not known"))) return "";
  std::string text;
  if (plan.device_seconds) {
    absl::StrAppendFormat(&text, "%.3g %s-hours", *plan.device_seconds / 3600,
                          cpu ? "core" : "GPU");
    if (plan.makespan_seconds) {
      absl::StrAppend(&text, ", done in ", DurationText(*plan.makespan_seconds), " on ",
                      Plural(plan.slots, "slot"));
    }
    absl::StrAppend(&text, "; ");
  }
  absl::StrAppend(&text, "times of the runs: ");
  std::vector<std::string> parts;
  for (const auto& [source, count] : sources) {
    parts.push_back(
        absl::StrCat(count, " ", source == "pace" ? "from the coordinator's pace" : source));
  }
  return absl::StrCat(text, absl::StrJoin(parts, ", "));
}

}  // namespace

std::string PlanText(const SweepPlan& plan) {
  std::string text = absl::StrCat(Summary(plan), "\n", ModelTable(plan), "\n", RunTable(plan), "\n",
                                  CellTable(plan));
  if (!plan.left_out.empty()) {
    absl::StrAppend(&text, "\nleft out:\n");
    for (const std::string& sentence : plan.left_out) absl::StrAppend(&text, Wrapped(sentence));
  }
  if (!plan.impossible.empty()) {
    absl::StrAppend(&text, "\ncan never start:\n");
    for (const std::string& sentence : plan.impossible) absl::StrAppend(&text, Wrapped(sentence));
  }
  if (const std::string time = TimeText(plan); !time.empty()) {
    absl::StrAppend(&text, "\n", Wrapped(time).substr(2));
  }
  for (const PlanSection& section : plan.sections) {
    absl::StrAppend(&text, "\n", section.title, ":\n");
    for (const std::string& sentence : section.sentences) absl::StrAppend(&text, Wrapped(sentence));
  }
  return text;
}

}  // namespace allometry::cost
