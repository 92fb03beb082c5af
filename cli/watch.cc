#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <set>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/command_line.h"
#include "base/foreign_text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "cli/watch_screen.h"

namespace allometry::cli {
namespace {

using Message = v1::WatchSweepResponse;

bool Ended(const v1::Sweep& sweep) {
  return sweep.runs() == sweep.runs_succeeded() + sweep.runs_failed() + sweep.runs_cancelled();
}

ScreenSize TerminalSize() {
  struct winsize size {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return {};
  }
  return {size.ws_col, size.ws_row};
}

// Whether the terminal shows UTF-8, by the first of the variables that say so.
bool ShowsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

// What a line of a log is written for at once: what its runs do, and why nothing runs.
std::string Situation(const Message& message) {
  const v1::Sweep& sweep = message.sweep();
  return absl::StrCat(sweep.runs(), " ", sweep.runs_leased(), " ", sweep.runs_succeeded(), " ",
                      sweep.runs_failed(), " ", sweep.runs_cancelled(), WhyNothingRuns(message));
}

// What PENDING runs wait for, each reason once.
std::string WaitingText(const Message& message) {
  std::set<std::string> reasons;
  for (const v1::Run& run : message.runs()) {
    if (run.state() == v1::PENDING) reasons.insert(absl::StrCat("  ", run.reason(), "\n"));
  }
  return absl::StrJoin(reasons, "");
}

// On a terminal the screen is redrawn in place; elsewhere (a log) comes a line a minute, and one at
// changes, those of a few seconds together.
class Output {
 public:
  explicit Output(bool json)
      : json_(json), terminal_(!json && isatty(STDOUT_FILENO) != 0), screen_(ShowsUtf8()) {}

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
    if (terminal_) {
      screen_.Add(message);
      const std::string text = screen_.Text(message, TerminalSize());
      Clear();
      std::cout << text << std::flush;
      drawn_lines_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    const bool changed = Situation(message) != situation_;
    if (!Ended(message.sweep()) && now - last_line_ < (changed ? kBetweenChanges : kBetweenLines)) {
      return;
    }
    std::cout << Headline(message) << std::endl;
    if (const std::string why = WhyNothingRuns(message); !why.empty())
      std::cout << why << std::endl;
    situation_ = Situation(message);
    last_line_ = now;
  }

 private:
  static constexpr std::chrono::seconds kBetweenLines{60}, kBetweenChanges{5};

  void Clear() {
    if (drawn_lines_ > 0) {
      PrintableStream::WriteAsIs(std::cout, absl::StrCat("\x1b[", drawn_lines_, "A\x1b[J"));
    }
    drawn_lines_ = 0;
  }

  const bool json_;
  const bool terminal_;
  WatchScreen screen_;
  int drawn_lines_ = 0;
  std::string situation_;  // of the last line
  std::chrono::steady_clock::time_point last_line_{};
};

// A command of the person's own, by the shell, told of the sweep by its environment. The exit code
// of `allo watch` stays the sweep's.
void RunAtTheEnd(const std::string& command, const std::string& sweep, int exit_code) {
  setenv("ALLO_SWEEP", sweep.c_str(), 1);
  setenv("ALLO_EXIT_CODE", absl::StrCat(exit_code).c_str(), 1);
  std::cout << std::flush;
  if (const int status = std::system(command.c_str()); status != 0) {
    std::cerr << "allo: --on-end " << command << " ended with "
              << (WIFEXITED(status) ? absl::StrCat("exit code ", WEXITSTATUS(status))
                                    : std::string("a signal"))
              << "\n";
  }
}

// Sets `ended` where the sweep did, or cannot go on by itself.
int Follow(const Context& context, const std::string& name, double patience_s, bool& ended) {
  ended = false;
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  Output output(context.json);
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
      if (told_away) output.Notice("  the coordinator is back");
      told_away = false;
      output.Show(message);
      last_message = message;
      away_since = std::chrono::steady_clock::now();
    }
    const grpc::Status status = reader->Finish();
    const v1::Sweep& last = last_message.sweep();
    if (status.ok() && last.runs() > 0) {
      ended = true;
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
    if (std::chrono::steady_clock::now() - away_since > std::chrono::duration<double>(patience_s)) {
      return Fail(context, status);
    }
    if (!told_away) output.Notice("  the coordinator is away; waiting for it (training goes on)");
    told_away = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

}  // namespace

int WatchUntilEnd(const Context& context, const std::string& name, double patience_s,
                  const std::string& on_end) {
  bool ended = false;
  const int exit_code = Follow(context, name, patience_s, ended);
  if (ended && !on_end.empty()) RunAtTheEnd(on_end, name, exit_code);
  return exit_code;
}

void AddWatch(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "watch", "follow a sweep until it ends; 0 when every run succeeded, otherwise 1");
  auto name = std::make_shared<std::string>();
  auto patience_s = std::make_shared<double>(60);
  auto on_end = std::make_shared<std::string>();
  command->add_option("SWEEP", *name, "name of the sweep")->required();
  AddDurationInSeconds(*command, "--patience", *patience_s,
                       "how long to wait for a coordinator that is away");
  command->add_option("--on-end", *on_end, kOnEndHelp);
  command->callback([&context, name, patience_s, on_end] {
    context.run = [&context, name, patience_s, on_end] {
      return WatchUntilEnd(context, *name, *patience_s, *on_end);
    };
  });
}

}  // namespace allometry::cli
