#include <iostream>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "cli/sweep_input.h"
#include "coordinator/cost/plan.h"

namespace allometry::cli {
namespace {

struct Arguments {
  std::string file;
  std::string allow_commands = "auto";
  bool dry_run = false;
  bool watch = false;
  std::string on_end;
};

template <class T>
std::vector<T> Copy(const google::protobuf::RepeatedPtrField<T>& field) {
  return {field.begin(), field.end()};
}

int Submit(const Context& context, const Arguments& arguments) {
  const absl::StatusOr<SweepInput> input =
      ReadSweepInput(arguments.file, context.data_dir, arguments.allow_commands);
  absl::StatusOr<v1::CreateSweepRequest> request =
      input.ok() ? input->Request(arguments.dry_run)
                 : RequestWithoutDataset(arguments.file, input.status());
  if (!request.ok()) return Fail(request.status());
  request->set_dry_run(arguments.dry_run);

  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::CreateSweepResponse response;
  const grpc::Status status =
      (*stub)->CreateSweep(MakeCall(context, 60).get(), *request, &response);
  if (!status.ok() && !input.ok()) {
    // No sweep of the coordinator has the dataset: what keeps the file from being read here says
    // more.
    if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
      return Fail(NameWorkersWithDataset(context, input.status()));
    }
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return Fail(input.status());
  }
  if (!status.ok()) return Fail(context, status);
  const std::string& name = response.sweep().name();

  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n";
  } else {
    std::cout << cost::PlanText(
        cost::Plan(response.sweep(), Copy(response.runs()), Copy(response.cells())));
    if (response.changes().empty()) {
      std::cout << "sweep " << name << " exists already with all of this: nothing to add\n";
    }
    for (const std::string& change : response.changes()) {
      std::cout << (arguments.dry_run ? WouldAdd(change) : change) << "\n";
    }
    std::cout << StagesText(response.sweep());
  }
  std::cout << std::flush;
  if (arguments.watch && !arguments.dry_run) {
    return WatchUntilEnd(context, name, 60, arguments.on_end);
  }
  return kExitOk;
}

}  // namespace

void AddSubmit(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "submit", "create a sweep from its file, or add to it what the changed file asks for");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("FILE", arguments->file, "sweep file (YAML; docs/sweep-file.md)")->required();
  command->add_flag("--dry-run", arguments->dry_run, "say what would be added, and add nothing");
  CLI::Option* watch =
      command->add_flag("--watch", arguments->watch, "then follow the sweep until it ends");
  command->add_option("--on-end", arguments->on_end, std::string("with --watch: ") + kOnEndHelp)
      ->needs(watch);
  command->add_option("--allow-commands", arguments->allow_commands,
                      "programs that the file's trainer.describe_command may be: auto (all), none, "
                      "or programs with commas");
  command->add_option("--data-dir", context.data_dir, "folder of the datasets (ALLO_DATA_DIR)")
      ->capture_default_str();
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Submit(context, *arguments); };
  });
}

}  // namespace allometry::cli
