// The files of the page, which are part of the program: it needs no folder and no network.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"

namespace allometry::web {

struct Asset {
  absl::string_view bytes;
  const char* content_type;
};
// By the file's name, as "app.js". Unset: there is none such.
std::optional<Asset> FindAsset(absl::string_view name);

}  // namespace allometry::web
