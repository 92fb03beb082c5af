#include "web/assets.h"

#include "absl/strings/match.h"

// Each file as it is, between two labels.
#define ALLO_ASSET(index, path)                                                \
  __asm__(                                                                     \
      ".pushsection .rodata\n"                                                 \
      ".global allo_asset_" #index "\nallo_asset_" #index ":\n.incbin \"" path \
      "\"\n.global allo_asset_end_" #index "\nallo_asset_end_" #index          \
      ":\n.byte 0\n"                                                           \
      ".popsection\n");                                                        \
  extern "C" const char allo_asset_##index[];                                  \
  extern "C" const char allo_asset_end_##index[];
#include "web/assets.inc"
#undef ALLO_ASSET

namespace allometry::web {
namespace {

struct Bytes {
  const char* begin;
  const char* end;
};
struct Row {
  absl::string_view name;
  Bytes bytes;
};

const Row kAssets[] = {
#include "web/asset_table.inc"
};

const char* ContentType(absl::string_view name) {
  if (absl::EndsWith(name, ".js")) return "text/javascript; charset=utf-8";
  if (absl::EndsWith(name, ".css")) return "text/css; charset=utf-8";
  if (absl::EndsWith(name, ".html")) return "text/html; charset=utf-8";
  if (absl::EndsWith(name, ".svg")) return "image/svg+xml";
  return "text/plain; charset=utf-8";
}

}  // namespace

std::optional<Asset> FindAsset(absl::string_view name) {
  for (const Row& row : kAssets) {
    if (row.name != name) continue;
    const auto size = static_cast<size_t>(row.bytes.end - row.bytes.begin);
    return Asset{{row.bytes.begin, size}, ContentType(name)};
  }
  return std::nullopt;
}

}  // namespace allometry::web
