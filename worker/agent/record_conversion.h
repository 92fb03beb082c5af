// Spool records and leases, as they lie in files, to the messages that carry them.
#pragma once

#include <string>

#include "proto/worker.pb.h"
#include "run/spool.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

v1::Lease ToProto(const Lease& lease);
Lease FromProto(const v1::Lease& lease);

v1::ExitReason ToProto(run::ExitReason reason);

// `attempt` and `root_id` complete a checkpoint, whose record in the spool does not name them.
v1::Record ToProto(const run::Record& record, int attempt, const std::string& root_id);

}  // namespace allometry::agent
