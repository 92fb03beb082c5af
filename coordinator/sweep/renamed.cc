#include "coordinator/sweep/renamed.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/sweep_reader.h"

namespace allometry::sweep {
namespace {

// Where the value of `name` stands: its first byte and how many there are, quotes included.
absl::StatusOr<std::pair<size_t, size_t>> PlaceOfName(const std::string& text) {
  try {
    const YAML::Node node = YAML::Load(text)["name"];
    const std::string value = node.as<std::string>();
    const auto at = static_cast<size_t>(node.Mark().pos);
    const std::string rest = text.substr(std::min(at, text.size()));
    for (const std::string& written :
         {value, absl::StrCat("\"", value, "\""), absl::StrCat("'", value, "'")}) {
      if (absl::StartsWith(rest, written)) return std::pair(at, written.size());
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return absl::InvalidArgumentError("the value of 'name' is not written as it is read");
}

}  // namespace

absl::StatusOr<std::string> Renamed(absl::string_view yaml, absl::string_view file_name,
                                    const std::string& name) {
  std::string text(yaml);
  ALLO_ASSIGN_OR_RETURN(const auto place, PlaceOfName(text));
  text.replace(place.first, place.second, name);
  ALLO_ASSIGN_OR_RETURN(const SweepFile renamed, ParseSweepFile(text, file_name));
  if (renamed.name != name) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a name of a sweep"));
  }
  return text;
}

}  // namespace allometry::sweep
