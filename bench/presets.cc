// What one update of one sequence of a preset costs on one CPU thread: seconds and peak memory.
//
//   presets PRESET [BACKEND]     "bc-540/2M", "auto" where the backend is not given
//
// CPU time, not wall time. A process for each, as memory that was once used is not given back.
#include "models/presets.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/str_format.h"
#include "models/objective.h"
#include "models/train_step.h"

namespace allometry::models {
namespace {

// Of frames with `actions` action tokens.
FrameTokens FramesOf(const Preset& preset) {
  if (preset.frames == 0) return {};
  const int frame = preset.shape.context / preset.frames;
  const int actions = preset.name.starts_with("rt1") ? 4 : 16;
  return {.observation = frame - actions, .action = actions};
}

absl::Status Measure(const std::string& name, const std::string& backend) {
  ALLO_ASSIGN_OR_RETURN(const Preset preset, FindPreset(name));
  const Shape& shape = preset.shape;
  if (shape.image_height > 0) return absl::InvalidArgumentError("presets of tokens only");
  ALLO_ASSIGN_OR_RETURN(const ParameterLayout layout, LayoutOf(shape));
  ALLO_ASSIGN_OR_RETURN(
      const Objective objective,
      Objective::Create(preset.objective, 0, shape.vocabulary, shape.context, FramesOf(preset)));
  std::string chosen;
  ALLO_ASSIGN_OR_RETURN(auto step, CreateTrainStep(backend, shape, layout, Device(), &chosen));
  std::vector<float> parameters(layout.size), gradient(layout.size);
  Initialize(shape, layout, 1, parameters);
  std::mt19937 random(1);
  std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
  std::vector<int32_t> inputs(shape.context), targets(shape.context);
  for (int32_t& id : inputs) id = token(random);
  for (int32_t& id : targets) id = token(random);
  objective.Mask(targets);
  double loss = 0;
  ALLO_RETURN_IF_ERROR(step->LossAndGradient(
      parameters, {1, shape.context, inputs, targets, objective.classes()}, 1, gradient, &loss));
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  absl::PrintF("%s  %s  context %d, %d supervised: %.1f s, peak %.2f GiB, loss %.3f\n", name,
               chosen, shape.context, objective.supervised().size(),
               static_cast<double>(used.ru_utime.tv_sec) + 1e-6 * used.ru_utime.tv_usec,
               used.ru_maxrss / 1048576.0, loss);
  return absl::OkStatus();
}

}  // namespace
}  // namespace allometry::models

int main(int argc, char** argv) {
  at::set_num_threads(1);
  const absl::Status status =
      argc < 2 ? absl::InvalidArgumentError("usage: presets PRESET [BACKEND]")
               : allometry::models::Measure(argv[1], argc > 2 ? argv[2] : "auto");
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
