#include "coordinator/sweep/evaluate_run.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/policy_runs.h"
#include "models/shape.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "run/choices.h"

namespace allometry::sweep {

namespace {

// What keeps models from playing, or from generating so many frames; empty: nothing.
std::string ProblemOf(const EvaluateChoice& choice, const std::string& objective,
                      const data::Manifest& read) {
  const data::Frames& frames = *read.frames;
  if (choice.episodes == 0) {
    if (!choice.environment.empty()) return "environment is where episodes are played: give both";
    if (choice.frames > frames.frames_per_episode) {
      return absl::StrFormat("frames is %d: allowed are at most the %d of an episode of dataset %s",
                             choice.frames, frames.frames_per_episode, read.name);
    }
    return "";
  }
  if (objective != "action") {
    return absl::StrFormat(
        "episodes are played by models of objective action: training.objective is %s",
        objective.empty() ? "dense" : objective);
  }
  if (choice.frames > 0) return "frames are of videos, and episodes take their place: give one";
  if (frames.tokens_per_action != 1) {
    return absl::StrFormat("episodes: dataset %s has %d action tokens a frame: allowed is 1",
                           read.name, frames.tokens_per_action);
  }
  if (choice.environment.empty()) {
    return absl::StrFormat(
        "environment is missing: dataset %s is not Strata, so it cannot be told where its models "
        "play, such as process:PROGRAM:GAME",
        read.name);
  }
  return "";
}

}  // namespace

void CheckEvaluate(int64_t context, const data::Manifest& read, SweepFile& file,
                   Mistakes& mistakes) {
  if (!file.evaluate) return;
  const auto fail = [&](const std::string& text) {
    mistakes.Add(file.evaluate->line, absl::StrCat("evaluate: ", text));
  };
  if (models::FindFamily(file.family)->encoder_channels > 0) {
    fail(absl::StrFormat("family %s sees images and generates none: families of tokens are allowed",
                         file.family));
  }
  if (file.device != run::DeviceKind::kCpu) {
    fail("checkpoints are evaluated on CPUs: device cpu is allowed");
  }
  if (!read.frames.has_value()) {
    fail(absl::StrFormat("dataset %s has no frames to generate", read.name));
  } else if (context < 2 * read.frames->tokens_per_frame()) {
    fail(absl::StrFormat("a window of %d tokens is one frame: a video has at least 2 of %d",
                         context, read.frames->tokens_per_frame()));
  } else {
    EvaluateChoice& choice = *file.evaluate;
    if (choice.episodes > 0 && choice.environment.empty()) choice.environment = StrataOf(read);
    const std::string problem = ProblemOf(choice, file.objective, read);
    if (!problem.empty()) fail(problem);
  }
}

void KeepCheckpoints(int keep, v1::RunSpec& spec) {
  const auto& steps = spec.evaluation_steps();
  spec.clear_checkpoint_steps();
  spec.set_keep_checkpoints(true);
  const int64_t count = steps.size(), kept = std::min<int64_t>(keep, count);
  for (int64_t i = 0; i < kept; ++i) {
    // The last is the last; kept <= count, so no step comes twice.
    spec.add_checkpoint_steps(steps[static_cast<int>((i + 1) * count / kept - 1)]);
  }
}

std::vector<int64_t> EvaluatedSteps(const v1::RunSpec& trained) {
  std::vector<int64_t> steps;
  if (trained.keep_checkpoints()) {
    steps.assign(trained.checkpoint_steps().begin(), trained.checkpoint_steps().end());
  }
  if (steps.empty() || steps.back() < trained.steps()) steps.push_back(trained.steps());
  return steps;
}

v1::Run EvaluateRun(const SweepFile& file, const v1::Run& trained) {
  v1::Run run = trained;
  run.set_stage(run::NameOf(run::Stage::kEvaluate));
  v1::RunSpec& spec = *run.mutable_spec();
  run::Identity identity = *ToIdentity(trained.spec().identity());
  identity.evaluation = {.videos = file.evaluate->videos,
                         .seed = file.evaluate->seed,
                         .frames = file.evaluate->frames,
                         .episodes = file.evaluate->episodes,
                         .environment = file.evaluate->environment};
  *spec.mutable_identity() = ToProto(identity);
  spec.set_kind(run::NameOf(run::RunKind::kEvaluate));
  const std::vector<int64_t> steps = EvaluatedSteps(trained.spec());
  *spec.mutable_evaluation_steps() = {steps.begin(), steps.end()};
  spec.clear_checkpoint_steps();
  spec.clear_keep_checkpoints();
  spec.set_ranks(1);
  spec.clear_inputs();
  for (const v1::RunInput& input : trained.spec().inputs()) {
    if (KindOf(input) == run::InputKind::kTokenizer) *spec.add_inputs() = input;
  }
  v1::RunInput& checkpoints = *spec.add_inputs();
  checkpoints.set_kind(run::NameOf(run::InputKind::kCheckpoint));
  checkpoints.set_run_key(trained.key());
  run.set_key(RunKey(spec.identity()));
  return run;
}

}  // namespace allometry::sweep
