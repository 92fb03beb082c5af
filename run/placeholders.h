// Placeholders of a command of the sweep file: "{seed}" in a text stands for a value of the run.
//
//   {seed} {learning_rate} {batch_tokens} {context} {warmup_steps} {schedule} {decay_begin}
//   {decay_end} {final_rate_fraction} {dataset}                      the run's recipe
//   {size.label} {size.params} ... {size.NAME}                       Trainer::size and its args
//   {run_dir} {attempt_dir} {data_dir} {devices} {device} {attempt} {steps}     of an attempt
//   {hosts} {host_rank} {host_devices} {main_address} {main_port} {rank} {local_rank}
//                                                                    of a process (AddPlace)
//
// "{{" and "}}" are braces. A JSON string that is one placeholder and nothing else becomes the
// value with its type; inside a longer text a value is written as in JSON, a string as it is.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "run/run_spec.h"

namespace allometry::run {

using PlaceholderValues = std::map<std::string, JsonText>;

JsonText JsonString(absl::string_view text);
JsonText JsonInteger(int64_t value);
JsonText JsonReal(double value);

// What a run's recipe gives.
PlaceholderValues ValuesOf(const Identity& identity);
// Those, and what an attempt gives.
PlaceholderValues ValuesOf(const RunSpec& spec, const std::string& run_dir,
                           const std::string& data_dir);

// Where a process of a command stands among those that its worker starts.
struct ProcessPlace {
  int hosts = 1;
  int host_rank = 0;                       // of its host, from 0
  int host_devices = 1;                    // the run's devices there
  std::string main_address = "127.0.0.1";  // of host 0, for the others
  int main_port = 0;                       // nothing listens there yet
  int rank = 0;                            // where there is a process for each device: its place
  int local_rank = 0;                      // among all of them, and among those of its host
};

void AddPlace(const ProcessPlace& place, PlaceholderValues& values);
// Whether the command or its variables name {rank} or {local_rank}: then it is started once for
// each device. Otherwise once on each host, where it starts the others.
bool IsForEachDevice(const Trainer& trainer);
// Whether a process of it knows that there are other hosts: it is for each device, or names one of
// {hosts}, {host_rank} and {main_address}.
bool KnowsOtherHosts(const Trainer& trainer);

// InvalidArgument names the placeholder and lists those that there are.
absl::StatusOr<std::string> Replace(absl::string_view text, const PlaceholderValues& values);
// In every string of a JSON value, at any depth; names stay.
absl::StatusOr<JsonText> ReplaceInJson(const JsonText& json, const PlaceholderValues& values);

// The strings of a JSON array, and the strings of an object by name. InvalidArgument where it is
// something else.
absl::StatusOr<std::vector<std::string>> StringsOf(const JsonText& json);
absl::StatusOr<std::map<std::string, std::string>> StringMapOf(const JsonText& json);

}  // namespace allometry::run
