// allo certs: a small authority for the coordinator's TLS (transport/certificates.h).
#include "cli/certs.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/format.h"
#include "transport/certificates.h"

namespace allometry::cli {
namespace {

struct CertsArguments {
  std::string dir;
  std::vector<std::string> hosts;
};

absl::Status MakeCertificates(const CertsArguments& arguments) {
  ALLO_RETURN_IF_ERROR(transport::MakeAuthority(arguments.dir));
  for (const std::string& host : arguments.hosts) {
    ALLO_RETURN_IF_ERROR(transport::SignHost(arguments.dir, host));
  }
  return absl::OkStatus();
}

int Init(const CertsArguments& arguments) {
  if (const absl::Status made = MakeCertificates(arguments); !made.ok()) return Fail(made);
  std::cout << "authority: " << arguments.dir << "/ca.pem (give it to clients: --tls-ca)\n";
  for (const std::string& host : arguments.hosts) {
    std::cout << host << ": allo coordinator --tls-cert " << arguments.dir << "/" << host
              << ".pem --tls-key " << arguments.dir << "/" << host << ".key\n";
  }
  return kExitOk;
}

}  // namespace

void AddCerts(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "certs", "certificates for a coordinator that clients check by an authority (--tls-ca)");
  command->require_subcommand(1);
  CLI::App* init = command->add_subcommand(
      "init", "make an authority where there is none, and a new certificate for each host");
  auto arguments = std::make_shared<CertsArguments>();
  init->add_option("--dir", arguments->dir, "the folder of the authority and its certificates")
      ->required();
  init->add_option("HOST", arguments->hosts,
                   "a host's name or IP address, as clients call it; valid for a year");
  init->callback([&context, arguments] { context.run = [arguments] { return Init(*arguments); }; });
}

}  // namespace allometry::cli
