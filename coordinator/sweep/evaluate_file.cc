#include "coordinator/sweep/evaluate_file.h"

#include <string>
#include <utility>

#include "environments/environment.h"

namespace allometry::sweep {
namespace {

constexpr int kUsualKept = 8;

}  // namespace

void ReadEvaluate(const Field& evaluate, absl::Span<const Section> sections, SweepFile& file,
                  Mistakes& mistakes) {
  const Fields fields(evaluate, "evaluate", sections, mistakes);
  if (!evaluate.node.IsMap()) return;
  EvaluateChoice choice;
  choice.line = evaluate.line;
  fields.Integer("videos", {1, 1e6}, &choice.videos);
  fields.Integer("seed", {0, 9e15}, &choice.seed);
  fields.Integer("frames", {2, 4096}, &choice.frames);
  fields.Integer("episodes", {1, 65536}, &choice.episodes);
  if (const auto environment = fields.Find("environment")) {
    if (const auto name = ReadText(*environment, mistakes)) {
      choice.environment = *name;
      if (const absl::Status valid = environments::CheckName(*name); !valid.ok()) {
        mistakes.Add(environment->line, valid.message());
      }
    }
  }
  if (file.keep_checkpoints == 0) file.keep_checkpoints = kUsualKept;
  file.evaluate = choice;
}

void CheckKept(const SweepFile& file, int line, Mistakes& mistakes) {
  if (file.trainer) {
    mistakes.Add(line,
                 "a command's checkpoints are not read: evaluation.keep and evaluate need "
                 "allo-trainer");
  }
  for (const auto& [stage, choice] : file.stages) {
    mistakes.Add(line, absl::StrCat(stage,
                                    " decides later how far a run goes: with it no "
                                    "checkpoints are kept"));
  }
  if (file.ladder) {
    mistakes.Add(line,
                 "a file with a ladder keeps no checkpoints: give learning_rate the tuned "
                 "rates, and then keep them");
  }
}

}  // namespace allometry::sweep
