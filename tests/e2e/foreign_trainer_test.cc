// Trainers that are not ours, through the real programs: the examples' sweeps, one that everything
// is killed under, and trainers that keep no rule.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"
#include "worker/launch/processes.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::allometry::testing::Eventually;
using ::allometry::testing::SweepResult;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Example(const std::string& file) {
  return absl::StrCat(ALLO_SOURCE_DIR, "/examples/trainers/", file);
}

void ExpectWholeSweep(const Deployment& deployment, const std::string& name) {
  ASSERT_TRUE(Eventually([&] { return testing::HasEnded(deployment.Get(name)); }))
      << deployment.Logs();
  EXPECT_THAT(testing::Unfinished(deployment.Get(name)), IsEmpty()) << deployment.Logs();
}

TEST(ForeignTrainerTest, ABashScriptTrainsASweepAndItsLawIsFound) {
  const Deployment deployment;
  deployment.Allo({"submit", Example("synthetic_law.yaml")});
  ExpectWholeSweep(deployment, "synthetic-law");
  // What the script prints: E 1.7, alpha .34, beta .28, to the last digit.
  const std::string fit = deployment.Allo({"fit", "synthetic-law", "--json", "--method",
                                           "parametric", "--resamples", "20", "--budget", "1e18"});
  EXPECT_THAT(fit, HasSubstr("\"alpha\""));
  for (const auto& [name, planted] : {std::pair("E", 1.7), {"alpha", 0.34}, {"beta", 0.28}}) {
    const size_t at = fit.find(absl::StrCat("\"", name, "\""));
    ASSERT_NE(at, std::string::npos) << fit;
    const size_t digit = fit.find_first_of("0123456789", at + 3 + std::string(name).size());
    EXPECT_NEAR(std::strtod(fit.c_str() + digit, nullptr), planted, 0.02) << name << "\n" << fit;
  }
}

// A trainer of the standard library alone, that is slow enough to be killed and whose every number
// follows from the step and the seed.
constexpr char kSteady[] = R"(
import json, sys, time
from allometry.trainer import Run
run = Run.from_environment(params=PARAMS)
state = 1.0
if run.resume_from:
    state = json.loads(run.resume_from.read_text())["state"]
for step in run.steps:
    state = state * 0.999 + 1e-3 / (step + run.size["params"] % 97)
    run.log(step, train=state)
    if step in run.evaluation_steps:
        run.log(step, heldout=1.5 + 40 / run.size["params"] ** 0.3 + 30 / (step * run.batch_tokens) ** 0.3 + 1e-4 * state)
    time.sleep(PAUSE)
    stop = run.should_stop()
    if stop or run.should_checkpoint(step):
        with run.checkpoint(step, ".json") as path:
            path.write_text(json.dumps({"state": state}))
    if stop:
        run.stop(step)
run.finish()
)";

// Writes the script and a sweep of it beside each other.
std::string WriteSweep(const Deployment& deployment, const std::string& name,
                       const std::string& script, const std::string& command,
                       const std::string& more = "") {
  deployment.Write(name + ".py",
                   absl::StrReplaceAll(script, {{"PARAMS", "0"}, {"PAUSE", "0.004"}}));
  std::string table;
  for (const int params : {1000, 4000, 16000, 64000, 256000}) {
    absl::StrAppend(&table, "    - {label: ", params, ", params: ", params, "}\n");
  }
  return deployment.Write(
      name + ".yaml",
      absl::StrFormat("name: %s\n"
                      "dataset: {external: none, tokens: 1T}\n"
                      "trainer:\n"
                      "  command: %s\n"
                      "  env: {PYTHONPATH: %s/python}\n"
                      "  files: [%s.py]\n"
                      "model:\n  table:\n%s"
                      "training: {batch_tokens: 100, warmup_steps: 10, learning_rate: 1e-3}\n"
                      "budgets: {tokens: [10000, 20000, 40000]}\n"
                      "log_every: 1\ncheckpoint_every: 500ms\n%s",
                      name, command, ALLO_SOURCE_DIR, name, table, more));
}

SweepResult Train(const std::function<void(Deployment&)>& disturb) {
  testing::DeploymentOptions options;
  options.lease_ms = 3000;
  Deployment deployment(options);
  const std::string file = WriteSweep(deployment, "steady", kSteady, "[python3, steady.py]");
  deployment.Allo({"submit", file});
  disturb(deployment);
  ExpectWholeSweep(deployment, "steady");
  SweepResult result = testing::ResultOf(deployment, "steady", /*with_fit=*/true);
  EXPECT_THAT(testing::Repeated(result.points), IsEmpty());
  EXPECT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); }));
  return result;
}

bool HasCheckpoint(const Deployment& deployment) {
  const auto sweep = deployment.TryGet("steady");
  if (!sweep.has_value()) return false;
  for (const v1::Run& run : sweep->runs()) {
    if (run.state() == v1::LEASED && run.has_checkpoint()) return true;
  }
  return false;
}

TEST(ForeignTrainerTest, KilledCoordinatorWorkerAndTrainerLeaveEveryPointOnceAndTheSameFit) {
  const SweepResult expected = Train([](Deployment&) {});
  int hit = 0;
  const SweepResult result = Train([&](Deployment& deployment) {
    ASSERT_TRUE(Eventually([&] { return HasCheckpoint(deployment); })) << deployment.Logs();
    deployment.KillAndRestartCoordinator();
    ASSERT_TRUE(Eventually([&] { return HasCheckpoint(deployment); })) << deployment.Logs();
    deployment.KillAndRestartWorker();
    ASSERT_TRUE(Eventually([&] {
      return absl::StrContains(deployment.Logs(), "attempt 2: started") &&
             HasCheckpoint(deployment);
    })) << deployment.Logs();
    for (const pid_t pid : launch::ProcessesWithEnvironment(deployment.MarkOf(0))) {
      hit += kill(pid, SIGKILL) == 0;
    }
    deployment.StopAndRestartWorker();
  });
  EXPECT_GT(hit, 0);
  EXPECT_THAT(testing::Differences(expected, result), IsEmpty());
}

// --- trainers that keep no rule: a sentence each, and what was stored stays ---

struct Hostile {
  const char* name;
  const char* script;
  const char* command;
  const char* sentence;
};

std::string ReasonOf(const Hostile& hostile) {
  testing::DeploymentOptions options;
  options.lease_ms = 3000;
  const Deployment deployment(options);
  const std::string file =
      WriteSweep(deployment, hostile.name, hostile.script, hostile.command, "max_epochs: 4\n");
  deployment.Allo({"submit", file});
  std::string reason;
  EXPECT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get(hostile.name);
    for (const v1::Run& run : sweep.runs()) {
      if (run.state() == v1::RUN_FAILED) reason = run.reason();
    }
    return !reason.empty();
  })) << deployment.Logs();
  EXPECT_TRUE(Eventually([&] {
    return testing::HasEnded(deployment.Get(hostile.name)) && deployment.NoTrainerLeft();
  })) << deployment.Logs();
  return reason;
}

class HostileTrainerTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTrainerTest, IsToldInASentence) {
  EXPECT_THAT(ReasonOf(GetParam()), HasSubstr(GetParam().sentence));
}

INSTANTIATE_TEST_SUITE_P(
    Each, HostileTrainerTest,
    ::testing::Values(
        Hostile{"counts",
                "from allometry.trainer import Run\nRun.from_environment(params=7)\n"
                "import time\ntime.sleep(100)\n",
                "[python3, counts.py]",
                "the trainer counts 7 parameters in its model, and the sweep file says"},
        Hostile{"missing", "", "[no-such-program, x]",
                "its command 'no-such-program' is no program in this host's PATH"},
        Hostile{"garbage",
                "import os\nd = os.environ['ALLOMETRY_RUN_DIR']\nimport json\n"
                "k = json.load(open(d + '/run.json'))['attempt']\n"
                "open(f'{d}/attempt-{k}/spool', 'wb').write(b'\\x00garbage\\n' * 1000)\n"
                "print('\\xff' * 1000)\n",
                "[python3, garbage.py]", "without an exit record"},
        Hostile{"backwards",
                "from allometry.trainer import Run\nrun = Run.from_environment()\n"
                "run.log(40, train=1.0)\nrun.log(20, train=1.0)\nrun.finish()\n",
                "[python3, backwards.py]",
                "train at step 20 after step 40: the steps of a series ascend"},
        Hostile{"nan",
                "from allometry.trainer import Run\nrun = Run.from_environment()\n"
                "run.log(10, train=1.0)\nrun.log(20, train=float('nan'))\nrun.finish()\n",
                "[python3, nan.py]", "loss at step 20 is"},
        Hostile{"lazy",
                "from allometry.trainer import Run\nrun = Run.from_environment()\nrun.finish()\n",
                "[python3, lazy.py]", "without the held-out loss at step"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ForeignTrainerTest, ChildrenThatATrainerLeavesAreEndedAndItsRunIsDone) {
  constexpr char kScript[] =
      "import os, subprocess, sys\n"
      "from allometry.trainer import Run\n"
      "subprocess.Popen(['sleep', '1000'])\n"
      "subprocess.Popen(['sleep', '1000'], env={'PATH': os.environ['PATH']})\n"
      "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
      "run = Run.from_environment()\n"
      "for step in sorted(run.evaluation_steps): run.log(step, heldout=1.0 + 1.0 / step)\n"
      "run.finish()\n";
  const Deployment deployment;
  deployment.Allo(
      {"submit", WriteSweep(deployment, "children", kScript, "[python3, children.py]")});
  ExpectWholeSweep(deployment, "children");
  EXPECT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); }));
}

TEST(ForeignTrainerTest, OneThatIgnoresItsLeaseIsKilledAndAnotherAttemptGoesOn) {
  constexpr char kScript[] =
      "import json, os, sys, time, zlib, signal\n"
      "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
      "time.sleep(100000)\n";
  testing::DeploymentOptions options;
  options.lease_ms = 2000;
  options.worker_flags = {{"--stop-within", "2s"}};
  Deployment deployment(options);
  deployment.Allo({"submit", WriteSweep(deployment, "deaf", kScript, "[python3, deaf.py]")});
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(deployment.Logs(), "started on"); }))
      << deployment.Logs();
  // The coordinator is away for longer than a lease: the agent ends what it cannot renew.
  deployment.KillCoordinator();
  ASSERT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); })) << deployment.Logs();
  EXPECT_THAT(deployment.Logs(), HasSubstr("its lease ran out"));
  deployment.StartCoordinator();
  // Told to stop, it does not, and is killed in time.
  ASSERT_TRUE(Eventually([&] { return !deployment.NoTrainerLeft(); })) << deployment.Logs();
  deployment.Allo({"cancel", "deaf"});
  ASSERT_TRUE(Eventually([&] { return testing::HasEnded(deployment.Get("deaf")); }))
      << deployment.Logs();
}

TEST(ForeignTrainerTest, AWorkerThatRunsNoCommandsGetsNoneAndTheSweepSaysSo) {
  testing::DeploymentOptions options;
  options.worker_flags = {{"--allow-commands=none"}};
  const Deployment deployment(options);
  deployment.Allo({"submit", WriteSweep(deployment, "waiting", "", "[python3, waiting.py]")});
  EXPECT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get("waiting");
    for (const v1::Run& run : sweep.runs()) {
      if (absl::StrContains(run.reason(), "no connected worker runs commands")) return true;
    }
    return false;
  })) << deployment.Get("waiting").ShortDebugString();
}

// A row of the table under "How it ends" of docs/trainer.md.
struct ExitRow {
  std::string reason, code, then;
};

std::vector<ExitRow> ExitTable() {
  std::vector<ExitRow> rows;
  const auto page = ReadFile(absl::StrCat(ALLO_SOURCE_DIR, "/docs/trainer.md"));
  if (!page.ok()) return rows;
  const std::string text = page->substr(page->find("| reason | code | then |"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty()) break;
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    if (cells.size() != 5 || !absl::StrContains(cells[1], '`')) continue;
    rows.push_back(
        {std::string(absl::StripAsciiWhitespace(absl::StrReplaceAll(cells[1], {{"`", ""}}))),
         std::string(absl::StripAsciiWhitespace(cells[2])),
         std::string(absl::StripAsciiWhitespace(cells[3]))});
  }
  return rows;
}

// The first attempt ends by the row, with its record or by its code alone; a later one trains.
constexpr char kExits[] = R"(
import os
from allometry.trainer import Run
run = Run.from_environment()
run.log(1, train=2.0)
if run.attempt == 1 and run.args["by"] == "record" and run.args["reason"] != "SUCCEEDED":
    run.exit(run.args["reason"], "as the page says", 1)
if run.attempt == 1 and run.args["by"] == "code":
    os._exit(run.args["code"])
for step in sorted(run.evaluation_steps):
    run.log(step, heldout=1.0 + 1.0 / step)
run.finish()
)";

TEST(ForeignTrainerTest, EveryRowOfThePagesExitTableIsWhatHappens) {
  const std::vector<ExitRow> rows = ExitTable();
  ASSERT_EQ(rows.size(), 10U);
  testing::DeploymentOptions options;
  options.lease_ms = 3000;
  const Deployment deployment(options);
  std::string table;
  int params = 1000;
  for (const ExitRow& row : rows) {
    for (const char* by : {"record", "code"}) {
      absl::StrAppend(&table, "    - {label: ", row.reason, "-", by, ", params: ", ++params,
                      ", args: {reason: ", row.reason, ", code: ", row.code, ", by: ", by, "}}\n");
    }
  }
  deployment.Write("exits.py", kExits);
  deployment.Allo(
      {"submit", deployment.Write(
                     "exits.yaml",
                     absl::StrFormat("name: exits\ndataset: {external: none, tokens: 1T}\n"
                                     "trainer:\n  command: [python3, exits.py]\n"
                                     "  env: {PYTHONPATH: %s/python}\n"
                                     "  args: {reason: \"{size.reason}\", code: \"{size.code}\", "
                                     "by: \"{size.by}\"}\n  files: [exits.py]\n"
                                     "model:\n  table:\n%s"
                                     "training: {batch_tokens: 100, warmup_steps: 1, "
                                     "learning_rate: 1e-3}\nbudgets: {tokens: [2000]}\n"
                                     "log_every: 1\n",
                                     ALLO_SOURCE_DIR, table))});
  ASSERT_TRUE(Eventually([&] { return testing::HasEnded(deployment.Get("exits")); }))
      << deployment.Logs();
  const v1::GetSweepResponse sweep = deployment.Get("exits");
  for (const v1::Run& run : sweep.runs()) {
    const bool by_code = absl::EndsWith(run.size(), "-code");
    const std::string reason = run.size().substr(0, run.size().rfind('-'));
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const ExitRow& one) { return one.reason == reason; });
    ASSERT_NE(row, rows.end()) << run.size();
    SCOPED_TRACE(absl::StrCat(run.size(), ": ", row->then, ": ", run.reason()));
    if (absl::StartsWith(row->then, "the run has failed")) {
      EXPECT_EQ(run.state(), v1::RUN_FAILED);
      EXPECT_EQ(v1::ExitReason_Name(run.failure()), reason);
      EXPECT_EQ(run.attempt(), 1);
    } else if (row->then == "cancelled") {
      EXPECT_EQ(run.state(), v1::RUN_CANCELLED);
      EXPECT_EQ(run.attempt(), 1);
    } else {
      EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED);
      // Code 0 without a record is no success.
      EXPECT_EQ(run.attempt(), reason == "SUCCEEDED" && !by_code ? 1 : 2);
    }
  }
  // What the first attempts are said to have ended by.
  for (const std::string& line : deployment.Query(
           "SELECT runs.size || ' ' || exit_reason FROM attempts JOIN runs USING (run_id) "
           "WHERE attempts.attempt = 1")) {
    const std::string size = line.substr(0, line.find(' '));
    const std::string reason = size.substr(0, size.rfind('-'));
    EXPECT_EQ(line.substr(line.find(' ') + 1), size == "SUCCEEDED-code" ? "BUG" : reason) << line;
  }
}

TEST(ForeignTrainerTest, ATrainerWrittenFromThePageAlonePassesTheCheck) {
  const Deployment deployment;
  const std::string script = absl::StrCat(ALLO_SOURCE_DIR, "/tests/e2e/from_the_page.pl");
  if (std::system("perl -MJSON::PP -MCompress::Zlib -e 1 2>/dev/null") != 0) {
    GTEST_SKIP() << "this machine's Perl has not its own modules JSON::PP and Compress::Zlib";
  }
  const std::string said = deployment.Allo({"trainer", "check", "--", "perl", script});
  EXPECT_THAT(said, AllOf(HasSubstr("resumed, its held-out losses are bit for bit"),
                          ::testing::Not(HasSubstr("FAIL"))));
}

TEST(ForeignTrainerTest, AFileThatChangedAfterTheSubmissionIsNamed) {
  const Deployment deployment;
  const std::string file =
      WriteSweep(deployment, "edited", kSteady, "[python3, edited.py]", "priority: 0\n");
  const std::string script = deployment.Path("edited.py");
  deployment.Allo({"submit", file});
  deployment.Write("edited.py", "raise SystemExit(1)\n");
  EXPECT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get("edited");
    for (const v1::Run& run : sweep.runs()) {
      if (run.state() == v1::RUN_FAILED &&
          absl::StrContains(run.reason(), "is not as it was submitted")) {
        return true;
      }
    }
    return false;
  })) << deployment.Logs();
}

}  // namespace
}  // namespace allometry
