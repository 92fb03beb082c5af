// Error returns: absl::Status and absl::StatusOr, with the two macros that pass them on.
//
// Anything the world can cause is a status that says what failed, which value, and what was
// allowed: "sweeps/a.yaml:12: batch_tokens 500 is not a multiple of context 64".
// Anything only a programmer can cause is an ALLO_CHECK (base/check.h).
//
//   ALLO_RETURN_IF_ERROR(store.Open(path));
//   ALLO_ASSIGN_OR_RETURN(auto manifest, ReadManifest(path));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace allometry {

// The same code with `context` and ": " before the message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace allometry

#define ALLO_RETURN_IF_ERROR(expression)                              \
  do {                                                                \
    if (absl::Status allo_status = (expression); !allo_status.ok()) { \
      return allo_status;                                             \
    }                                                                 \
  } while (false)

#define ALLO_STATUS_CONCAT_INNER(a, b) a##b
#define ALLO_STATUS_CONCAT(a, b) ALLO_STATUS_CONCAT_INNER(a, b)

#define ALLO_ASSIGN_OR_RETURN(declaration, expression)                                    \
  ALLO_ASSIGN_OR_RETURN_INNER(ALLO_STATUS_CONCAT(allo_status_or_, __LINE__), declaration, \
                              expression)

#define ALLO_ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                        \
  if (!temporary.ok()) return temporary.status();                       \
  declaration = std::move(temporary).value()
