// Which quantity a column holds, and in which unit.
//
// A fit reads N as parameters, D as tokens, C as FLOPs and the loss in nats per token. Tables hold
// N in millions, D in billions, C in PF-days, and the loss in bits, as a perplexity, or per byte.
// A unit is taken from the header ("tokens (B)", "params_M", "val_bpb"), from the value ("10M"), or
// from the person (--unit N=M); it is never guessed.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace allometry::fitting {

enum class Role {
  kParams,
  kTokens,
  kLoss,
  kFlops,
  kRun,
  kFamily,
  kWeight,
  kEpochs,
  kEndsCell,
  kState,
  kGroup,
  kRoles
};
inline constexpr int kRoleCount = static_cast<int>(Role::kRoles);

// "N", "D", "loss", "C", "run", "family", ...: as people type them in --column.
const char* RoleName(Role role);
// "N" or "params" is kParams; kRoles for a word that names none.
Role ParseRole(absl::string_view word);

struct Unit {
  double factor = 1;          // value in the file times factor is what the fit reads
  bool perplexity = false;    // the loss is the logarithm of the value
  std::string per = "token";  // of the loss: token, byte, character, word
  std::string name;           // as a person reads it: "millions", "bits per byte"
  bool stated = false;        // by header or person; otherwise the role's own unit is assumed

  double Apply(double value) const;
};

// "M", "millions", "billion tokens", "1e18", "PF-days", "bits", "perplexity", "10^6 params".
// Nothing where the text is no unit of the role.
std::optional<Unit> ParseUnit(Role role, absl::string_view text);

// The units a person may type for the role, for messages.
const char* AllowedUnits(Role role);

}  // namespace allometry::fitting
