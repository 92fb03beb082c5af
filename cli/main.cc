// allo: the command line. See cli/context.h for exit codes.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "base/command_line.h"
#include "base/foreign_text.h"
#include "base/standard_output.h"
#include "cli/certs.h"
#include "cli/commands.h"
#include "cli/profile.h"
#include "cli/slurm.h"
#include "data/command.h"
#include "transport/address.h"
#include "transport/connection.h"

namespace allometry::cli {
namespace {

std::string FromEnvironment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// The value of --using, wherever it stands: a profile's settings are wanted before the options are
// declared, whose defaults they are.
std::string UsingOf(int argc, char** argv) {
  const std::string option = "--using";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == option && i + 1 < argc) return argv[i + 1];
    if (word.rfind(option + "=", 0) == 0) return word.substr(option.size() + 1);
  }
  return FromEnvironment("ALLO_PROFILE", "");
}

// A profile's settings become variables where the environment has none of its own.
absl::StatusOr<Profile> UseProfile(int argc, char** argv) {
  ALLO_ASSIGN_OR_RETURN(Profile profile, ReadProfile(ProfileFile(), UsingOf(argc, argv)));
  const std::pair<const char*, std::string*> settings[] = {
      {"ALLO_COORDINATOR", &profile.coordinator},
      {"ALLO_TOKEN_FILE", &profile.token_file},
      {"ALLO_TLS_CA", &profile.tls_ca},
      {"ALLO_DATA_DIR", &profile.data_dir}};
  for (const auto& [variable, value] : settings) {
    if (!FromEnvironment(variable, "").empty()) value->clear();
    if (!value->empty()) setenv(variable, value->c_str(), 1);
  }
  return profile;
}

int Main(int argc, char** argv) {
  const absl::StatusOr<Profile> profile = UseProfile(argc, argv);
  if (!profile.ok()) return Fail(profile.status());
  if (argc > 1 && std::strcmp(argv[1], "coordinator") == 0) {
    return ExecBeside("allo-coordinator", argc, argv);
  }
  if (argc > 1 && std::strcmp(argv[1], "worker") == 0) return ExecBeside("allo-worker", argc, argv);

  // A parent may have left it ignored: then nobody could wait for a program that is started here.
  std::signal(SIGCHLD, SIG_DFL);
  // What is printed may come from runs, hosts and files of others.
  const PrintableStream printable_out(std::cout);
  const PrintableStream printable_err(std::cerr);
  transport::QuietGrpc();
  Context context;
  context.coordinator = FromEnvironment("ALLO_COORDINATOR", transport::DefaultCoordinatorAddress());
  context.token_file = FromEnvironment("ALLO_TOKEN_FILE", "");
  context.tls_ca = FromEnvironment("ALLO_TLS_CA", "");
  context.data_dir = FromEnvironment("ALLO_DATA_DIR",
                                     FromEnvironment("HOME", ".") + "/.local/share/allometry/data");

  CLI::App app(
      "Allometry: scaling-law sweeps, from a file of (N, D) to coefficients with intervals.\n"
      "Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 no coordinator answers.",
      "allo");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--coordinator", context.coordinator,
                 "unix:PATH or HOST:PORT of the coordinator (ALLO_COORDINATOR)")
      ->capture_default_str();
  app.add_option("--tls-ca", context.tls_ca,
                 "PEM file of the authority that signed the coordinator's certificate; not needed "
                 "with the token (ALLO_TLS_CA)")
      ->check(CLI::ExistingFile);
  app.add_option("--token-file", context.token_file,
                 "file whose first line is the coordinator's token, for TCP (ALLO_TOKEN_FILE)")
      ->check(CLI::ExistingFile);
  app.add_flag("--json", context.json, "print data as JSON");
  std::string used;
  app.add_option("--using", used, "profile of " + ProfileFile() + " (ALLO_PROFILE)");

  AddSubmit(app, context);
  AddPlan(app, context);
  AddWatch(app, context);
  AddSweeps(app, context);
  AddRuns(app, context);
  AddShow(app, context);
  AddLog(app, context);
  AddTag(app, context);
  AddNote(app, context);
  AddArchive(app, context);
  AddDelete(app, context);
  AddCancel(app, context);
  AddPreempt(app, context);
  AddRetry(app, context);
  AddWorkers(app, context);
  AddDrain(app, context);
  AddFit(app, context);
  AddCompare(app, context);
  AddOptima(app, context);
  AddRates(app, context);
  AddScores(app, context);
  AddPredict(app, context);
  AddReport(app, context);
  AddExport(app, context);
  AddBackup(app, context);
  AddNext(app, context);
  AddImport(app, context);
  AddWeb(app, context);
  AddCerts(app, context);
  AddSlurm(app, context);
  AddTrainer(app, context);
  AddDocuments(app, context);
  data::AddDataCommand(app, &context.run);
  app.add_subcommand("coordinator", "start a coordinator (allo coordinator --help)");
  app.add_subcommand("worker", "start a worker agent (allo worker --help)");

  if (const std::optional<int> over = ParseCommandLine(app, argc, argv)) return *over;
  const bool by_option = app.count("--coordinator") > 0;
  const bool by_variable = !FromEnvironment("ALLO_COORDINATOR", "").empty();
  context.coordinator_named = by_option || by_variable;
  if (by_variable && !by_option) {
    context.coordinator_option =
        profile->coordinator.empty() ? "ALLO_COORDINATOR" : "profile " + profile->name;
  }
  return context.run();
}

}  // namespace
}  // namespace allometry::cli

int main(int argc, char** argv) {
  try {
    return allometry::EndOutput("allo", allometry::cli::Main(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "allo: " << error.what() << "\n";
    return allometry::cli::kExitFailed;
  }
}
