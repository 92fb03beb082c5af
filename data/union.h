// Several datasets of frames as one (union_name.h): windows of each member by turns, over one
// vocabulary.
//
//   training window g   window g / M of member g mod M, in the order of that member alone under the
//                       same seed
//   held-out window j   window j / M of member j mod M; of each member equally many, evenly spaced
//
// M are the members that are read. A window never crosses a member. A member that is smaller than
// the others is repeated more often. The mean loss of the held-out windows is the mean of the
// members' means.
//
// All members must have the same vocabulary, segments, tokenizer and frames. Members with images
// may differ in their own tokens: such a union can only be read through a tokenizer of its images.
//
// Strata's `universes=M` (strata/spec.h) is the same rule inside one generated dataset.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "data/manifest.h"
#include "data/window_source.h"

namespace allometry::data {

// InvalidArgument names the member that differs from the first, the field and both values.
absl::StatusOr<Manifest> UnionManifest(const std::string& data_dir, const std::string& text);

// Opens one member; the options are its part of the union's.
using OpenMember = std::function<absl::StatusOr<WindowSources>(const std::string& member,
                                                               const WindowOptions& options)>;
// The members of `manifest` by turns. `manifest` becomes that of the sources. InvalidArgument where
// there are fewer held-out windows than members.
absl::StatusOr<WindowSources> OpenMembers(const Manifest& manifest, const WindowOptions& options,
                                          const OpenMember& open);
absl::StatusOr<WindowSources> OpenUnion(const std::string& data_dir, const std::string& name,
                                        const WindowOptions& options);

// For manifest.cc and manifest_check.cc.
absl::Status CheckMembers(const Manifest& manifest);
std::string UnionHashOf(const Manifest& manifest);
double UnionEpochs(const Manifest& manifest, int64_t windows, int64_t context);

}  // namespace allometry::data
