// allo workers, allo drain.
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "run/device.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

using Slots = google::protobuf::RepeatedPtrField<v1::Slot>;

std::vector<v1::Slot> OfHost(const Slots& slots, const std::string& host) {
  std::vector<v1::Slot> own;
  for (const v1::Slot& slot : slots) {
    if (slot.host() == host) own.push_back(slot);
  }
  return own;
}

// The hosts of a worker's slots in their order; of one that is away: its own.
std::vector<std::string> HostsOf(const v1::Worker& worker) {
  std::vector<std::string> hosts;
  for (const v1::Slot& slot : worker.slots()) {
    if (std::find(hosts.begin(), hosts.end(), slot.host()) == hosts.end()) {
      hosts.push_back(slot.host());
    }
  }
  return hosts.empty() ? std::vector<std::string>{worker.host()} : hosts;
}

// "8 cpu", "4 cuda, 8 cpu".
std::string SlotCounts(const std::vector<v1::Slot>& slots) {
  std::map<std::string, int, std::greater<>> kinds;
  for (const v1::Slot& slot : slots) {
    const std::optional<run::DeviceKind> kind = run::KindOfDevice(slot.device());
    ++kinds[kind ? run::NameOf(*kind) : "other"];
  }
  if (kinds.empty()) return "-";
  return absl::StrJoin(kinds, ", ", [](std::string* out, const auto& kind) {
    absl::StrAppend(out, kind.second, " ", kind.first);
  });
}

// What every slot of a worker's host is like: runs at once and memory.
std::string OfASlot(const std::vector<v1::Slot>& slots) {
  if (slots.empty()) return "-";
  const v1::Slot& slot = slots.front();
  const std::string memory =
      slot.memory_bytes() > 0 ? Short(static_cast<double>(slot.memory_bytes())) + "B" : "?";
  return slot.runs() > 1 ? absl::StrCat(memory, " for ", slot.runs()) : memory;
}

int ListWorkers(const Context& context) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ListWorkersResponse response;
  const grpc::Status status =
      (*stub)->ListWorkers(MakeCall(context, kTimeoutS).get(), {}, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n";
    return kExitOk;
  }
  if (response.workers().empty()) {
    std::cout << "no worker is connected: start one with 'allo worker'\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"host", "slots", "free", "memory", "datasets", "state"}};
  for (const v1::Worker& worker : response.workers()) {
    const std::string datasets = absl::StrJoin(
        worker.datasets(), " ",
        [](std::string* out, const v1::Dataset& dataset) { absl::StrAppend(out, dataset.name()); });
    const std::string state = !worker.drained().empty()
                                  ? absl::StrCat("drained: ", worker.drained())
                              : worker.slots().empty() ? "away"
                                                       : "";
    // A line a host; one whose worker has another name, as that of a Slurm job, shows both.
    for (const std::string& host : HostsOf(worker)) {
      const std::vector<v1::Slot> slots = OfHost(worker.slots(), host);
      rows.push_back({host == worker.host() ? host : absl::StrCat(host, " (", worker.host(), ")"),
                      SlotCounts(slots), SlotCounts(OfHost(worker.free_slots(), host)),
                      OfASlot(slots), datasets.empty() ? "-" : datasets, state});
    }
  }
  std::cout << Columns(rows, {true, true, true, true, true, true}, 0);
  return kExitOk;
}

struct DrainArguments {
  std::string host;
  bool off = false;
  std::string reason;
};

int Drain(const Context& context, const DrainArguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::SetDrainedRequest request;
  request.set_host(arguments.host);
  request.set_drained(!arguments.off);
  request.set_reason(arguments.reason);
  v1::SetDrainedResponse response;
  const grpc::Status status =
      (*stub)->SetDrained(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << "{\"drained\": " << (arguments.off ? "false" : "true") << "}\n";
  } else if (arguments.off) {
    std::cout << arguments.host << " gets runs again\n";
  } else {
    std::cout << arguments.host << " gets no new runs; those that it has go on ('allo drain "
              << arguments.host << " --off' undoes it)\n";
  }
  return kExitOk;
}

}  // namespace

void AddWorkers(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "workers", "list the workers: slots, which are free, datasets, and which are drained");
  command->callback([&context] { context.run = [&context] { return ListWorkers(context); }; });
}

void AddDrain(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "drain",
      "give a host no new runs, or (--off) again some; one that kills runs is drained by "
      "itself");
  auto arguments = std::make_shared<DrainArguments>();
  command->add_option("HOST", arguments->host, "a host as in 'allo workers'")->required();
  CLI::Option* off = command->add_flag("--off", arguments->off, "give it runs again");
  command->add_option("--reason", arguments->reason, "a sentence for those who look")
      ->excludes(off);
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Drain(context, *arguments); };
  });
}

}  // namespace allometry::cli
