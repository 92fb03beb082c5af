// A device as a slot names it: its kind, ':', and which one of that kind on its host, as in
// "cpu:0", "cuda:3" or "cuda:GPU-5a2c...".
#pragma once

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "run/choices.h"

namespace allometry::run {

// Unset: no kind of run/choices.h.
inline std::optional<DeviceKind> KindOfDevice(absl::string_view device) {
  return Parse<DeviceKind>(device.substr(0, device.find(':')));
}

// "3" of "cuda:3"; empty where there is no ':'.
inline std::string IndexOfDevice(absl::string_view device) {
  const size_t colon = device.find(':');
  return colon == absl::string_view::npos ? "" : std::string(device.substr(colon + 1));
}

template <class Index>
std::string DeviceName(DeviceKind kind, const Index& index) {
  return absl::StrCat(NameOf(kind), ":", index);
}

}  // namespace allometry::run
