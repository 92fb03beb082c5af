#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/foreign_text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"

namespace allometry::cli {
namespace {

using Message = v1::WatchSweepResponse;

std::string Headline(const Message& message) {
  const v1::Sweep& sweep = message.sweep();
  const int waiting = sweep.runs() - sweep.runs_succeeded() - sweep.runs_failed() -
                      sweep.runs_cancelled() - sweep.runs_leased();
  const double share =
      message.flops_total() > 0 ? 100 * message.flops_done() / message.flops_total() : 0;
  std::string line = absl::StrFormat("%s: %d of %d cells, runs: %d running, %d waiting, %d done",
                                     sweep.name(), sweep.cells_done(), sweep.cells(),
                                     sweep.runs_leased(), waiting, sweep.runs_succeeded());
  if (sweep.runs_failed() > 0) absl::StrAppendFormat(&line, ", %d failed", sweep.runs_failed());
  if (sweep.runs_cancelled() > 0) {
    absl::StrAppendFormat(&line, ", %d cancelled", sweep.runs_cancelled());
  }
  absl::StrAppendFormat(&line, "; %.0f%% of %s FLOPs", share, Scientific(message.flops_total()));
  if (sweep.max_device_hours() > 0) absl::StrAppend(&line, "; ", DeviceHours(sweep));
  if (message.eta_s() >= 0) absl::StrAppend(&line, "; ETA ", Duration(message.eta_s()));
  return line;
}

bool Ended(const v1::Sweep& sweep) {
  return sweep.runs() == sweep.runs_succeeded() + sweep.runs_failed() + sweep.runs_cancelled();
}

// Why nothing runs although runs wait: what most of them wait for, or empty.
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

// As many whole lines of the text as the terminal has room for, each cut to its width: a line that
// wraps, or a table longer than the screen, could not be drawn over.
std::string FitToTerminal(const std::string& text) {
  struct winsize size {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return text;
  }
  std::vector<absl::string_view> lines = absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
  const size_t room = std::max<size_t>(size.ws_row, 3) - 1;  // and the cursor's own line
  const size_t hidden = lines.size() > room ? lines.size() - room + 1 : 0;
  lines.resize(lines.size() - hidden);
  std::string fitted;
  for (const absl::string_view line : lines) {
    absl::StrAppend(&fitted, line.substr(0, size.ws_col - 1), "\n");
  }
  if (hidden > 0) {
    absl::StrAppend(&fitted,
                    absl::StrFormat("  ... %d more lines: 'allo runs' lists all", hidden)
                        .substr(0, size.ws_col - 1),
                    "\n");
  }
  return fitted;
}

// What PENDING runs wait for, each reason once.
std::string WaitingText(const Message& message) {
  std::set<std::string> reasons;
  for (const v1::Run& run : message.runs()) {
    if (run.state() == v1::PENDING) reasons.insert(absl::StrCat("  ", run.reason(), "\n"));
  }
  return absl::StrJoin(reasons, "");
}

// On a terminal the table is redrawn in place; elsewhere (a log) a line every few seconds.
class Screen {
 public:
  explicit Screen(bool json) : json_(json), terminal_(!json && isatty(STDOUT_FILENO) != 0) {}

  void Notice(const std::string& text) {
    Clear();
    (json_ ? std::cerr : std::cout) << text << std::endl;
  }

  void Show(const Message& message) {
    for (const std::string& notice : message.notices()) Notice("  " + notice);
    if (json_) {
      std::cout << ToJson(message).dump() << std::endl;
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (terminal_) {
      const std::string why = WhyNothingRuns(message);
      const std::string text = FitToTerminal(
          absl::StrCat(Headline(message), "\n", why, why.empty() ? "" : "\n",
                       RunsTable({message.runs().begin(), message.runs().end()}, false),
                       StagesText(message.sweep())));
      Clear();
      std::cout << text << std::flush;
      drawn_lines_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    } else if (now - last_line_ >= std::chrono::seconds(5) || Ended(message.sweep())) {
      std::cout << Headline(message) << std::endl;
      if (const std::string why = WhyNothingRuns(message); !why.empty()) {
        std::cout << why << std::endl;
      }
      last_line_ = now;
    }
  }

 private:
  void Clear() {
    if (drawn_lines_ > 0) {
      PrintableStream::WriteAsIs(std::cout, absl::StrCat("\x1b[", drawn_lines_, "A\x1b[J"));
    }
    drawn_lines_ = 0;
  }

  const bool json_;
  const bool terminal_;
  int drawn_lines_ = 0;
  std::chrono::steady_clock::time_point last_line_{};
};

}  // namespace

int WatchUntilEnd(const Context& context, const std::string& name, int patience_s) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  Screen screen(context.json);
  auto away_since = std::chrono::steady_clock::now();
  bool told_away = false;
  for (;;) {
    const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 0);
    v1::WatchSweepRequest request;
    request.set_name(name);
    const std::unique_ptr<grpc::ClientReader<Message>> reader =
        (*stub)->WatchSweep(call.get(), request);
    Message message;
    Message last_message;
    while (reader->Read(&message)) {
      if (told_away) screen.Notice("  the coordinator is back");
      told_away = false;
      screen.Show(message);
      last_message = message;
      away_since = std::chrono::steady_clock::now();
    }
    const grpc::Status status = reader->Finish();
    const v1::Sweep& last = last_message.sweep();
    if (status.ok() && last.runs() > 0) {
      if (!Ended(last)) {
        std::cerr << "allo: sweep " << name << " has runs that do not go on by themselves:\n"
                  << WaitingText(last_message);
        return kExitFailed;
      }
      if (!StagesDone(last)) {
        std::cerr << "allo: sweep " << name << " waits in a stage that cannot go on by itself:\n"
                  << StagesText(last);
        return kExitFailed;
      }
      const bool all =
          std::all_of(last_message.runs().begin(), last_message.runs().end(), ServedItsPurpose);
      return all ? kExitOk : kExitFailed;
    }
    const bool can_return = status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                            status.error_code() == grpc::StatusCode::ABORTED ||
                            status.error_code() == grpc::StatusCode::CANCELLED;
    if (!can_return) return Fail(context, status);
    if (std::chrono::steady_clock::now() - away_since > std::chrono::seconds(patience_s)) {
      return Fail(context, status);
    }
    if (!told_away) screen.Notice("  the coordinator is away; waiting for it (training goes on)");
    told_away = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

void AddWatch(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "watch", "follow a sweep until it ends; 0 when every run succeeded, otherwise 1");
  auto name = std::make_shared<std::string>();
  auto patience_s = std::make_shared<int>(60);
  command->add_option("SWEEP", *name, "name of the sweep")->required();
  command->add_option("--patience", *patience_s, "seconds to wait for a coordinator that is away")
      ->capture_default_str();
  command->callback([&context, name, patience_s] {
    context.run = [&context, name, patience_s] {
      return WatchUntilEnd(context, *name, *patience_s);
    };
  });
}

}  // namespace allometry::cli
