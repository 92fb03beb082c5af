// Checks between the fields of a manifest.
#pragma once

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

// InvalidArgument names the field, its value and what is allowed:
// - kind is known, and what it needs is there (frames; shards, unless it is generated);
// - segments lie in the vocabulary without sharing ids; with frames they are "observation" and one
//   "action:i" for each of tokens_per_action, and "outcome" of six ids where a frame has one;
// - shards have plain file names, known types and roles, room for their tokens;
// - token totals are the sums of the shards, and whole episodes; a split with images or actions has
//   them for all of its frames;
// - a union has the members that its name lists, and the tokens that are read of them.
absl::Status CheckManifest(const Manifest& manifest);

}  // namespace allometry::data
