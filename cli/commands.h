// The commands of `allo`: each Add function declares one with its options and help on `app`, and
// sets context.run when the arguments name it. One file a group of commands.
#pragma once

#include "CLI/App.hpp"
#include "cli/context.h"

namespace allometry::cli {

void AddSubmit(CLI::App& app, Context& context);
void AddPlan(CLI::App& app, Context& context);
void AddWatch(CLI::App& app, Context& context);
void AddSweeps(CLI::App& app, Context& context);
void AddRuns(CLI::App& app, Context& context);
void AddShow(CLI::App& app, Context& context);
void AddLog(CLI::App& app, Context& context);
void AddTag(CLI::App& app, Context& context);
void AddNote(CLI::App& app, Context& context);
// allo archive, allo unarchive.
void AddArchive(CLI::App& app, Context& context);
void AddDelete(CLI::App& app, Context& context);
void AddCancel(CLI::App& app, Context& context);
void AddPreempt(CLI::App& app, Context& context);
void AddWorkers(CLI::App& app, Context& context);
void AddDrain(CLI::App& app, Context& context);
void AddRetry(CLI::App& app, Context& context);
void AddFit(CLI::App& app, Context& context);
void AddCompare(CLI::App& app, Context& context);
void AddOptima(CLI::App& app, Context& context);
void AddRates(CLI::App& app, Context& context);
void AddScores(CLI::App& app, Context& context);
void AddPredict(CLI::App& app, Context& context);
void AddReport(CLI::App& app, Context& context);
void AddExport(CLI::App& app, Context& context);
void AddBackup(CLI::App& app, Context& context);
void AddImport(CLI::App& app, Context& context);
void AddNext(CLI::App& app, Context& context);
void AddTrainer(CLI::App& app, Context& context);
void AddWeb(CLI::App& app, Context& context);
// allo completion, allo man: of all that is declared when they run.
void AddDocuments(CLI::App& app, Context& context);
// `allo coordinator ...` and `allo worker ...` become the program beside this one; returns only
// where that cannot be done. Not parsed here, so that their own --help answers.
int ExecBeside(const char* program, int argc, char** argv);

// Follows a sweep on standard error or the terminal until it ends, then runs the command unless it
// is empty (--on-end); the exit code of `allo watch`.
int WatchUntilEnd(const Context& context, const std::string& name, double patience_s,
                  const std::string& on_end);
inline constexpr char kOnEndHelp[] =
    "a command for the shell when the sweep has ended; it finds ALLO_SWEEP and ALLO_EXIT_CODE in "
    "its environment";

}  // namespace allometry::cli
