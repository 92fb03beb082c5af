// What a column's header says: which quantity, in which unit, how surely.
//
// Headers are matched without regard to case and punctuation, behind the prefixes of trackers
// (config., summary., metrics/, params.), with their units: "config.n_params", "tokens (B)",
// "params_M", "val/loss", "summary.eval/perplexity". Every word must be known: aux_loss is no loss.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "fitting/data/unit.h"

namespace allometry::fitting {

enum class LossKind { kTrain, kPlain, kHeldOut };

struct HeaderMatch {
  Role role = Role::kRoles;  // kRoles: none
  Unit unit;
  std::string unknown_unit;   // what stands in brackets and is no unit of the role
  std::string params_policy;  // "total", "non-embedding", ...: another count of N; "" is N itself
  bool letter = false;        // N, D, C, L, w: counts only where the values behave so
  bool weak = false;          // model_size, budget: counts only where nothing better is there
  LossKind loss = LossKind::kPlain;
  int rank = 0;  // the higher wins among columns of one role
};

HeaderMatch MatchHeader(absl::string_view header);

// "tokens (B)": what stands before (and after) brackets, and inside; nothing inside where there are
// none.
void CutBrackets(absl::string_view header, std::string& outside, std::string& inside);

// A header that looks like a held-out loss with words that are not known ("eval/c4/loss"), or like
// a cost in hours or money, or like a logarithm: named in messages, never taken.
bool LooksLikeHeldOutLoss(absl::string_view header);
bool LooksLikeLoss(absl::string_view header);
bool LooksLikeCost(absl::string_view header);
bool LooksLikeSteps(absl::string_view header);

}  // namespace allometry::fitting
