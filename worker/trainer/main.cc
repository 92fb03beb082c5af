// allo-trainer and allo-trainer-cuda: train what RUN_DIR/run.json says.
#include <string>

#include "CLI/CLI.hpp"
#include "worker/trainer/run_trainer.h"

int main(int argc, char** argv) {
  allometry::trainer::TrainerOptions options;
  CLI::App app(
      "Trains what RUN_DIR/run.json says and writes curves, checkpoints and the exit reason to\n"
      "RUN_DIR/attempt-K. Needs no coordinator. Several ranks: mpirun -np K allo-trainer ...");
  app.add_option("RUN_DIR", options.run_dir, "the folder with run.json")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--data-dir", options.data_dir, "the folder with the datasets")->required();
  app.add_option("--collective", options.collective,
                 "how ranks add their gradients: auto, self, mpi or nccl")
      ->capture_default_str();
  app.add_flag("--leased", options.leased,
               "standard input carries the lease; its end ends the job (for the worker agent)");
  app.add_option("--measure", options.measure_seconds,
                 "train for about so many seconds, write nothing to the attempt, and print what an "
                 "update, an evaluation and a checkpoint take as JSON")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (options.measure_seconds > 0) return allometry::trainer::MeasureTrainer(options);
  return allometry::trainer::RunTrainer(options);
}
