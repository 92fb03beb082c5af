// A sweep under fire: SIGKILL, SIGSTOP and SIGCONT to coordinator, agents, mpiruns and trainer
// ranks at random, everything started again, and then the question whether anything is left of it.
//
// The reference is the same sweep undisturbed. Rounds of the sweep, each on fresh folders, follow
// until `faults` were injected. Of every round: all runs SUCCEEDED, every point once, all points,
// observations and the fit's JSON as in the reference, bit for bit, and no process left.
//
// The seed gives the sequence of faults: kinds, gaps and durations. Which process of several a
// fault meets, and at what step, depends on the machine's pace as well.
//
// As soon as a run is on its next attempt, a point, a checkpoint and a completion are written with
// the token of the one before, and must be refused.
//
// Most faults last a part of a lease, one in three more than a whole one: then leases end, runs are
// given to another agent, and what was stopped writes as a zombie when it goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace allometry::testing {

struct ChaosOptions {
  uint64_t seed = 1;
  int faults = 12;
  int workers = 2;             // of two slots each
  int64_t tokens = 1'500'000;  // largest budget of each of the four runs
  int64_t lease_ms = 2'000;
  int64_t least_gap_ms = 250;  // between two faults
  int64_t largest_gap_ms = 1'500;
  int64_t patience_s = 600;                                                 // for one round
  std::function<void(const std::string&)> say = [](const std::string&) {};  // as it happens
};

struct ChaosReport {
  int faults = 0;
  int rounds = 0;
  int retries = 0;  // runs that failed of too many faults in a row and were retried by hand
  int64_t refused_batches = 0;         // of agents that were late by themselves, and of the next
  std::map<std::string, int> zombies;  // writes tried as every attempt with a successor (zombies.h)
  std::map<std::string, int> kinds;    // "kill rank": how many
  std::vector<std::string> wrong;      // a sentence each; empty: passed
};

ChaosReport RunChaos(const ChaosOptions& options);

// Four sizes, one of them on two ranks.
std::string ChaosSweepYaml(int64_t tokens);

}  // namespace allometry::testing
