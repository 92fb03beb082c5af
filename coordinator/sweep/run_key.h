// The key of a run: a hash of all that shapes its numbers, and of nothing else.
#pragma once

#include <string>

#include "proto/types.pb.h"

namespace allometry::sweep {

// 16 lower-case hexadecimal digits: HashHex of the identity's fields as text in a fixed order.
// In it: shape, dataset hash, tokenizer hash, batch_tokens, schedule, warm-up, peak learning rate,
// seed, optimizer. Not in it: the dataset's name (the hash says what it is), budgets, ranks, labels
// and everything else outside RunIdentity. Stored: do not change.
std::string RunKey(const v1::RunIdentity& identity);

}  // namespace allometry::sweep
