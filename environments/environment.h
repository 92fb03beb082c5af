// Where agents act: n copies of a game or world, played in lockstep.
//
//   ALLO_ASSIGN_OR_RETURN(const auto game, environments::Create("strata:view=8,zo=16", 128));
//   ALLO_RETURN_IF_ERROR(game->Reset(episodes, &seen));
//   while (...) ALLO_RETURN_IF_ERROR(game->Step(actions, rewards, flags, &seen));
//
// An environment is a row of Environments(); its name begins with the row's prefix:
//
//   strata:KEY=VALUE,...   the built-in world (data/strata/spec.h), in this process
//   process:PROGRAM        any program that speaks the protocol of environments/process.h
//   process:PROGRAM:GAME
//
// To add one: a program that speaks the protocol, or a row with its factory (docs/extending.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::environments {

// What an agent chooses from and sees. Each copy shows tokens or an image.
struct Interface {
  int actions = 0;
  int64_t tokens = 0;  // an observation; 0: it is an image
  int64_t height = 0;  // of an image, pixels; 0: it is tokens
  int64_t width = 0;
  int64_t channels = 0;

  int64_t image_bytes() const { return height * width * channels; }
};

// What the copies show: one of both, the other empty.
struct Observations {
  std::vector<int32_t> tokens;  // [copies, tokens]
  std::vector<uint8_t> images;  // [copies, height, width, channels]
};

// Of a copy's step. Values of the protocol: do not renumber.
inline constexpr uint8_t kEnded = 1;     // the episode is over
inline constexpr uint8_t kLifeLost = 2;  // it goes on
inline constexpr uint8_t kCutOff = 4;    // it would go on, and is longer than episodes may be

inline constexpr int64_t kLeave = -1;  // as an episode: leave this copy as it is

// One thread. After an error nothing but destruction is allowed.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const Interface& interface() const = 0;
  virtual int copies() const = 0;

  // Starts episode[i], a number from 0, in copy i. An episode is a function of its number and of
  // the actions; none of them is one that a dataset was made from. `seen` gets what every copy
  // shows.
  virtual absl::Status Reset(std::span<const int64_t> episodes, Observations* seen) = 0;

  // Acts in every copy. `rewards` and `flags` have a value for each. A copy whose episode is over
  // takes any action and gives reward 0 until it is started again.
  virtual absl::Status Step(std::span<const uint8_t> actions, std::span<float> rewards,
                            std::span<uint8_t> flags, Observations* seen) = 0;
};

struct EnvironmentRow {
  const char* prefix;  // "strata:"
  const char* what;
  // `name` is whole. InvalidArgument says what is wrong with it.
  absl::StatusOr<std::unique_ptr<Environment>> (*create)(const std::string& name, int copies);
  // What of a name can be checked where the environment itself may not be.
  absl::Status (*check)(const std::string& name);
};
std::span<const EnvironmentRow> Environments();

// InvalidArgument names what is allowed. Unavailable where a process cannot be started or does not
// answer.
absl::StatusOr<std::unique_ptr<Environment>> Create(const std::string& name, int copies);
absl::Status CheckName(const std::string& name);

}  // namespace allometry::environments
