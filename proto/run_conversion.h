// A run's specification between its two forms: the structs that run.json is read into
// (run/run_spec.h) and the messages that travel and are stored (types.proto).
//
// The rows of run/fields.h are the whole list. A row whose name is a field of the message travels
// in that field; any other row, so every setting added later, travels as text in the message's map
// `settings`, and only where it differs from its default.
#pragma once

#include <string>

#include "base/status.h"
#include "proto/types.pb.h"
#include "run/run_spec.h"

namespace allometry {

// InvalidArgument: `settings` names no row, or has a value that is not of the row's type; a newer
// coordinator may have sent it.
absl::StatusOr<run::Identity> ToIdentity(const v1::RunIdentity& message);
v1::RunIdentity ToProto(const run::Identity& identity);

// All but `start` and `inputs`, whose files the receiver must look at, and `attempt`, which the
// message does not carry.
absl::StatusOr<run::RunSpec> ToRunSpec(const v1::RunSpec& message);

// run::RunKey of a message that this program made.
std::string RunKey(const v1::RunIdentity& message);

}  // namespace allometry
