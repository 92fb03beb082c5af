#include "cli/describe_sizes.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/json_shape.h"
#include "cli/child.h"
#include "cli/scratch_folder.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/trainer_section.h"
#include "worker/agent/command_launch.h"

namespace allometry::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShown = 200;  // bytes of what a command printed

std::string Shown(absl::string_view text) {
  const absl::string_view stripped = absl::StripAsciiWhitespace(text);
  return absl::StrCat(absl::CHexEscape(stripped.substr(0, kShown)),
                      stripped.size() > kShown ? "..." : "");
}

absl::StatusOr<std::string> Printed(const sweep::TrainerChoice& trainer,
                                    const sweep::SizeChoice& size, const std::string& folder,
                                    const agent::CommandPolicy& policy,
                                    const std::string& scratch) {
  const absl::StatusOr<launch::Command> command = agent::MakeDescribeCommand(
      trainer.describe_command, sweep::DescribedValues(size), folder, policy);
  if (absl::IsPermissionDenied(command.status())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "'%s' is not started: --allow-commands allows %s", trainer.describe_command[0],
        policy.programs.empty() ? "none" : absl::StrJoin(policy.programs, ", ")));
  }
  ALLO_RETURN_IF_ERROR(command.status());
  ALLO_ASSIGN_OR_RETURN(std::vector<ChildResult> results,
                        RunTogether({*command}, scratch, trainer.describe_seconds));
  ChildResult& result = results[0];
  if (result.timed_out) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "it was not done in %g s (trainer.describe_seconds)", trainer.describe_seconds));
  }
  if (result.exit_code != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "it ended with code %d%s", result.exit_code,
        result.errors.empty() ? ""
                              : ": " + std::string(absl::StripAsciiWhitespace(result.errors))));
  }
  return std::move(result.output);
}

absl::StatusOr<Json> Parse(const std::string& printed) {
  constexpr char kWanted[] =
      "a JSON object such as {\"params\": 310000000, \"flops_per_token\": 2.1e9} is expected";
  const Json json = CheckJsonShape(printed).ok()
                        ? Json::parse(printed, nullptr, /*allow_exceptions=*/false)
                        : Json(Json::value_t::discarded);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("it printed '%s': %s", Shown(printed), kWanted));
  }
  if (!json.contains("params")) {
    return absl::InvalidArgumentError(
        absl::StrFormat("it printed '%s' without params: %s", Shown(printed), kWanted));
  }
  Json kept = Json::object();
  for (const absl::string_view key : sweep::kDescribedKeys) {
    const auto found = json.find(std::string(key));
    if (found == json.end()) continue;
    const bool is_count = key != "flops_per_token";
    const double value =
        found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(value > 0) || !(value <= 1e20) ||
        (is_count && (value > 1e15 || value != std::floor(value)))) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "it printed %s %s: allowed is %s", key, Shown(found->dump()),
          is_count ? "a whole number of 1 to 1e15" : "a number above 0, at most 1e20"));
    }
    kept[std::string(key)] = is_count ? Json(static_cast<int64_t>(value)) : Json(value);
  }
  if (kept.value("params_non_embedding", int64_t{0}) > kept["params"].get<int64_t>()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "it printed params_non_embedding %d, which are more than params %d",
        kept["params_non_embedding"].get<int64_t>(), kept["params"].get<int64_t>()));
  }
  return kept;
}

// The table's own numbers are to be those of the command.
absl::Status CheckTable(const sweep::SizeChoice& size, const Json& described) {
  const auto differs = [&](const char* key, double in_file) -> absl::Status {
    if (in_file == 0 || !described.contains(key)) return absl::OkStatus();
    const double printed = described[key].get<double>();
    if (std::abs(printed - in_file) <= 1e-9 * in_file) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrFormat("the file says %s %.17g, the command %.17g", key, in_file, printed));
  };
  ALLO_RETURN_IF_ERROR(differs("params", static_cast<double>(size.params)));
  if (size.row->has_params_non_embedding) {
    ALLO_RETURN_IF_ERROR(
        differs("params_non_embedding", static_cast<double>(size.row->params_non_embedding)));
  }
  return differs("flops_per_token", size.row->flops_per_token);
}

}  // namespace

absl::StatusOr<Json> DescribeSizes(const sweep::SweepFile& file, const std::string& folder,
                                   const std::string& allow_commands) {
  Json sizes = Json::object();
  const sweep::TrainerChoice& trainer = *file.trainer;
  ALLO_ASSIGN_OR_RETURN(const agent::CommandPolicy policy,
                        agent::ParseCommandPolicy(allow_commands, /*own_coordinator=*/true));
  ALLO_ASSIGN_OR_RETURN(const auto scratch, ScratchFolder::Make("allo-describe"));
  sweep::Mistakes mistakes(file.file_name);
  for (const sweep::SizeChoice& size : file.sizes) {
    absl::StatusOr<Json> described = absl::UnknownError("");
    if (const auto printed = Printed(trainer, size, folder, policy, scratch->path());
        printed.ok()) {
      described = Parse(*printed);
    } else if (absl::IsCancelled(printed.status())) {
      return printed.status();
    } else {
      described = printed.status();
    }
    absl::Status status = described.status();
    if (status.ok()) status = CheckTable(size, *described);
    if (status.ok()) {
      sizes[size.label] = *std::move(described);
      continue;
    }
    mistakes.Add(size.line, absl::StrFormat("size %s: describe_command (line %d): %s", size.label,
                                            trainer.describe_line, status.message()));
  }
  ALLO_RETURN_IF_ERROR(mistakes.ToStatus());
  return sizes;
}

}  // namespace allometry::cli
