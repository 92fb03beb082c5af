#include "base/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "CLI/Error.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/nearest_word.h"

namespace allometry {
namespace {

constexpr int kBadUsage = 2;

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string Sentence(absl::string_view what, absl::string_view word,
                     const std::vector<std::string>& known, absl::string_view help) {
  const absl::string_view meant = NearestWord(word, {known.begin(), known.end()});
  const std::string advice = meant.empty() ? absl::StrCat("known are ", absl::StrJoin(known, ", "))
                                           : absl::StrCat("did you mean ", meant, "?");
  return absl::StrCat("unknown ", what, " ", word, ": ", advice, " (see ", help, " --help)");
}

bool IsNumber(const std::string& word) {
  char* end = nullptr;
  std::strtod(word.c_str(), &end);
  return *end == '\0';
}

}  // namespace

std::string UnknownWord(const CLI::App& app, int argc, const char* const* argv) {
  // The commands that the words so far name; an option may be one of any of them.
  std::vector<const CLI::App*> path = {&app};
  std::string help = app.get_name();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") break;
    if (word.size() > 1 && word[0] == '-' && !IsNumber(word)) {
      // -xVALUE is an option as well as --option=VALUE.
      const std::string name = word[1] == '-' ? word.substr(0, word.find('=')) : word.substr(0, 2);
      const CLI::Option* option = nullptr;
      std::vector<std::string> known;
      for (const CLI::App* command : path) {
        const CLI::Option* found = command->get_option_no_throw(name);
        if (found != nullptr) option = found;
        for (const CLI::Option* other : command->get_options()) {
          for (const std::string& known_name : other->get_lnames()) {
            known.push_back(absl::StrCat("--", known_name));
          }
        }
      }
      std::sort(known.begin(), known.end());
      known.erase(std::unique(known.begin(), known.end()), known.end());
      if (option == nullptr) return Sentence("option", name, known, help);
      const bool takes_next = option->get_items_expected_min() > 0 && name.size() == word.size();
      if (takes_next) ++i;
      continue;
    }
    const std::vector<const CLI::App*> commands = Commands(*path.back());
    if (commands.empty()) continue;  // an argument of the command
    const auto named = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* command) {
      return command->get_name() == word;
    });
    if (named == commands.end()) {
      std::vector<std::string> known;
      for (const CLI::App* command : commands) known.push_back(command->get_name());
      return Sentence("command", word, known, help);
    }
    path.push_back(*named);
    absl::StrAppend(&help, " ", word);
  }
  return "";
}

std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv) {
  app.set_version_flag("--version", absl::StrCat(app.get_name(), " ", ALLO_VERSION),
                       "print the version");
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const std::string unknown = UnknownWord(app, argc, argv);
    std::cerr << app.get_name() << ": "
              << (unknown.empty() ? absl::StrCat(error.what(), " (see ", app.get_name(), " --help)")
                                  : unknown)
              << std::endl;
    return kBadUsage;
  }
}

}  // namespace allometry
