#include "cli/profile.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"

namespace allometry::cli {
namespace {

struct Key {
  const char* name;
  std::string Profile::*field;
};
constexpr std::array kKeys = {Key{"coordinator", &Profile::coordinator},
                              Key{"token_file", &Profile::token_file},
                              Key{"tls_ca", &Profile::tls_ca}, Key{"data_dir", &Profile::data_dir}};

std::string KnownKeys() {
  return absl::StrJoin(kKeys, ", ",
                       [](std::string* out, const Key& key) { out->append(key.name); });
}

absl::StatusOr<std::vector<CLI::ConfigItem>> Parse(const std::string& file) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  std::istringstream stream(text);
  try {
    return CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrFormat("allo: %s: %s", file, error.what()));
  }
}

}  // namespace

std::string ProfileFile() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config != '\0') return std::string(config) + "/allometry.toml";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.config/allometry.toml";
}

absl::StatusOr<Profile> ReadProfile(const std::string& file, const std::string& name) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    if (name.empty()) return Profile();
    return absl::NotFoundError(
        absl::StrFormat("allo: profile %s: there is no file %s", name, file));
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<CLI::ConfigItem> items, Parse(file));
  Profile profile;
  profile.name = name;
  std::set<std::string> profiles;
  for (const CLI::ConfigItem& item : items) {
    const std::string value = item.inputs.empty() ? "" : item.inputs.front();
    // CLI11 marks where a section begins and ends.
    if (item.name == "++" || item.name == "--") {
      profiles.insert(item.fullname().substr(0, item.fullname().rfind('.')));
      continue;
    }
    if (item.parents.empty()) {
      if (item.name != "profile") {
        return absl::InvalidArgumentError(absl::StrFormat(
            "allo: %s: unknown key %s above the first [profile]; allowed is profile", file,
            item.name));
      }
      if (profile.name.empty()) profile.name = value;
      continue;
    }
    const std::string section = absl::StrJoin(item.parents, ".");
    profiles.insert(section);
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.parents.empty() || item.name == "++" || item.name == "--") continue;
    const std::string section = absl::StrJoin(item.parents, ".");
    const auto* const key = std::find_if(kKeys.begin(), kKeys.end(),
                                         [&](const Key& known) { return item.name == known.name; });
    if (key == kKeys.end()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("allo: %s: [%s] has an unknown key %s; allowed are %s", file, section,
                          item.name, KnownKeys()));
    }
    if (section == profile.name && !item.inputs.empty()) {
      profile.*(key->field) = item.inputs.front();
    }
  }
  if (!profile.name.empty() && !profiles.contains(profile.name)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("allo: %s has no profile [%s]; it has %s", file, profile.name,
                        profiles.empty() ? "none" : absl::StrJoin(profiles, ", ")));
  }
  return profile;
}

}  // namespace allometry::cli
