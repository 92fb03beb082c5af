// allo web: the page of a coordinator's sweeps, until it is interrupted.
#include <csignal>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "transport/connection.h"
#include "web/server.h"

namespace allometry::cli {
namespace {

int Serve(const Context& context, web::Options options) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);  // in every thread: sigwait below receives them
  std::signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  options.coordinator = context.coordinator;
  options.explain = [&context](const grpc::Status& status) { return Explain(context, status); };
  absl::StatusOr<std::unique_ptr<web::Server>> server =
      web::Server::Start(options, *std::move(stub));
  if (!server.ok()) return Fail(server.status());
  std::cout << "allo web: open " << (*server)->url() << "  (Ctrl-C ends it)" << std::endl;
  int signal = 0;
  sigwait(&stop, &signal);
  (*server)->Stop();
  return kExitOk;
}

}  // namespace

void AddWeb(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "web", "show sweeps, curves and fits in a browser; read-only unless --allow-changes");
  auto options = std::make_shared<web::Options>();
  command
      ->add_option("--listen", options->listen,
                   "HOST:PORT; port 0 takes a free one. Beyond loopback the address has a token")
      ->capture_default_str();
  command->add_flag("--allow-changes", options->allow_changes,
                    "the page may cancel, retry and preempt runs, write tags and notes, archive "
                    "sweeps, and drain hosts");
  command->add_option("--name", options->names,
                      "a further host name that browsers may open it by, as behind a proxy");
  command->callback([&context, options] {
    context.run = [&context, options] { return Serve(context, *options); };
  });
}

}  // namespace allometry::cli
