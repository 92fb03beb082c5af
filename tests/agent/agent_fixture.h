// The agent's binary against a scripted coordinator, with a trainer that trains nothing.
#pragma once

#include <cstdint>
#include <iostream>
#include <string>

#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"

namespace allometry::agent {

class AgentTest : public ::testing::Test {
 protected:
  ~AgentTest() override {
    if (HasFailure()) std::cerr << worker_.output();
  }

  void Assign(const Lease& lease, const std::string& script, int64_t steps,
              const std::string& device = "cpu:0") {
    coordinator_.Assign(
        testing::HoldOf(lease, testing::SpecOf(script, steps), {device}, lease_ms_));
  }
  bool HasRecords(const Lease& lease, size_t count) {
    return coordinator_.Eventually(
        [&](const auto& seen) { return seen.RecordsOf(lease).size() >= count; });
  }
  bool IsGone(const Lease& lease) {
    return coordinator_.Eventually([&](const auto&) { return worker_.ProcessesOf(lease).empty(); });
  }
  // Sequence numbers without gaps, and the steps of the points 1, 2, 3, ... once each.
  void ExpectWholeCurve(const Lease& lease, int64_t first_step, int64_t last_step) {
    uint64_t sequence = 0;
    int64_t step = first_step - 1;
    for (const v1::Record& record : coordinator_.RecordsOf(lease)) {
      EXPECT_EQ(record.sequence(), ++sequence);
      if (record.has_point()) {
        EXPECT_EQ(record.point().step(), ++step);
      }
    }
    EXPECT_EQ(step, last_step);
  }

  const int64_t lease_ms_ = 30'000;
  const Lease first_ = testing::LeaseOf(1, 1, "aaaa");
  const Lease second_ = testing::LeaseOf(2, 1, "bbbb");
  testing::ScriptedCoordinator coordinator_;
  testing::WorkerProcess worker_{coordinator_.address(), "cpu:2"};
};

}  // namespace allometry::agent
