// allo trainer check: plays the agent to a command, and says of each rule of docs/trainer.md
// whether the command keeps it.
#include <stdlib.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/command_line.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/sweep_input.h"
#include "cli/trainer_attempt.h"
#include "nlohmann/json.hpp"
#include "proto/run_conversion.h"
#include "run/fields.h"
#include "run/placeholders.h"
#include "run/trainer_rules.h"

namespace allometry::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Arguments {
  std::vector<std::string> command;
  std::string sweep;
  int64_t steps = 0;
  std::vector<std::string> args;
  std::string without;
  double patience_s = 60;
};

class Check {
 public:
  Check(run::RunSpec spec, std::string folder, std::string data_dir, double seconds)
      : spec_(std::move(spec)),
        run_dir_(folder + "/run-1"),
        data_dir_(std::move(data_dir)),
        patience_ms_(static_cast<int64_t>(seconds * 1000)) {}

  int Run() {
    const run::Trainer& trainer = spec_.identity.trainer;
    const bool resumes = run::CanDo(trainer, "resume");
    const Outcome whole = Attempt(Act::kNothing, std::nullopt);
    Say(whole.started, whole.started ? "it starts" : "it starts: " + whole.why_not);
    if (!whole.started) return End();
    if (!Whole("it trains to its last step", whole)) return End();
    Say(whole.first_record_s >= 0, "its records are read while it trains");

    const Outcome preempted = Attempt(Act::kPreempt, std::nullopt);
    const bool told = Stopped("preempt", run::ExitReason::kPreempted, preempted);
    if (told && resumes) {
      Say(preempted.checkpoint.has_value(),
          "told to stop, it writes a checkpoint (or its sweep file says capabilities without "
          "resume)");
    }
    Stopped("cancel", run::ExitReason::kCancelledByUser, Attempt(Act::kCancel, std::nullopt));

    const Outcome killed = Attempt(Act::kKill, std::nullopt);
    Say(killed.broken.empty(), "killed with SIGKILL, it leaves a spool that can be read" +
                                   (killed.broken.empty() ? "" : ": " + killed.broken));
    Say(killed.left == 0, "killed, none of its processes is left");
    if (resumes) {
      for (const Outcome* before : {&preempted, &killed}) {
        if (before->checkpoint.has_value()) Resumed(whole, *before);
      }
    }
    Revoked("when its standard input closes", Attempt(Act::kCloseInput, std::nullopt));
    Revoked("when its lease runs out", Attempt(Act::kLetLeaseEnd, std::nullopt));
    return End();
  }

 private:
  enum class Word { kOk, kFail, kNote };

  void Print(Word word, const std::string& text) {
    constexpr const char* kWords[] = {"ok    ", "FAIL  ", "note  "};
    std::cout << kWords[static_cast<int>(word)] << text << std::endl;
    failures_ += word == Word::kFail;
  }
  void Say(bool good, const std::string& text) { Print(good ? Word::kOk : Word::kFail, text); }

  int End() {
    if (failures_ > 0) {
      std::cout << failures_ << (failures_ == 1 ? " rule is" : " rules are")
                << " broken; docs/trainer.md says what each asks for\n";
    }
    return failures_ > 0 ? kExitFailed : kExitOk;
  }

  // Its last log lines, indented.
  static std::string LogOf(const Outcome& outcome) {
    if (outcome.log.empty()) return "";
    return "\n      " + absl::StrJoin(absl::StrSplit(outcome.log, '\n'), "\n      ");
  }

  static std::string EndOf(const Outcome& outcome) {
    if (!outcome.ended) return "it did not end in time and was killed";
    if (WIFSIGNALED(outcome.wait_status)) {
      return absl::StrFormat("it ended by signal %d", WTERMSIG(outcome.wait_status));
    }
    const int code = WEXITSTATUS(outcome.wait_status);
    // As its supervisor says it.
    if (code > 128) return absl::StrFormat("it ended by signal %d", code - 128);
    return absl::StrFormat("it ended with code %d", code);
  }

  bool Whole(const std::string& what, const Outcome& outcome) {
    if (!outcome.broken.empty()) {
      Say(false, absl::StrCat(what, ": ", outcome.broken));
      return false;
    }
    if (!outcome.exit.has_value()) {
      Say(false, absl::StrCat(what, ": ", EndOf(outcome), ", and its spool has no exit record",
                              LogOf(outcome)));
      return false;
    }
    if (outcome.exit->reason != run::ExitReason::kSucceeded) {
      Say(false,
          absl::StrCat(what, ": its exit record says ", run::ExitReasonName(outcome.exit->reason),
                       ", ", outcome.exit->message, LogOf(outcome)));
      return false;
    }
    Say(true, absl::StrFormat("%s, %d, with the held-out loss at each evaluation step", what,
                              spec_.steps));
    Say(WIFEXITED(outcome.wait_status) && WEXITSTATUS(outcome.wait_status) == 0,
        "it ends with code 0 after SUCCEEDED" +
            (WIFEXITED(outcome.wait_status) && WEXITSTATUS(outcome.wait_status) == 0
                 ? ""
                 : ": " + EndOf(outcome)));
    if (outcome.left > 0) {
      Say(false, absl::StrFormat("after its end %d of its processes are left", outcome.left));
    } else {
      Say(true, "after its end none of its processes is left");
    }
    return true;
  }

  bool Stopped(const std::string& word, run::ExitReason reason, const Outcome& outcome) {
    const std::string what =
        absl::StrFormat("told '%s', it ends as %s", word, std::string(run::ExitReasonName(reason)));
    if (!outcome.broken.empty()) {
      Say(false, absl::StrCat(what, ": ", outcome.broken));
    } else if (!outcome.ended) {
      Say(false, what + ": it went on, and was killed");
    } else if (!outcome.exit.has_value()) {
      Say(false,
          absl::StrCat(what, ": ", EndOf(outcome), " without an exit record", LogOf(outcome)));
    } else if (outcome.exit->reason == run::ExitReason::kSucceeded) {
      Print(Word::kNote, what + ": not seen, it was done first; give it more --steps");
    } else if (outcome.exit->reason != reason) {
      Say(false, absl::StrCat(what, ": it ended as ", run::ExitReasonName(outcome.exit->reason)));
    } else {
      Say(true, absl::StrFormat("%s, after %.1f s", what, outcome.stop_s));
      return true;
    }
    return false;
  }

  void Resumed(const Outcome& whole, const Outcome& before) {
    const run::CheckpointRecord& from = *before.checkpoint;
    const std::string what =
        absl::StrFormat("it resumes from its checkpoint at step %d", from.step);
    const int attempt = attempt_;
    const Outcome outcome = Attempt(
        Act::kNothing,
        run::StartCheckpoint{AttemptOf(from.file, attempt), from.step, from.file, from.hash, 0});
    if (!outcome.broken.empty() || !outcome.exit.has_value() ||
        outcome.exit->reason != run::ExitReason::kSucceeded) {
      Say(false, absl::StrCat(what, ": ",
                              !outcome.broken.empty() ? outcome.broken
                              : outcome.exit.has_value()
                                  ? absl::StrCat(run::ExitReasonName(outcome.exit->reason), ", ",
                                                 outcome.exit->message)
                                  : EndOf(outcome) + " without an exit record",
                              LogOf(outcome)));
      return;
    }
    int64_t first = spec_.steps;
    for (const run::Record& record : outcome.records) {
      if (const auto* point = std::get_if<run::Point>(&record.body)) {
        first = std::min(first, point->step);
      }
    }
    Say(first >= from.step,
        first >= from.step ? what : absl::StrFormat("%s: it began again, at step %d", what, first));
    int differ = 0;
    for (const auto& [step, loss] : outcome.heldout) {
      const auto other = whole.heldout.find(step);
      differ += other != whole.heldout.end() && other->second != loss;
    }
    if (differ == 0) {
      Print(Word::kOk, "resumed, its held-out losses are bit for bit those of the whole run");
    } else {
      Print(Word::kNote,
            absl::StrFormat("resumed, %d of its %d held-out losses are not bit for bit "
                            "those of the whole run: it is not deterministic, or its "
                            "checkpoint leaves something out",
                            differ, outcome.heldout.size()));
    }
  }

  void Revoked(const std::string& when, const Outcome& outcome) {
    const std::string what = absl::StrCat(when, ", it ends by itself");
    if (outcome.exit.has_value() && outcome.exit->reason == run::ExitReason::kSucceeded) {
      Print(Word::kNote, what + ": not seen, it was done first; give it more --steps");
    } else if (outcome.ended) {
      Say(true, absl::StrFormat("%s, after %.1f s", what, outcome.stop_s));
    } else {
      Print(Word::kNote, what + ": it does not, and was killed a second later");
    }
  }

  static int AttemptOf(const std::string& file, int otherwise) {
    int attempt = otherwise;
    (void)absl::SimpleAtoi(file.substr(8, file.find('/') - 8), &attempt);
    return attempt;
  }

  Outcome Attempt(Act act, std::optional<run::StartCheckpoint> start) {
    run::RunSpec spec = spec_;
    spec.attempt = ++attempt_;
    spec.start = std::move(start);
    return PlayAttempt(act, std::move(spec), run_dir_, data_dir_, patience_ms_);
  }

  const run::RunSpec spec_;
  const std::string run_dir_;
  const std::string data_dir_;
  const int64_t patience_ms_;
  int attempt_ = 0;
  int failures_ = 0;
};

// Steps to go, evaluated at four of them.
void SetSteps(int64_t steps, run::RunSpec& spec) {
  spec.steps = steps;
  spec.evaluation_steps.clear();
  for (const int64_t step : {steps / 4, steps / 2, 3 * steps / 4, steps}) {
    if (step < 1) continue;
    if (!spec.evaluation_steps.empty() && spec.evaluation_steps.back() >= step) continue;
    spec.evaluation_steps.push_back(step);
  }
  spec.checkpoint_steps.clear();
}

absl::StatusOr<run::RunSpec> SpecOfSweep(const Context& context, const Arguments& arguments) {
  ALLO_ASSIGN_OR_RETURN(const SweepInput input, ReadSweepInput(arguments.sweep, context.data_dir));
  if (!input.file.trainer) {
    return absl::InvalidArgumentError(absl::StrCat(arguments.sweep, " has no section trainer"));
  }
  const v1::Run* smallest = &input.expansion.runs.front();
  for (const v1::Run& run : input.expansion.runs) {
    if (run.n_params() < smallest->n_params()) smallest = &run;
  }
  ALLO_ASSIGN_OR_RETURN(run::RunSpec spec, ToRunSpec(smallest->spec()));
  if (arguments.steps > 0) {
    spec.identity.schedule = run::Schedule::kConstant;
    spec.identity.decay_begin = spec.identity.decay_end = 0;
    spec.identity.final_rate_fraction = 0;
    SetSteps(arguments.steps, spec);
  }
  return spec;
}

absl::StatusOr<run::RunSpec> SpecOfCommand(const Arguments& arguments) {
  run::RunSpec spec;
  run::Identity& identity = spec.identity;
  identity.shape.family = run::kExternalFamily;
  identity.shape.context = 1;
  identity.dataset = "external:check,tokens=1000000000";
  identity.batch_tokens = 64;
  identity.learning_rate = 1e-3;
  identity.seed = 1;
  identity.trainer.command = {Json(arguments.command).dump()};
  std::error_code error;
  identity.trainer.working_dir = fs::current_path(error).string();
  Json args = Json::object();
  for (const std::string& arg : arguments.args) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(arg, absl::MaxSplits('=', 1));
    const Json value = Json::parse(pair.second, nullptr, /*allow_exceptions=*/false);
    args[pair.first] = value.is_discarded() ? Json(pair.second) : value;
  }
  if (!args.empty()) identity.trainer.args = {args.dump()};
  if (!arguments.without.empty()) {
    Json can = Json::array();
    const std::vector<std::string> without = absl::StrSplit(arguments.without, ',');
    for (const char* what : {"branch", "evaluation_steps", "resume"}) {
      if (std::find(without.begin(), without.end(), what) == without.end()) can.push_back(what);
    }
    identity.trainer.capabilities = {can.dump()};
  }
  spec.log_every = 1;
  SetSteps(arguments.steps > 0 ? arguments.steps : 200, spec);
  return spec;
}

int RunCheck(const Context& context, const Arguments& arguments) {
  if (arguments.command.empty() == arguments.sweep.empty()) {
    std::cerr << "allo: either a command after '--', or --sweep FILE, is to be checked\n";
    return kExitBadInput;
  }
  const auto spec =
      arguments.sweep.empty() ? SpecOfCommand(arguments) : SpecOfSweep(context, arguments);
  if (!spec.ok()) return Fail(spec.status());
  std::signal(SIGPIPE, SIG_IGN);
  const char* tmp = std::getenv("TMPDIR");
  std::string folder = absl::StrCat(tmp != nullptr ? tmp : "/tmp", "/allo-trainer-check-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) return Fail(ErrnoStatus(folder, "create"));
  const int code = Check(*spec, folder, context.data_dir, arguments.patience_s).Run();
  std::error_code error;
  if (code == kExitOk) {
    fs::remove_all(folder, error);
  } else {
    std::cout << "what it left is in " << folder << "/run-1\n";
  }
  return code;
}

}  // namespace

void AddTrainer(CLI::App& app, Context& context) {
  CLI::App* trainer = app.add_subcommand("trainer", "for who writes a trainer (docs/trainer.md)");
  trainer->require_subcommand(1);
  CLI::App* check = trainer->add_subcommand("check",
                                            "plays the agent to a command: starts, stops, kills "
                                            "and resumes it, takes its lease away, and "
                                            "prints a line for each rule; 1 where one is broken");
  auto arguments = std::make_shared<Arguments>();
  check->add_option("COMMAND", arguments->command, "program and arguments, after '--'");
  check->add_option("--sweep", arguments->sweep,
                    "instead: the command of this sweep file, as its smallest run has it");
  check->add_option("--data-dir", context.data_dir, "folder of the datasets (ALLO_DATA_DIR)")
      ->capture_default_str();
  check->add_option("--steps", arguments->steps, "updates of a run; of a command alone 200")
      ->check(CLI::Range(int64_t{4}, int64_t{1'000'000'000}));
  check->add_option("--arg", arguments->args, "NAME=VALUE of run.json's trainer.args, repeatedly");
  check->add_option("--without", arguments->without,
                    "what the command cannot do, with commas: resume, branch, evaluation_steps");
  AddDurationInSeconds(*check, "--patience", arguments->patience_s,
                       "how long a run, or a stop, may take", {.least = 1, .most = 86'400});
  check->callback([&context, arguments] {
    context.run = [&context, arguments] { return RunCheck(context, *arguments); };
  });

  CLI::App* schema = app.add_subcommand("schema", "JSON schemas of the files that programs read");
  schema->require_subcommand(1);
  schema->add_subcommand("run", "of run.json")->callback([&context] {
    context.run = [] {
      std::cout << run::RunJsonSchema() << std::flush;
      return kExitOk;
    };
  });
}

}  // namespace allometry::cli
