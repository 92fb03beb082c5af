// allo-trainer and allo-trainer-cuda: train what RUN_DIR/run.json says.
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/command_line.h"
#include "base/standard_output.h"
#include "worker/trainer/device.h"
#include "worker/trainer/run_stack.h"
#include "worker/trainer/run_trainer.h"
#include "worker/trainer/self_test.h"
#include "worker/trainer/stack.h"

namespace {

int Main(int argc, char** argv) {
  allometry::trainer::TrainerOptions options;
  CLI::App app(
      "Trains what RUN_DIR/run.json says and writes curves, checkpoints and the exit reason to\n"
      "RUN_DIR/attempt-K. Needs no coordinator. Several ranks: mpirun -np K allo-trainer ...",
      "allo-trainer");
  std::vector<std::string> run_dirs;
  app.add_option("RUN_DIR", run_dirs,
                 "the folder with run.json; several: runs of one shape, trained as a stack")
      ->check(CLI::ExistingDirectory);
  app.add_option("--data-dir", options.data_dir, "the folder with the datasets");
  int stack = 0;
  CLI::Option* const stacked =
      app.add_option(
             "--stack", stack,
             "train the runs as a stack of so many places, which is part of their numerics; "
             "places without a run stay idle. Default: as many as there are runs")
          ->check(CLI::Range(1, allometry::trainer::kMostStacked));
  app.add_option("--collective", options.collective,
                 "how ranks add their gradients: auto, self, mpi or nccl")
      ->capture_default_str();
  allometry::AddDurationInSeconds(
      app, "--collective-timeout", options.collective_timeout_s,
      "how long to wait for another rank before the attempt ends as NODE_LOST; more than a "
      "checkpoint takes",
      {.least = 0.001})
      ->envname("ALLO_COLLECTIVE_TIMEOUT");
  app.add_option("--bucket-mib", options.bucket_mib,
                 "with several ranks: the gradient is added up in buckets of so many MiB while the "
                 "rest of it is computed; 0: as a whole at the end. Default: 25 on GPUs, 0 on CPUs")
      ->check(CLI::Range(0.0, 1e6))
      ->envname("ALLO_BUCKET_MIB");
  CLI::Option* const leased =
      app.add_flag("--leased", options.leased,
                   "standard input carries the lease; its end ends the job (for the worker agent)");
  CLI::Option* const measure =
      allometry::AddDurationInSeconds(
          app, "--measure", options.measure_seconds,
          "train for about this long, write nothing to the attempt, and print what an update, an "
          "evaluation and a checkpoint take as JSON",
          {.least = 0.001})
          ->default_str("");
  std::string self_test, device = "cpu";
  app.add_option("--self-test", self_test,
                 "only say whether this trainer works here: compute a little, write to this folder")
      ->check(CLI::ExistingDirectory)
      ->excludes("RUN_DIR");
  app.add_option("--device", device, "of the self-test: cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.set_version_flag("--version", allometry::trainer::TrainerBuild(), "print what was compiled");
  if (const std::optional<int> over = allometry::ParseCommandLine(app, argc, argv)) return *over;
  if (!self_test.empty()) {
    return allometry::trainer::SelfTest(self_test,
                                        *allometry::run::Parse<allometry::run::DeviceKind>(device));
  }
  if (run_dirs.empty()) return app.exit(CLI::RequiredError("RUN_DIR"));
  if (options.data_dir.empty()) return app.exit(CLI::RequiredError("--data-dir"));
  if (stack > 0 || run_dirs.size() > 1) {
    for (const CLI::Option* alone : {leased, measure}) {
      if (alone->count() > 0) {
        return app.exit(CLI::ExcludesError(stacked->get_name(), alone->get_name()));
      }
    }
    return allometry::trainer::RunStack(options, run_dirs, stack);
  }
  options.run_dir = run_dirs.front();
  if (options.measure_seconds > 0) return allometry::trainer::MeasureTrainer(options);
  return allometry::trainer::RunTrainer(options);
}

}  // namespace

int main(int argc, char** argv) { return allometry::EndOutput("allo-trainer", Main(argc, argv)); }
