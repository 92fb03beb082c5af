// Writes in the name of attempts whose runs were given away since, as if they had been on the way
// in the network for long: each must be refused, whatever it says.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/worker.pb.h"
#include "tests/e2e/deployment.h"

namespace allometry::testing {

// What the coordinator answers to one record of the attempt, with the token that it was given.
// Unavailable where it does not answer within two seconds.
absl::StatusOr<v1::RecordAck> WriteAs(const Deployment& deployment, const v1::Lease& lease,
                                      const v1::Record& record);

// A point, a checkpoint and a completion that would be worth having, by those names.
std::map<std::string, v1::Record> AllThatAZombieSays(int attempt, int64_t step);

class Zombies {
 public:
  explicit Zombies(const Deployment& deployment) : deployment_(deployment) {}

  // Everything, as each attempt that has a successor, once; what the coordinator is not there for
  // is written at a later call. A sentence for each that was not refused.
  std::vector<std::string> Write();
  // Refused, by name.
  const std::map<std::string, int>& refused() const { return refused_; }

 private:
  const Deployment& deployment_;
  std::set<std::string> written_;
  std::map<std::string, int> refused_;
};

}  // namespace allometry::testing
