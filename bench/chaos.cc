// A sweep under many faults, by hand (tests/e2e/chaos.h says what is done and what must hold).
//
//   build/bench/chaos [--faults 100] [--seed 1] [--tokens 1500000] [--workers 2] [--lease-ms 2000]
//
// Prints every fault and the verdict. Exit code 0: nothing was lost, nothing was doubled, and the
// fit is the undisturbed sweep's bit for bit; 1: not so.
#include "tests/e2e/chaos.h"

#include <iostream>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_format.h"

namespace allometry::testing {
namespace {

int Main(int argc, char** argv) {
  ChaosOptions options;
  options.faults = 100;
  options.tokens = 6'000'000;
  CLI::App app("Kills and stops everything at random while a sweep trains", "chaos");
  app.add_option("--faults", options.faults, "how many")->capture_default_str();
  app.add_option("--seed", options.seed, "of kinds, gaps and durations")->capture_default_str();
  app.add_option("--tokens", options.tokens, "largest budget of a run; more: a longer sweep")
      ->capture_default_str();
  app.add_option("--workers", options.workers, "agents, of two slots each")->capture_default_str();
  app.add_option("--lease-ms", options.lease_ms, "of the coordinator")->capture_default_str();
  app.add_option("--patience-s", options.patience_s, "for one sweep")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  options.say = [](const std::string& line) { std::cout << line << std::endl; };
  std::cout << "seed " << options.seed << std::endl;
  const ChaosReport report = RunChaos(options);
  std::cout << absl::StrFormat("%d faults in %d sweeps:", report.faults, report.rounds);
  for (const auto& [kind, count] : report.kinds)
    std::cout << absl::StrFormat(" %s %d;", kind, count);
  std::cout << absl::StrFormat(" %d runs retried\nzombies refused:", report.retries);
  for (const auto& [what, count] : report.zombies) std::cout << " " << what << " " << count << ";";
  std::cout << absl::StrFormat(" %d batches in all\n", report.refused_batches);
  for (const std::string& sentence : report.wrong) std::cout << "WRONG: " << sentence << "\n";
  std::cout
      << (report.wrong.empty()
              ? "passed: every point once, the fit bit for bit that of the undisturbed sweep\n"
              : "FAILED\n");
  return report.wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace allometry::testing

int main(int argc, char** argv) { return allometry::testing::Main(argc, argv); }
