#include "tests/e2e/chaos.h"

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/faults.h"
#include "tests/e2e/sweep_result.h"
#include "tests/e2e/zombies.h"
#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kName[] = "chaos";

DeploymentOptions ToDeployment(const ChaosOptions& options) {
  DeploymentOptions deployment;
  deployment.workers = options.workers;
  deployment.lease_ms = options.lease_ms;
  deployment.heartbeat_ms = options.lease_ms / 20;
  return deployment;
}

int64_t Count(const Deployment& deployment, const char* query) {
  return std::stoll(deployment.Query(query).at(0));
}

// One sweep from its submission to its end, with at most `faults` more.
class Round {
 public:
  Round(const ChaosOptions& options, std::mt19937_64& random, ChaosReport& report)
      : options_(options),
        random_(random),
        report_(report),
        deployment_(ToDeployment(options)),
        faults_(deployment_, random, options.lease_ms),
        zombies_(deployment_) {}

  SweepResult Run(int faults) {
    deployment_.Submit(ChaosSweepYaml(options_.tokens));
    begun_ = Clock::now();
    const bool ended = UntilEnd(faults);
    faults_.EndAll();
    const v1::GetSweepResponse sweep = deployment_.Get(kName);
    for (const std::string& one : Unfinished(sweep)) Wrong(one);
    if (!ended) Wrong(absl::StrCat("the sweep did not end within ", options_.patience_s, " s"));
    WriteAsZombies();
    for (const auto& [what, count] : zombies_.refused()) report_.zombies[what] += count;
    if (!WithoutTrainers()) Wrong("trainers are left");
    if (Count(deployment_,
              "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") != 1) {
      Wrong("the database is damaged");
    }
    report_.refused_batches += Count(deployment_, "SELECT sum(refused_batches) FROM attempts");
    options_.say(absl::StrFormat("%6.1f s  ended after %d attempts", Seconds(),
                                 Count(deployment_, "SELECT count(*) FROM attempts")));
    return ended ? ResultOf(deployment_, kName, /*with_fit=*/true) : SweepResult();
  }

  std::string Logs() const { return deployment_.Logs(); }

 private:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }
  void Wrong(const std::string& sentence) {
    report_.wrong.push_back(absl::StrCat("round ", report_.rounds, ": ", sentence));
  }

  bool UntilEnd(int faults) {
    Clock::time_point next_fault = Clock::now() + Gap();
    for (int injected = 0; Seconds() < static_cast<double>(options_.patience_s);) {
      faults_.EndDue();
      if (injected < faults && Clock::now() >= next_fault) {
        injected += Inject();
        next_fault = Clock::now() + Gap();
      }
      if (injected == faults && faults > 0) faults_.EndDue();
      if (faults_.coordinator_answers()) {
        WriteAsZombies();
        if (HasEndedForGood()) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  void WriteAsZombies() {
    for (const std::string& one : zombies_.Write()) Wrong(one);
  }

  std::chrono::milliseconds Gap() {
    return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(
        options_.least_gap_ms, options_.largest_gap_ms)(random_));
  }

  int Inject() {
    std::string detail;
    const std::string kind = faults_.Inject(detail);
    if (kind.empty()) return 0;
    ++report_.faults;
    ++report_.kinds[kind];
    options_.say(absl::StrFormat("%6.1f s  %s", Seconds(), detail));
    return 1;
  }

  // Too many faults in a row fail a run, as they should; somebody then says `allo retry`.
  bool HasEndedForGood() {
    const std::optional<v1::GetSweepResponse> sweep = deployment_.TryGet(kName);
    if (!sweep.has_value() || sweep->sweep().runs_failed() + sweep->sweep().runs_succeeded() == 0) {
      return false;
    }
    if (sweep->sweep().runs_failed() > 0) {
      for (const v1::Run& run : sweep->runs()) {
        if (run.state() != v1::RUN_FAILED) continue;
        options_.say(
            absl::StrFormat("%6.1f s  retry run %d: %s", Seconds(), run.run_id(), run.reason()));
      }
      report_.retries += deployment_.Retry(kName);
      return false;
    }
    return HasEnded(*sweep);
  }

  bool WithoutTrainers() const {
    return Eventually([this] { return deployment_.NoTrainerLeft(); });
  }

  const ChaosOptions& options_;
  std::mt19937_64& random_;
  ChaosReport& report_;
  Deployment deployment_;
  Faults faults_;
  Zombies zombies_;
  Clock::time_point begun_;
};

}  // namespace

std::string ChaosSweepYaml(int64_t tokens) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [4k, 6k, 9k, 14k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: {4k: 1e-2, 14k: 5e-3}}\n"
      "budgets: {tokens: [%d, %d, %d, %d]}\n"
      "devices: {default: 1, 9k: 2}\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 100000\n"
      "log_every: 20\n"
      "checkpoint_every: 500ms\n",
      kName, tokens / 16, tokens / 4, tokens / 2, tokens);
}

ChaosReport RunChaos(const ChaosOptions& options) {
  std::mt19937_64 random(options.seed);
  ChaosReport report;
  options.say("undisturbed:");
  const SweepResult expected = Round(options, random, report).Run(0);
  while (report.wrong.empty() && report.faults < options.faults) {
    ++report.rounds;
    const int before = report.faults;
    options.say(absl::StrFormat("round %d:", report.rounds));
    Round round(options, random, report);
    const SweepResult result = round.Run(options.faults - before);
    for (const std::string& difference : Differences(expected, result)) {
      report.wrong.push_back(absl::StrCat("round ", report.rounds, ": ", difference));
    }
    if (report.faults == before) report.wrong.push_back("a round without any fault: too short");
    if (!report.wrong.empty()) options.say(round.Logs());
  }
  return report;
}

}  // namespace allometry::testing
