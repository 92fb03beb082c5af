// Two ranks of a run beside busy processes: what waiting for each other costs them.
//
//   build/bench/ranks [--trainer FILE] [--seconds S] [--repetitions N] [--shape L,H,d,T,B]
//
// Six processes share two cores. First one rank beside five processes that only compute, then two
// ranks beside four; so each process has the same share of the machine. `speed` is tokens a second
// against twice the one rank's: what two ranks keep of two shares. `work` is tokens a second of
// processor time against the one rank's. Medians, interleaved.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "nlohmann/json.hpp"
#include "run/run_spec.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry {
namespace {

struct Options {
  std::string trainer;
  double seconds = 3;
  int repetitions = 5;
  std::vector<int> shape = {2, 2, 32, 64,
                            16};  // layers, heads, width, context, sequences an update
};

// On the first two processors that this process may use; children inherit it.
void UseTwoCores() {
  cpu_set_t allowed, two;
  ALLO_CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  CPU_ZERO(&two);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < 2; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &two);
  }
  ALLO_CHECK(CPU_COUNT(&two) == 2) << "two processors are needed";
  ALLO_CHECK(sched_setaffinity(0, sizeof two, &two) == 0);
}

class BusyProcesses {
 public:
  explicit BusyProcesses(int count) {
    for (int i = 0; i < count; ++i) {
      pids_.push_back(fork());
      if (pids_.back() != 0) continue;
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (volatile uint64_t x = 0;;) x = x + 1;
    }
  }
  ~BusyProcesses() {
    for (const pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> pids_;
};

struct Speed {
  double tokens_per_s = 0;
  double tokens_per_cpu_s = 0;
};

Speed Measure(const Options& options, const std::string& folder, int ranks, int busy) {
  run::RunSpec spec;
  spec.identity.shape = {
      "gpt", options.shape[0], options.shape[1], options.shape[2], options.shape[3], 256};
  spec.identity.dataset = "pattern";
  spec.identity.batch_tokens = int64_t{options.shape[3]} * options.shape[4];
  spec.identity.learning_rate = 1e-3;
  spec.steps = 1'000'000'000;
  spec.evaluation_windows = 1;
  spec.ranks = ranks;
  const std::string run_dir = folder + "/run";
  ALLO_CHECK(run::WriteRunSpec(run_dir, spec).ok());
  std::string command;
  if (ranks > 1) {
    command = absl::StrCat("mpirun -np ", ranks,
                           " --allow-run-as-root --oversubscribe --bind-to none --mca "
                           "btl_vader_single_copy_mechanism none ");
  }
  absl::StrAppend(&command, options.trainer, " ", run_dir, " --data-dir ", folder,
                  "/data --measure ", options.seconds, "s");
  const BusyProcesses others(busy);
  FILE* const pipe = popen(command.c_str(), "r");
  ALLO_CHECK(pipe != nullptr);
  std::string text;
  for (std::array<char, 4096> piece; fgets(piece.data(), piece.size(), pipe) != nullptr;) {
    text += piece.data();
  }
  ALLO_CHECK(pclose(pipe) == 0) << command << "\n" << text;
  const nlohmann::json json = nlohmann::json::parse(text);
  const auto tokens = static_cast<double>(spec.identity.batch_tokens);
  return {tokens / json.at("update_s").get<double>(), tokens / json.value("update_cpu_s", 1e300)};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(int argc, char** argv) {
  Options options;
  options.trainer = std::string(argv[0]);
  options.trainer = options.trainer.substr(0, options.trainer.rfind("bench/")) + "bin/allo-trainer";
  CLI::App app("Two ranks of a run beside busy processes");
  app.add_option("--trainer", options.trainer)->capture_default_str();
  app.add_option("--seconds", options.seconds)->capture_default_str();
  app.add_option("--repetitions", options.repetitions)->capture_default_str();
  app.add_option("--shape", options.shape, "layers,heads,width,context,sequences an update")
      ->delimiter(',')
      ->expected(5);
  CLI11_PARSE(app, argc, argv);

  setenv("OMP_NUM_THREADS", "1", 1);
  setenv("MKL_NUM_THREADS", "1", 1);
  UseTwoCores();
  const testing::TemporaryFolder folder;
  ALLO_CHECK(testing::WriteTokenDataset(folder.Path("data"), "pattern", 256,
                                        testing::PatternedTokens(200'000, 256),
                                        testing::PatternedTokens(20'000, 256))
                 .ok());
  std::string load;
  std::getline(std::ifstream("/proc/loadavg"), load);
  absl::PrintF("load before: %s\n", load);
  std::vector<double> speed, work;
  for (int i = 0; i < options.repetitions; ++i) {
    const Speed one = Measure(options, folder.Path(""), 1, 5);
    const Speed two = Measure(options, folder.Path(""), 2, 4);
    speed.push_back(two.tokens_per_s / one.tokens_per_s / 2);
    work.push_back(two.tokens_per_cpu_s / one.tokens_per_cpu_s);
    absl::PrintF(
        "one rank beside five: %.0f tokens/s, %.0f a processor second; two beside four: %.0f, "
        "%.0f: speed %.2f, work %.2f\n",
        one.tokens_per_s, one.tokens_per_cpu_s, two.tokens_per_s, two.tokens_per_cpu_s,
        speed.back(), work.back());
    std::fflush(stdout);
  }
  absl::PrintF("median: speed %.2f, work %.2f\n", Median(speed), Median(work));
  return 0;
}

}  // namespace
}  // namespace allometry

int main(int argc, char** argv) { return allometry::Main(argc, argv); }
