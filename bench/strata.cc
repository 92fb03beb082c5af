// Steps of Strata a second on one core, and what entropy costs.
//
//   build/bench/strata [SPEC ...]
//
// A step is: the demonstrator acts, the world moves, the view is encoded as tokens. Long episodes,
// and short ones as generated windows are (the world is made anew for each).
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/strata/entropy.h"
#include "data/strata/episode.h"
#include "data/strata/render.h"
#include "data/strata/tokens.h"

namespace allometry::strata {
namespace {

using Timer = std::chrono::steady_clock;

double Seconds(Timer::time_point since) {
  return std::chrono::duration<double>(Timer::now() - since).count();
}

double StepsPerSecond(const World& world, int frames, int64_t steps) {
  const Tokenizer tokenizer = *Tokenizer::Create(world.spec().view, world.spec().zo);
  std::vector<int32_t> tokens(static_cast<size_t>(tokenizer.tokens()));
  int64_t check = 0;
  const Timer::time_point start = Timer::now();
  for (int64_t done = 0; done < steps; done += frames) {
    Episode episode(world, static_cast<uint64_t>(done));
    for (int t = 0; t < frames; ++t) {
      tokenizer.Encode(episode.view(), tokens);
      check += tokens[0];
      episode.Step(episode.Demonstrate());
    }
  }
  const double seconds = Seconds(start);
  return check < 0 ? 0 : static_cast<double>(steps) / seconds;
}

double ImagesPerSecond(const World& world, int64_t images) {
  const Renderer renderer(world, 8 * world.view_side());
  std::vector<uint8_t> image(static_cast<size_t>(renderer.bytes()));
  const Episode episode(world, 1);
  const Timer::time_point start = Timer::now();
  for (int64_t i = 0; i < images; ++i) renderer.Draw(episode.view(), image);
  return static_cast<double>(images) / Seconds(start);
}

void Measure(const Spec& spec) {
  const World world(spec);
  absl::PrintF("%s\n", SpecText(spec));
  for (const int frames : {1024, 64, 4}) {
    absl::PrintF("  %8.0f steps/s in episodes of %d frames\n",
                 StepsPerSecond(world, frames, 400000), frames);
  }
  absl::PrintF("  %8.0f images/s of %d pixels\n", ImagesPerSecond(world, 20000),
               8 * world.view_side());
  const Timer::time_point start = Timer::now();
  EntropyOptions options;
  options.frames = 4;
  options.most_windows = 256;
  const EntropyEstimate e = EstimateEntropy(world, options);
  absl::PrintF("  entropy, 4 frames: %.5f +- %.5f nats/token, first token %.4f, by frame",
               e.nats_per_token, e.standard_error, e.first_token_nats);
  for (const double nats : e.frame_nats_per_token) absl::PrintF(" %.5f", nats);
  absl::PrintF("\n  action %.4f +- %.4f nats; %d windows in %.2f s\n", e.action_nats,
               e.action_standard_error, e.windows, Seconds(start));
}

}  // namespace
}  // namespace allometry::strata

int main(int argc, char** argv) {
  std::vector<std::string> texts(argv + 1, argv + argc);
  if (texts.empty()) {
    texts = {"strata:zo=256",
             "strata:zo=64",
             "strata:view=8,zo=16",
             "strata:regime=noisy,zo=64",
             "strata:regime=small,zo=64",
             "strata:library=1000000,zo=64"};
  }
  for (const std::string& text : texts) {
    const auto spec = allometry::strata::ParseSpec(text);
    if (!spec.ok()) {
      absl::FPrintF(stderr, "%s\n", spec.status().message());
      return 2;
    }
    allometry::strata::Measure(*spec);
  }
  return 0;
}
