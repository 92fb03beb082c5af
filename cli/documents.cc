// allo completion, allo man.
#include "cli/documents.h"

#include <cctype>
#include <filesystem>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/output_file.h"
#include "cli/commands.h"

namespace allometry::cli {
namespace {

// Declared and shown; the options of all commands above go with each.
void Walk(const CLI::App& app, const std::string& path,
          const std::function<void(const CLI::App&, const std::string&)>& visit) {
  visit(app, path);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    Walk(*command, absl::StrCat(path, path.empty() ? "" : " ", command->get_name()), visit);
  }
}

void AddOptions(const CLI::App& app, std::vector<std::string>& words) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
}

// Troff reads a dot or an apostrophe at the begin of a line as a request, and backslashes.
std::string Troff(absl::string_view text) {
  std::string out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!out.empty()) out += '\n';
    if (!line.empty() && (line[0] == '.' || line[0] == '\'')) out += "\\&";
    for (const char c : line) out += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
  }
  return out;
}

int WriteManPages(const CLI::App& app, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  for (const ManPage& page : ManPages(app)) {
    const absl::Status written = WriteOutput(absl::StrCat(folder, "/", page.file), page.text, {});
    if (!written.ok()) return Fail(Annotate(written, "allo man"));
  }
  return kExitOk;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, bool zsh) {
  std::string table;
  Walk(app, "", [&](const CLI::App& command, const std::string& path) {
    std::vector<std::string> words;
    for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
      words.push_back(below->get_name());
    }
    for (const CLI::App* one = &command; one != nullptr; one = one->get_parent()) {
      AddOptions(*one, words);
    }
    absl::StrAppend(&table, "    '", path, "') words='", absl::StrJoin(words, " "), "' ;;\n");
  });
  return absl::StrCat(zsh ? "#compdef allo\nautoload -U +X bashcompinit && bashcompinit\n" : "",
                      "# For ", zsh ? "zsh" : "bash", ": source <(allo completion ",
                      zsh ? "zsh" : "bash", ")\n", "_allo_words() {\n  case \"$1\" in\n", table,
                      "    *) return 1 ;;\n  esac\n}\n"
                      "_allo() {\n  local path='' words='' word i next\n"
                      "  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n"
                      "    next=\"${path:+$path }$word\"\n"
                      "    if _allo_words \"$next\"; then path=$next; fi\n  done\n"
                      "  _allo_words \"$path\"\n"
                      "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
                      "complete -o default -F _allo allo\n");
}

std::vector<ManPage> ManPages(const CLI::App& app) {
  std::vector<ManPage> pages;
  Walk(app, "", [&](const CLI::App& command, const std::string& path) {
    const std::string name =
        path.empty() ? "allo" : "allo-" + absl::StrJoin(absl::StrSplit(path, ' '), "-");
    const std::string description = command.get_description();
    const std::string first = description.substr(0, description.find('\n'));
    // Help adds the command's own name.
    const size_t last = path.rfind(' ');
    const std::string above =
        path.empty()
            ? ""
            : absl::StrCat("allo", last == std::string::npos ? "" : " " + path.substr(0, last));
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    pages.push_back({name + ".1",
                     absl::StrCat(".TH ", upper, " 1 \"\" \"Allometry\"\n.SH NAME\n", Troff(name),
                                  " \\- ", Troff(first), "\n.SH DESCRIPTION\n.nf\n",
                                  Troff(command.help(above)), "\n.fi\n.SH SEE ALSO\n",
                                  path.empty() ? Troff("allo-submit(1), allo-watch(1), allo-fit(1)")
                                               : std::string("allo(1)"),
                                  "\n")});
  });
  return pages;
}

void AddDocuments(CLI::App& app, Context& context) {
  CLI::App* completion = app.add_subcommand(
      "completion", "a script that completes commands and options: source <(allo completion bash)");
  auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->callback([&app, &context, shell] {
    context.run = [&app, shell] {
      std::cout << CompletionScript(app, *shell == "zsh") << std::flush;
      return kExitOk;
    };
  });
  CLI::App* man = app.add_subcommand("man", "write man pages of all commands into a folder");
  auto folder = std::make_shared<std::string>();
  man->add_option("FOLDER", *folder, "such as ~/.local/share/man/man1")->required();
  man->callback([&app, &context, folder] {
    context.run = [&app, folder] { return WriteManPages(app, *folder); };
  });
}

}  // namespace allometry::cli
