// Following a sweep by what changes in it: what a page over ten thousand runs reads.
#pragma once

#include <functional>

#include "coordinator/leases/dispatch.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "grpcpp/server_context.h"
#include "proto/client.grpc.pb.h"

namespace allometry::coordinator {

// `write` sends a message and returns false if the client has disconnected. Returns when it has, or
// UNAVAILABLE when the feed is closed. Between whole messages it reads the rows of changed runs
// alone, except from time to time, when the time to the end is estimated from all of them.
grpc::Status WatchChanges(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
                          const ChangeFeed& feed, const v1::WatchChangesRequest& request,
                          const grpc::ServerContext& context,
                          const std::function<bool(const v1::SweepChanges&)>& write);

}  // namespace allometry::coordinator
