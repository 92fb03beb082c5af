// Windows of generated datasets (generated.h), as those of window_source.h. Each is the first
// frames of an episode of its own:
//
//   training window g   of episode p(g), p the permutation of 2^40 keyed by the run's seed
//   held-out window j   of episode 2^40 + j: never trained on, the same for every run
//
// A window is a function of (text, seed, number), and none repeats within a run: unique tokens are
// tokens seen. The target of a window's last position is -1.
#pragma once

#include "base/status.h"
#include "data/window_source.h"

namespace allometry::data {

// InvalidArgument where the context is not whole frames or longer than an episode.
absl::StatusOr<WindowSources> OpenGenerated(absl::string_view text, const WindowOptions& options);

}  // namespace allometry::data
