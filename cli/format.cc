#include "cli/format.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "coordinator/sweep/number.h"
#include "proto/run_choices.h"

namespace allometry::cli {

std::string Short(double value) {
  const char* const units[] = {"", "k", "M", "G", "T", "P"};
  int unit = 0;
  while (std::abs(value) >= 999.5 && unit < 5) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.*f%s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
}

std::string Scientific(double value) {
  std::string text = absl::StrFormat("%.2e", value);
  // "3.00e+12" reads better as "3.00e12".
  if (const size_t plus = text.find("e+"); plus != std::string::npos) text.erase(plus + 1, 1);
  return text;
}

std::string PlainNumbers(const std::string& text) {
  std::vector<std::string> items;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    std::vector<std::string> ends;
    for (const absl::string_view end : absl::StrSplit(item, "..")) {
      const absl::StatusOr<double> number = sweep::ParseNumber(absl::StripAsciiWhitespace(end));
      ends.push_back(number.ok() ? absl::StrFormat("%.17g", *number) : std::string(end));
    }
    items.push_back(absl::StrJoin(ends, ".."));
  }
  return absl::StrJoin(items, ",");
}

std::string CheckAboveZero(const std::string& text) {
  double value = 0;
  if (absl::SimpleAtod(text, &value) && std::isfinite(value) && value > 0) return "";
  return absl::StrCat("'", text, "' is not a number above 0");
}

std::string Duration(double seconds) {
  if (!(seconds >= 0)) return "?";
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return absl::StrFormat("%ds", whole);
  if (whole < 3600) return absl::StrFormat("%dm %02ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh %02dm", whole / 3600, whole % 3600 / 60);
}

std::string LocalTime(int64_t unix_us) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixMicros(unix_us), absl::LocalTimeZone());
}

std::string Grouped(int64_t value) {
  std::string digits = absl::StrCat(value < 0 ? -value : value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(at, ",");
  return absl::StrCat(value < 0 ? "-" : "", digits);
}

std::string WouldAdd(const std::string& change) {
  return absl::StrCat(absl::StartsWith(change, "left out:") ? "" : "would add: ", change);
}

std::string Loss(double nats) {
  // A vocabulary of a million tokens guessed blindly has 14 nats.
  constexpr double kDivergedNats = 1e4;
  if (!(nats <= kDivergedNats)) return "diverged";
  return nats == 0 ? "-" : absl::StrFormat("%.4f", nats);
}

std::string DeviceHours(const v1::Sweep& sweep) {
  const double used = sweep.device_seconds() / 3600;
  if (sweep.max_device_hours() <= 0) return absl::StrFormat("%.3g device-hours used", used);
  return absl::StrFormat("%.3g of %.4g device-hours used (limits.max_device_hours)", used,
                         sweep.max_device_hours());
}

std::string StateWord(const v1::Run& run) {
  switch (run.state()) {
    case v1::PENDING:
      return "waiting";
    case v1::LEASED:
      return run.step() == 0 && run.tokens_per_second() == 0 ? "starting" : "running";
    case v1::RUN_SUCCEEDED:
      return "done";
    case v1::RUN_FAILED:
      return absl::StrCat("failed: ", v1::ExitReason_Name(run.failure()));
    case v1::RUN_CANCELLED:
      return "cancelled";
    default:
      return "unknown";
  }
}

std::string SizeWord(const v1::Run& run) {
  const v1::RunIdentity& identity = run.spec().identity();
  if (StageOf(run) == run::Stage::kTokenizer)
    return absl::StrCat("tokenizer ", identity.shape().family());
  if (StageOf(run) == run::Stage::kEvaluate) return absl::StrCat(run.size(), " evaluation");
  if (StageOf(run) == run::Stage::kLadder) {
    return absl::StrFormat("%s rate %.4g", run.size(), identity.learning_rate());
  }
  if (IsTrunk(run.spec())) return absl::StrCat(run.size(), " trunk");
  if (ScheduleOf(identity) == run::Schedule::kWsd) {
    return absl::StrFormat("%s from %d", run.size(), identity.decay_begin());
  }
  return ScheduleOf(identity) == run::Schedule::kCosine ? absl::StrCat(run.size(), " cosine")
                                                        : run.size();
}

std::string Columns(const std::vector<std::vector<std::string>>& rows,
                    const std::vector<bool>& left, int indent) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string padding(widths[i] - row[i].size(), ' ');
      const bool is_left = i < left.size() && left[i];
      absl::StrAppend(&line, is_left ? row[i] : padding, is_left ? padding : row[i]);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

std::string StagesText(const v1::Sweep& sweep) {
  std::string text;
  for (const v1::StageResult& stage : sweep.stages()) {
    absl::StrAppend(&text, "  stage ", stage.name(), stage.done() ? " (done): " : ": ",
                    stage.rule(), "\n");
    for (const std::string& line : stage.lines()) absl::StrAppend(&text, "    ", line, "\n");
  }
  return text;
}

bool StagesDone(const v1::Sweep& sweep) {
  return std::all_of(sweep.stages().begin(), sweep.stages().end(),
                     [](const v1::StageResult& stage) { return stage.done(); });
}

bool ServedItsPurpose(const v1::Run& run) {
  return run.state() == v1::RUN_SUCCEEDED ||
         (StageOf(run) == run::Stage::kLadder && run.failure() == v1::DIVERGED);
}

std::string WhyWord(const v1::Run& run) {
  const absl::string_view reason = absl::StripTrailingAsciiWhitespace(run.reason());
  if (run.state() != v1::RUN_FAILED) return std::string(reason.substr(0, reason.find('\n')));
  const size_t last = reason.rfind('\n');
  return std::string(absl::StripAsciiWhitespace(
      last == absl::string_view::npos ? reason : reason.substr(last + 1)));
}

std::string RunsTable(const std::vector<v1::Run>& runs) {
  std::set<int64_t> seeds, ranks;
  std::set<double> rates;
  for (const v1::Run& run : runs) {
    seeds.insert(run.spec().identity().seed());
    rates.insert(run.spec().identity().learning_rate());
    ranks.insert(run.spec().ranks());
  }
  struct Column {
    const char* title;
    bool shown, left;
    std::function<std::string(const v1::Run&)> text;
  };
  // What all runs have alike tells none apart.
  const std::vector<Column> columns = {
      {"run", true, false, [](const v1::Run& run) { return absl::StrCat(run.run_id()); }},
      {"size", true, true, SizeWord},
      {"params", true, false, [](const v1::Run& run) { return Grouped(run.n_params()); }},
      {"seed", seeds.size() > 1, false,
       [](const v1::Run& run) { return absl::StrCat(run.spec().identity().seed()); }},
      {"rate", rates.size() > 1, false,
       [](const v1::Run& run) {
         return absl::StrFormat("%.3g", run.spec().identity().learning_rate());
       }},
      {"ranks", ranks.size() > 1, false,
       [](const v1::Run& run) { return absl::StrCat(run.spec().ranks()); }},
      {"tokens", true, false,
       [](const v1::Run& run) {
         return Short(static_cast<double>(run.spec().steps()) *
                      static_cast<double>(run.spec().identity().batch_tokens()));
       }},
      {"state", true, true, StateWord},
      {"step", true, false, [](const v1::Run& run) { return Grouped(run.step()); }},
      {"of", true, false, [](const v1::Run& run) { return Grouped(run.spec().steps()); }},
      {"tok/s", true, false,
       [](const v1::Run& run) {
         return run.state() == v1::LEASED && run.tokens_per_second() > 0
                    ? Short(run.tokens_per_second())
                    : "-";
       }},
      {"train", true, false, [](const v1::Run& run) { return Loss(run.last_train_loss()); }},
      {"held-out", true, false, [](const v1::Run& run) { return Loss(run.last_heldout_loss()); }},
      {"why", true, true, WhyWord}};
  std::vector<std::vector<std::string>> rows(runs.size() + 1);
  std::vector<bool> left;
  for (const Column& column : columns) {
    if (!column.shown) continue;
    left.push_back(column.left);
    rows[0].emplace_back(column.title);
    for (size_t k = 0; k < runs.size(); ++k) rows[k + 1].push_back(column.text(runs[k]));
  }
  return Columns(rows, left);
}

}  // namespace allometry::cli
