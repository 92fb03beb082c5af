// Spool records as an agent would stream them.
#pragma once

#include <string>
#include <vector>

#include "proto/worker.pb.h"

namespace allometry::testing {

// Of every run that these records belong to.
inline constexpr int64_t kBatchTokens = 512;

v1::Record PointAt(uint64_t sequence, int64_t step, const std::string& series, double value);
v1::Record CheckpointAt(uint64_t sequence, int attempt, int64_t step, const std::string& root_id);
v1::Record ExitWith(uint64_t sequence, v1::ExitReason reason, int64_t step,
                    const std::string& message = "");
// Every evaluation and `train` points of a run that goes well, then its exit: the loss follows
// 1.8 + 400 / N^0.35 + 400 / D^0.35, so that fits have something to find.
std::vector<v1::Record> WholeRun(const v1::RunSpec& spec, double params);

}  // namespace allometry::testing
