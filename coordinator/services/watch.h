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

// `write` sends a message and returns false if the client has disconnected. Returns when every run
// has ended and no stage of the sweep is active (a blocked stage is not), when the client has
// disconnected (checked twice a second), or UNAVAILABLE when the feed is closed.
grpc::Status WatchSweep(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
                        const ChangeFeed& feed, const std::string& name,
                        const grpc::ServerContext& context,
                        const std::function<bool(const v1::WatchSweepResponse&)>& write);

}  // namespace allometry::coordinator
