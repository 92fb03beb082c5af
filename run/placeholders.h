// Placeholders of a command of the sweep file: "{seed}" in a text stands for a value of the run.
//
//   {seed} {learning_rate} {batch_tokens} {context} {warmup_steps} {schedule} {decay_begin}
//   {decay_end} {final_rate_fraction} {dataset}                      the run's recipe
//   {size.label} {size.params} ... {size.NAME}                       Trainer::size and its args
//   {run_dir} {attempt_dir} {data_dir} {devices} {device} {attempt} {steps}     of an attempt
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

// InvalidArgument names the placeholder and lists those that there are.
absl::StatusOr<std::string> Replace(absl::string_view text, const PlaceholderValues& values);
// In every string of a JSON value, at any depth; names stay.
absl::StatusOr<JsonText> ReplaceInJson(const JsonText& json, const PlaceholderValues& values);

// The strings of a JSON array, and the strings of an object by name. InvalidArgument where it is
// something else.
absl::StatusOr<std::vector<std::string>> StringsOf(const JsonText& json);
absl::StatusOr<std::map<std::string, std::string>> StringMapOf(const JsonText& json);

}  // namespace allometry::run
