// allo tag, allo note, allo archive, allo unarchive.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/proto_json.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

// Sends the change and prints the sweep as it is then, or what `say` makes of it.
int Label(const Context& context, const v1::LabelSweepRequest& request,
          const std::function<std::string(const v1::Sweep&)>& say) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::LabelSweepResponse response;
  const grpc::Status status =
      (*stub)->LabelSweep(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response.sweep()).dump(2) << "\n";
  } else {
    std::cout << say(response.sweep());
  }
  return kExitOk;
}

std::string TagsText(const v1::Sweep& sweep) {
  return absl::StrCat(sweep.name(), ": ",
                      sweep.tags().empty() ? "no tags" : absl::StrJoin(sweep.tags(), " "), "\n");
}

std::string NoteText(const v1::Sweep& sweep) {
  return absl::StrCat(sweep.name(), ": ", sweep.note().empty() ? "no note" : sweep.note(), "\n");
}

void AddArchiveCommand(CLI::App& app, Context& context, const char* name, const char* help,
                       bool archived) {
  CLI::App* command = app.add_subcommand(name, help);
  auto sweeps = std::make_shared<std::vector<std::string>>();
  command->add_option("SWEEP", *sweeps, "names of sweeps")->required();
  command->callback([&context, sweeps, archived, name] {
    context.run = [&context, sweeps, archived, name] {
      for (const std::string& sweep : *sweeps) {
        v1::LabelSweepRequest request;
        request.set_name(sweep);
        request.set_archived(archived);
        const int code = Label(context, request, [name](const v1::Sweep& after) {
          return absl::StrCat(after.name(), ": ", name, "d\n");
        });
        if (code != kExitOk) return code;
      }
      return kExitOk;
    };
  });
}

}  // namespace

void AddTag(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("tag", "put tags on a sweep or take them off; without any: list them");
  struct Words {
    std::string sweep;
    std::vector<std::string> add, remove;
  };
  auto words = std::make_shared<Words>();
  command->add_option("SWEEP", words->sweep, "name of the sweep")->required();
  command->add_option("TAG", words->add, "letters, digits and ._-/:+, at most 40 of them");
  command->add_option("--remove", words->remove, "a tag to take off; may be repeated")
      ->allow_extra_args(false);
  command->callback([&context, words] {
    context.run = [&context, words] {
      v1::LabelSweepRequest request;
      request.set_name(words->sweep);
      for (const std::string& tag : words->add) request.add_add_tags(tag);
      for (const std::string& tag : words->remove) request.add_remove_tags(tag);
      return Label(context, request, TagsText);
    };
  });
}

void AddNote(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("note", "write a note on a sweep, or read it");
  struct Words {
    std::string sweep;
    std::vector<std::string> text;
    bool clear = false;
  };
  auto words = std::make_shared<Words>();
  command->add_option("SWEEP", words->sweep, "name of the sweep")->required();
  CLI::Option* text =
      command->add_option("TEXT", words->text, "the note, in place of an earlier one");
  command->add_flag("--clear", words->clear, "remove the note")->excludes(text);
  command->callback([&context, words] {
    context.run = [&context, words] {
      v1::LabelSweepRequest request;
      request.set_name(words->sweep);
      if (!words->text.empty() || words->clear) request.set_note(absl::StrJoin(words->text, " "));
      return Label(context, request, NoteText);
    };
  });
}

void AddArchive(CLI::App& app, Context& context) {
  AddArchiveCommand(app, context, "archive",
                    "leave sweeps out of lists; they stay as they are ('allo sweeps --all')", true);
  AddArchiveCommand(app, context, "unarchive", "list archived sweeps again", false);
}

}  // namespace allometry::cli
