// The curves of a sweep as a picture of them needs them (GetCurves in proto/client.proto).
#pragma once

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// NotFound: no such sweep, or a run that is not of it. InvalidArgument: an axis, a number of pixels
// or a part of the axis that cannot be drawn. Reads each curve once and keeps what it returns.
absl::StatusOr<v1::GetCurvesResponse> GetCurves(const store::Store& store,
                                                const v1::GetCurvesRequest& request);

}  // namespace allometry::coordinator
