// Which Strata (world.h) and how it is looked at, as the text that names it everywhere:
//
//   strata:universe=7,library=65536,alpha=0.35,policy=mix3,view=16,zo=64,frames=64
//
// Keys may be left out and stand in any order. `regime` is short for three of them:
//   rich   library=65536, movers=0.25, noise=0: deterministic, never learned to the end
//   noisy  library=1024,  movers=1,    noise=1: most of what changes cannot be predicted
//   small  library=64,    movers=0.25, noise=0: soon learned by heart
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::strata {

struct Spec {
  int64_t universe = 1;         // keys library, rules, palette
  int64_t universes = 1;        // so many from `universe` on, an episode each in turn
  int64_t library = 65536;      // prefabs, 1 to 2^20
  double alpha = 0.35;          // the k-th commonest prefab has a chance ~ k^-(1 + alpha); (0, 4]
  double movers = 0.25;         // share of prefabs with a mover
  double noise = 0;             // share of movers that walk at random
  double share = 0;             // share of prefabs and rules that all universes with share > 0 have
  std::string policy = "mix3";  // who acts: a row of Policies()
  int64_t view = 16;            // side of the view in cells: 16 or 8
  int64_t zo = 64;              // tokens an observation: see tokens.h
  int64_t frames = 64;          // an episode, 1 to 4096
  int64_t pixels = 0;           // side of the image: 2, 4 or 8 times `view`; 0: no images
  int64_t outcomes = 0;         // tokens of a frame for what its action led to: 0 or 1
  int64_t seed = 0;             // another stream of episodes in the same universe
};

// A mixture of demonstrators: each episode has one of these skills, equally likely. A demonstrator
// of skill s acts with its goal in view with probability s, otherwise uniformly at random.
struct Policy {
  const char* name;
  std::vector<double> skills;
};
const std::vector<Policy>& Policies();
// The row of that name; `name` must be one (checked).
const Policy& PolicyNamed(const std::string& name);

// InvalidArgument names the key, its value and what is allowed.
absl::StatusOr<Spec> ParseSpec(absl::string_view text);
// Every key in the order above (`universes` where it is not 1, `outcomes` where it is not 0), so
// that equal worlds have equal texts. ParseSpec reads it back.
std::string SpecText(const Spec& spec);

}  // namespace allometry::strata
