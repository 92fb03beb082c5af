#include "cli/watch_screen.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/format.h"
#include "proto/run_choices.h"

namespace allometry::cli {
namespace {

using Message = v1::WatchSweepResponse;

constexpr int kShortestPart = 4, kLongestBar = 16, kLongestCurve = 24;
constexpr size_t kMostLosses = 512;  // of a run; every second is dropped beyond

double LossOf(const v1::Run& run) {
  return run.last_heldout_loss() > 0 ? run.last_heldout_loss() : run.last_train_loss();
}

double TokensLeft(const v1::Run& run) {
  return static_cast<double>(std::max<int64_t>(0, run.spec().steps() - run.step())) *
         static_cast<double>(run.spec().identity().batch_tokens());
}

bool IsOver(const v1::Run& run) {
  return run.state() == v1::RUN_SUCCEEDED || run.state() == v1::RUN_FAILED ||
         run.state() == v1::RUN_CANCELLED;
}

double ShareOf(const v1::Run& run) {
  const auto steps = static_cast<double>(run.spec().steps());
  return steps > 0 ? static_cast<double>(run.step()) / steps : 0;
}

std::string Percent(double share) {
  return absl::StrFormat("%d%%", static_cast<int>(std::floor(100 * std::clamp(share, 0.0, 1.0))));
}

std::string Rate(double tokens_per_second) {
  return tokens_per_second > 0 ? Short(tokens_per_second) : "-";
}

// What one line needs besides its bar and curve.
struct Row {
  std::vector<std::string> head;  // left of the bar
  std::string share, rate, loss, eta;
  double bar = 0;
  int64_t curve_of = 0;  // run id
};

// Width of the columns that rows take but for bars and curves, with gaps.
template <class Cell>
std::vector<size_t> Widths(const std::vector<Row>& rows, const Cell& cells) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    const std::vector<std::string> texts = cells(row);
    widths.resize(std::max(widths.size(), texts.size()));
    for (size_t i = 0; i < texts.size(); ++i) widths[i] = std::max(widths[i], texts[i].size());
  }
  return widths;
}

// The characters of a line that fit, cut between characters of UTF-8.
std::string CutTo(absl::string_view line, int columns) {
  int seen = 0;
  size_t end = 0;
  for (; end < line.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(line[end]) & 0xc0) != 0x80;
    if (begins && ++seen > columns) break;
  }
  return std::string(line.substr(0, end));
}

// Sentences in lines that fit, cut at spaces; what goes on is indented.
std::string Wrapped(absl::string_view text, int columns) {
  constexpr absl::string_view kIndent = "    ";
  const auto room = static_cast<size_t>(columns);
  std::string wrapped;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    std::string rest(line);
    while (rest.size() > room) {
      const size_t cut = rest.rfind(' ', room);
      // Not within the indentation, where nothing would be left of the line.
      if (cut == std::string::npos || cut <= rest.find_first_not_of(' ')) break;
      absl::StrAppend(&wrapped, rest.substr(0, cut), "\n");
      rest = absl::StrCat(kIndent, rest.substr(cut + 1));
    }
    absl::StrAppend(&wrapped, rest, "\n");
  }
  return wrapped;
}

// `title` names the columns of rows: those of head, then "", "tok/s", ...
std::string Lines(const Row& title, const std::vector<Row>& rows, int columns,
                  const std::function<std::string(int64_t, int)>& curve) {
  const auto cells = [](const Row& row) {
    std::vector<std::string> texts = row.head;
    for (const std::string& text : {row.share, row.rate, row.loss, row.eta}) texts.push_back(text);
    return texts;
  };
  std::vector<Row> all = {title};
  all.insert(all.end(), rows.begin(), rows.end());
  const std::vector<size_t> widths = Widths(all, cells);
  size_t used = 1;
  for (const size_t width : widths) used += width + 1;
  const int left = columns - static_cast<int>(used) - 2;
  const int bar = left < kShortestPart ? 0 : std::clamp(left / 2, kShortestPart, kLongestBar);
  const int tail = std::clamp(left - bar, 0, kLongestCurve);
  std::string text;
  for (const Row& row : all) {
    const bool is_title = &row == &all.front();
    const std::vector<std::string> texts = cells(row);
    std::string line;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (i == row.head.size() && bar > 0) {
        absl::StrAppend(&line, " ", is_title ? std::string(bar, ' ') : Bar(row.bar, bar));
      }
      const std::string padding(widths[i] - texts[i].size(), ' ');
      // Words to the left, numbers to the right; the first column is one of words.
      const bool is_left = i == 0;
      absl::StrAppend(&line, " ", is_left ? texts[i] : padding, is_left ? padding : texts[i]);
    }
    if (!is_title && tail >= kShortestPart) absl::StrAppend(&line, " ", curve(row.curve_of, tail));
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

int Waiting(const v1::Sweep& sweep) {
  return sweep.runs() - sweep.runs_succeeded() - sweep.runs_failed() - sweep.runs_cancelled() -
         sweep.runs_leased();
}

double ShareDone(const Message& message) {
  return message.flops_total() > 0 ? message.flops_done() / message.flops_total() : 0;
}

// Two lines: how far it is, and what its runs do.
std::string Head(const Message& message) {
  const v1::Sweep& sweep = message.sweep();
  std::string text =
      absl::StrFormat("%s  [%s] %s of %s FLOPs%s\n", sweep.name(), Bar(ShareDone(message), 20),
                      Percent(ShareDone(message)), Scientific(message.flops_total()),
                      message.eta_s() > 0 ? absl::StrCat("  ETA ", Duration(message.eta_s())) : "");
  absl::StrAppendFormat(&text, "  runs: %d running, %d waiting, %d done", sweep.runs_leased(),
                        Waiting(sweep), sweep.runs_succeeded());
  if (sweep.runs_failed() > 0) absl::StrAppendFormat(&text, ", %d failed", sweep.runs_failed());
  if (sweep.runs_cancelled() > 0) {
    absl::StrAppendFormat(&text, ", %d cancelled", sweep.runs_cancelled());
  }
  absl::StrAppendFormat(&text, "; cells: %d of %d", sweep.cells_done(), sweep.cells());
  if (sweep.max_device_hours() > 0) {
    absl::StrAppendFormat(&text, "; %.3g of %.4g device-hours", sweep.device_seconds() / 3600,
                          sweep.max_device_hours());
  }
  return text + "\n";
}

}  // namespace

std::string Headline(const Message& message) {
  const v1::Sweep& sweep = message.sweep();
  std::string line = absl::StrFormat("%s: %d of %d cells, runs: %d running, %d waiting, %d done",
                                     sweep.name(), sweep.cells_done(), sweep.cells(),
                                     sweep.runs_leased(), Waiting(sweep), sweep.runs_succeeded());
  if (sweep.runs_failed() > 0) absl::StrAppendFormat(&line, ", %d failed", sweep.runs_failed());
  if (sweep.runs_cancelled() > 0) {
    absl::StrAppendFormat(&line, ", %d cancelled", sweep.runs_cancelled());
  }
  absl::StrAppendFormat(&line, "; %s of %s FLOPs", Percent(ShareDone(message)),
                        Scientific(message.flops_total()));
  if (sweep.max_device_hours() > 0) absl::StrAppend(&line, "; ", DeviceHours(sweep));
  if (message.eta_s() > 0) absl::StrAppend(&line, "; ETA ", Duration(message.eta_s()));
  return line;
}

std::string WhyNothingRuns(const Message& message) {
  if (message.sweep().runs_leased() > 0) return "";
  std::map<std::string, int> counts;
  for (const v1::Run& run : message.runs()) {
    if (run.state() != v1::PENDING) continue;
    absl::string_view reason = run.reason();
    absl::ConsumePrefix(&reason, "waiting: ");
    // What the run's last attempt left stands in brackets behind it, and is its own.
    const size_t advice = reason.find("'allo retry'");
    const size_t brackets = reason.find(" (", advice == absl::string_view::npos ? 0 : advice);
    ++counts[std::string(reason.substr(0, std::min(brackets, reason.find('\n'))))];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? "" : absl::StrCat("  nothing runs: ", most->first);
}

std::string Bar(double share, int width) {
  const int full = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * width));
  return std::string(full, '#') + std::string(width - full, '.');
}

std::string SmallCurve(const std::vector<double>& losses, int width, bool blocks) {
  static constexpr const char* kBlocks[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                            "\u2585", "\u2586", "\u2587", "\u2588"};
  static constexpr const char* kAscii[] = {"_", ".", ",", "-", "=", "+", "*", "#"};
  if (losses.size() < 2 || width < 2) return "";
  const size_t n = std::min<size_t>(losses.size(), static_cast<size_t>(width));
  const auto [low, high] = std::minmax_element(losses.begin(), losses.end());
  std::string curve;
  for (size_t k = 0; k < n; ++k) {
    const double loss = losses[k * (losses.size() - 1) / (n - 1)];
    const double share = *high > *low ? (loss - *low) / (*high - *low) : 0;
    const int level = std::min(7, static_cast<int>(8 * share));
    curve += blocks ? kBlocks[level] : kAscii[level];
  }
  return curve;
}

void WatchScreen::Add(const Message& message) {
  for (const v1::Run& run : message.runs()) {
    const double loss = LossOf(run);
    if (!(loss > 0) || !std::isfinite(loss)) continue;
    std::vector<double>& losses = losses_[run.run_id()];
    if (losses.empty() || losses.back() != loss) losses.push_back(loss);
    if (losses.size() <= kMostLosses) continue;
    for (size_t k = 0; 2 * k < losses.size(); ++k) losses[k] = losses[2 * k];
    losses.resize((losses.size() + 1) / 2);
  }
}

std::string WatchScreen::Curve(int64_t run_id, int width) const {
  const auto losses = losses_.find(run_id);
  return losses == losses_.end() ? "" : SmallCurve(losses->second, width, blocks_);
}

std::string WatchScreen::RunLines(const Message& message, int columns) const {
  std::set<uint64_t> seeds;
  std::set<double> rates;
  for (const v1::Run& run : message.runs()) {
    seeds.insert(run.spec().identity().seed());
    rates.insert(run.spec().identity().learning_rate());
  }
  Row title{{"size", "run"}, "", "tok/s", "loss", "ETA"};
  if (seeds.size() > 1) title.head.push_back("seed");
  if (rates.size() > 1) title.head.push_back("rate");
  title.head.push_back("state");
  std::vector<Row> rows;
  for (const v1::Run& run : message.runs()) {
    Row& row = rows.emplace_back();
    const v1::RunIdentity& identity = run.spec().identity();
    row.head = {SizeWord(run), absl::StrCat(run.run_id())};
    if (seeds.size() > 1) row.head.push_back(absl::StrCat(identity.seed()));
    if (rates.size() > 1) row.head.push_back(absl::StrFormat("%.3g", identity.learning_rate()));
    row.head.push_back(run.state() == v1::RUN_FAILED ? "failed" : StateWord(run));
    row.bar = ShareOf(run);
    row.share = Percent(ShareOf(run));
    const bool running = run.state() == v1::LEASED;
    row.rate = running ? Rate(run.tokens_per_second()) : "-";
    row.loss = Loss(LossOf(run));
    row.eta = running && run.tokens_per_second() > 0
                  ? Duration(TokensLeft(run) / run.tokens_per_second())
                  : "-";
    row.curve_of = run.run_id();
  }
  return Lines(title, rows, columns, [this](int64_t run, int width) { return Curve(run, width); });
}

std::string WatchScreen::SizeLines(const Message& message, int columns) const {
  struct Group {
    double params = 0;
    int runs = 0, done = 0, running = 0, failed = 0;
    double tokens = 0, left = 0, rate = 0, best = 0;
    int64_t best_run = 0;
  };
  std::map<std::string, Group> groups;
  for (const v1::Run& run : message.runs()) {
    const std::optional<run::Stage> stage = StageOf(run);
    const bool other = stage == run::Stage::kTokenizer || stage == run::Stage::kEvaluate ||
                       stage == run::Stage::kPolicy;
    Group& group = groups[other ? run::NameOf(*stage) : run.size()];
    group.params = std::max(group.params, static_cast<double>(run.n_params()));
    ++group.runs;
    group.done += run.state() == v1::RUN_SUCCEEDED ? 1 : 0;
    group.running += run.state() == v1::LEASED ? 1 : 0;
    group.failed += run.state() == v1::RUN_FAILED ? 1 : 0;
    group.tokens += static_cast<double>(run.spec().steps()) *
                    static_cast<double>(run.spec().identity().batch_tokens());
    if (!IsOver(run)) group.left += TokensLeft(run);
    if (run.state() == v1::LEASED) group.rate += run.tokens_per_second();
    const double loss = LossOf(run);
    if (loss > 0 && (group.best == 0 || loss < group.best)) {
      group.best = loss;
      group.best_run = run.run_id();
    }
  }
  std::vector<std::pair<std::string, Group>> ordered(groups.begin(), groups.end());
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.second.params < b.second.params; });
  const Row title{{"size", "done", "runs", "running", "failed"}, "", "tok/s", "best loss", "ETA"};
  std::vector<Row> rows;
  for (const auto& [size, group] : ordered) {
    Row& row = rows.emplace_back();
    row.head = {size, absl::StrCat(group.done), absl::StrCat(group.runs),
                absl::StrCat(group.running), absl::StrCat(group.failed)};
    row.bar = group.tokens > 0 ? 1 - group.left / group.tokens : 0;
    row.share = Percent(row.bar);
    row.rate = Rate(group.rate);
    row.loss = Loss(group.best);
    row.eta = group.left > 0 && group.rate > 0 ? Duration(group.left / group.rate) : "-";
    row.curve_of = group.best_run;
  }
  return Lines(title, rows, columns, [this](int64_t run, int width) { return Curve(run, width); });
}

std::string WatchScreen::Text(const Message& message, const ScreenSize& size) const {
  const int columns = std::max(size.columns, 20) - 1;
  const std::string why = WhyNothingRuns(message);
  const auto lines_by = [&](bool by_size) -> std::vector<std::string> {
    const std::string stages = StagesText(message.sweep());
    const std::string text =
        absl::StrCat(why.empty() ? "" : Wrapped(absl::StripLeadingAsciiWhitespace(why), columns),
                     Wrapped(Head(message), columns),
                     by_size ? SizeLines(message, columns) : RunLines(message, columns),
                     stages.empty() ? "" : Wrapped(stages, columns));
    return absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  };
  const size_t room = static_cast<size_t>(std::max(size.rows, 3)) - 1;  // and the cursor's own line
  std::vector<std::string> lines = lines_by(message.runs_size() > kMostRuns);
  if (lines.size() > room && message.runs_size() <= kMostRuns) {
    std::vector<std::string> fewer = lines_by(true);
    if (fewer.size() < lines.size()) lines = std::move(fewer);
  }
  const size_t hidden = lines.size() > room ? lines.size() - room + 1 : 0;
  lines.resize(lines.size() - hidden);
  std::string fitted;
  for (const std::string& line : lines) absl::StrAppend(&fitted, CutTo(line, columns), "\n");
  if (hidden > 0) {
    absl::StrAppend(
        &fitted,
        CutTo(absl::StrFormat("  ... %d more lines: 'allo runs' lists all", hidden), columns),
        "\n");
  }
  return fitted;
}

}  // namespace allometry::cli
