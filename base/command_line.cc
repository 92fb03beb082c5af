#include "base/command_line.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "CLI/Error.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/nearest_word.h"

namespace allometry {
namespace {

constexpr int kBadUsage = 2;
constexpr size_t kColumns = 80;
constexpr char kTime[] = "TIME";  // the type of options that take a time
constexpr char kTimeWords[] = "a time with its unit, such as 500ms, 30s, 5m or 2h";

// Options that had another name, most of them with their unit in it.
constexpr char kTakesATime[] = ", and takes a time with its unit, such as 500ms or 30s";
struct Renamed {
  absl::string_view old_name, name, more;
};
constexpr Renamed kRenamed[] = {{"--lease-ms", "--lease", kTakesATime},
                                {"--heartbeat-ms", "--heartbeat", kTakesATime},
                                {"--preempt-after-ms", "--preempt-after", kTakesATime},
                                {"--preempt-within-ms", "--preempt-within", kTakesATime},
                                {"--stall-floor-s", "--stall-floor", kTakesATime},
                                {"--measure-seconds", "--measure-time", kTakesATime},
                                {"--seconds", "--patience", kTakesATime},
                                {"--at", "--budget", ""}};

// CLI11's help with lines of at most kColumns, cut at spaces: what goes on stands under the
// description of its option. CLI11 names the type of a number with a range twice.
class HelpFormat : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    const std::string text =
        absl::StrReplaceAll(CLI::Formatter::make_help(app, std::move(name), mode),
                            {{"INT:INT in", "INT in"}, {"FLOAT:FLOAT in", "FLOAT in"}});
    std::string wrapped;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      absl::StrAppend(&wrapped, wrapped.empty() ? "" : "\n", Wrapped(line));
    }
    return wrapped;
  }

 private:
  std::string Wrapped(absl::string_view line) const {
    const size_t indent = absl::StartsWith(line, "  ") ? get_column_width() : 0;
    std::string text;
    while (line.size() + (text.empty() ? 0 : indent) > kColumns) {
      const size_t room = kColumns - (text.empty() ? 0 : indent);
      // Not within the indentation, where nothing would be left of the line.
      const size_t cut = line.rfind(' ', room);
      if (cut == absl::string_view::npos || cut <= line.find_first_not_of(' ')) break;
      absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line.substr(0, cut)), "\n",
                      std::string(indent, ' '));
      line = absl::StripLeadingAsciiWhitespace(line.substr(cut));
    }
    return absl::StrCat(text, line);
  }
};

void UseHelpFormat(CLI::App& app, const std::shared_ptr<HelpFormat>& format) {
  app.formatter(format);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    UseHelpFormat(*command, format);
  }
}

// CLI11 keeps what a validator asks for as text alone: INT:INT in [1 - 64], FLOAT:POSITIVE.
std::string Allowed(const CLI::Option& option) {
  const std::vector<std::string> parts = absl::StrSplit(option.get_type_name(), ':');
  std::string allowed = parts[0] == "INT"     ? "a whole number"
                        : parts[0] == "UINT"  ? "a whole number of 0 or more"
                        : parts[0] == "FLOAT" ? "a number"
                        : parts[0] == kTime   ? kTimeWords
                                              : "";
  for (size_t k = 1; k < parts.size(); ++k) {
    const size_t range = parts[k].find(" in [");
    if (parts[k] == "POSITIVE") absl::StrAppend(&allowed, " above 0");
    if (parts[k] == "NONNEGATIVE") absl::StrAppend(&allowed, " of 0 or more");
    if (parts[k] == "FILE") allowed = "a file that is there";
    if (parts[k] == "DIR") allowed = "a folder that is there";
    if (parts[k].front() == '{') {
      allowed = absl::StrJoin(absl::StrSplit(parts[k].substr(1, parts[k].size() - 2), ','), ", ");
    }
    if (range != std::string::npos) {
      absl::StrAppend(
          &allowed, " from ",
          absl::StrReplaceAll(parts[k].substr(range + 5), {{" - ", " to "}, {"]", ""}}));
    }
  }
  return allowed;
}

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

bool IsWholeNumber(const std::string& word) {
  const size_t digits = word.find_first_not_of("+-");
  return digits <= 1 && word.find_first_not_of("0123456789", digits) == std::string::npos;
}

// The commands that the arguments name, outermost first.
std::vector<const CLI::App*> ParsedPath(const CLI::App& app) {
  std::vector<const CLI::App*> path = {&app};
  while (!path.back()->get_subcommands().empty()) {
    path.push_back(path.back()->get_subcommands().front());
  }
  return path;
}

std::string NotAllowed(const CLI::Option& option, const std::string& value) {
  const std::string named = absl::StrCat(option.get_name(), " '", value, "'");
  if (option.get_items_expected_max() == 0) {
    return absl::StrCat(option.get_name(), " takes no value: '", value, "' was given");
  }
  const std::string allowed = Allowed(option);
  const bool too_large = IsWholeNumber(value) && allowed == "a whole number";
  return too_large ? absl::StrCat(named, " is too large")
                   : absl::StrCat(named, ": allowed is ", allowed);
}

// What CLI11 says of an option begins with its name, or with these words and its name.
const CLI::Option* OptionOf(const std::vector<const CLI::App*>& path, absl::string_view what) {
  absl::ConsumePrefix(&what, "Could not convert: ");
  for (const CLI::App* command : path) {
    for (const CLI::Option* option : command->get_options()) {
      absl::string_view rest = what;
      if (!absl::ConsumePrefix(&rest, option->get_name())) continue;
      if (absl::StartsWith(rest, ":") || absl::StartsWith(rest, " =")) return option;
    }
  }
  return nullptr;
}

// CLI11's mistake in a sentence that names what was allowed.
std::string MistakeText(const std::vector<const CLI::App*>& path, const CLI::ParseError& error) {
  const std::string what = error.what();
  const auto kind = static_cast<CLI::ExitCodes>(error.get_exit_code());
  const CLI::Option* option = OptionOf(path, what);
  if (kind == CLI::ExitCodes::RequiredError && absl::StartsWith(what, "A subcommand")) {
    return absl::StrCat(
        "a command is needed: ",
        absl::StrJoin(Commands(*path.back()), ", ", [](std::string* out, const CLI::App* command) {
          out->append(command->get_name());
        }));
  }
  if (kind == CLI::ExitCodes::ExtrasError) {
    // CLI11 lists them from the last to the first.
    std::vector<std::string> words = absl::StrSplit(what.substr(what.find(": ") + 2), ' ');
    std::reverse(words.begin(), words.end());
    return absl::StrCat("more arguments than it takes: ", absl::StrJoin(words, " "));
  }
  if (kind == CLI::ExitCodes::ExcludesError) {
    return absl::StrCat(absl::StrReplaceAll(what, {{" excludes ", " and "}}),
                        " cannot be given together");
  }
  if (option == nullptr) return what;
  const std::vector<std::string>& values = option->results();
  const std::string allowed = Allowed(*option);
  if (kind == CLI::ExitCodes::ArgumentMismatch) {
    return values.size() > 1
               ? absl::StrCat(option->get_name(), " was given ", values.size(), " times (",
                              absl::StrJoin(values, ", "), "): allowed is once")
               : absl::StrCat(option->get_name(), " needs a value", allowed.empty() ? "" : ": ",
                              allowed);
  }
  const bool value_is_bad =
      kind == CLI::ExitCodes::ConversionError || kind == CLI::ExitCodes::ValidationError;
  if (value_is_bad && option->get_type_name() == kTime) {
    return absl::StrCat(option->get_name(), what.substr(what.find(": ") + 1));
  }
  if (!value_is_bad || (allowed.empty() && option->get_items_expected_max() > 0)) return what;
  return NotAllowed(*option, absl::StrJoin(values, " "));
}

// What CLI11 takes in silence: whole numbers beyond 64 bits, which it cuts to the largest, nan and
// inf, which pass every range, and the empty word where a name is required.
std::string UnusableValue(const std::vector<const CLI::App*>& path) {
  for (const CLI::App* command : path) {
    for (const CLI::Option* option : command->get_options()) {
      const std::string type = option->get_type_name();
      for (const std::string& value : option->results()) {
        if (value.empty() && option->get_required()) {
          return absl::StrCat(option->get_name(), " is empty: a name is needed");
        }
        errno = 0;
        if (absl::StartsWith(type, "INT")) std::strtoll(value.c_str(), nullptr, 0);
        if (absl::StartsWith(type, "UINT")) std::strtoull(value.c_str(), nullptr, 0);
        const bool infinite =
            absl::StartsWith(type, "FLOAT") && !std::isfinite(std::strtod(value.c_str(), nullptr));
        if (infinite || errno == ERANGE) return NotAllowed(*option, value);
      }
    }
  }
  return "";
}

// `keep` gets the seconds.
CLI::Option* AddDuration(CLI::App& app, const std::string& name, double seconds,
                         const std::string& help, DurationRange range,
                         std::function<void(double)> keep) {
  const auto wrong = [range](const std::string& text) -> std::string {
    const absl::StatusOr<double> value = ParseDuration(text);
    if (value.ok() && *value >= range.least && *value <= range.most) return "";
    return absl::StrCat("'", text, "': allowed is ", kTimeWords, ", from ",
                        FormatDuration(range.least), " to ", FormatDuration(range.most));
  };
  return app
      .add_option_function<std::string>(
          name, [keep = std::move(keep)](const std::string& text) { keep(*ParseDuration(text)); },
          help)
      ->type_name(kTime)
      ->check(CLI::Validator(wrong, ""))
      ->default_str(FormatDuration(seconds));
}

}  // namespace

CLI::Option* AddDurationInSeconds(CLI::App& app, const std::string& name, double& seconds,
                                  const std::string& help, DurationRange range) {
  return AddDuration(app, name, seconds, help, range,
                     [&seconds](double given) { seconds = given; });
}

CLI::Option* AddDurationInMs(CLI::App& app, const std::string& name, int64_t& ms,
                             const std::string& help, DurationRange range) {
  return AddDuration(app, name, static_cast<double>(ms) / 1000, help, range,
                     [&ms](double given) { ms = std::llround(given * 1000); });
}

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
      for (const Renamed& renamed : kRenamed) {
        const bool is_here = std::find(known.begin(), known.end(), renamed.name) != known.end();
        if (option != nullptr || renamed.old_name != name || !is_here) continue;
        return absl::StrCat(name, " is written ", renamed.name, " now", renamed.more, " (see ",
                            help, " --help)");
      }
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
  if (app.get_option_no_throw("--version") == nullptr) {
    app.set_version_flag("--version", absl::StrCat(app.get_name(), " ", ALLO_VERSION),
                         "print the version");
  }
  UseHelpFormat(app, std::make_shared<HelpFormat>());
  std::string mistake;
  try {
    app.parse(argc, argv);
    mistake = UnusableValue(ParsedPath(app));
    if (mistake.empty()) return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    mistake = UnknownWord(app, argc, argv);
    if (!mistake.empty()) {
      std::cerr << app.get_name() << ": " << mistake << std::endl;
      return kBadUsage;
    }
    mistake = MistakeText(ParsedPath(app), error);
  }
  const std::string help = absl::StrJoin(
      ParsedPath(app), " ",
      [](std::string* out, const CLI::App* command) { out->append(command->get_name()); });
  std::cerr << app.get_name() << ": " << mistake << " (see " << help << " --help)" << std::endl;
  return kBadUsage;
}

}  // namespace allometry
