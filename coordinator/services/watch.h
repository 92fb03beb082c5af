// Following a sweep: a snapshot at once, then after changes, at most four a second.
#pragma once

#include <functional>
#include <string>

#include "coordinator/leases/dispatch.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "grpcpp/server_context.h"
#include "proto/client.grpc.pb.h"

namespace allometry::coordinator {

// `write` sends a message and is false when the client went away. Returns when every run has ended
// and no stage of the sweep goes on by itself (one that is blocked does not), when the client went
// away (looked for twice a second), or UNAVAILABLE when the feed is closed.
grpc::Status WatchSweep(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
                        const ChangeFeed& feed, const std::string& name,
                        const grpc::ServerContext& context,
                        const std::function<bool(const v1::WatchSweepResponse&)>& write);

}  // namespace allometry::coordinator
