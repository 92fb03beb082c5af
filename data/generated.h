// Datasets that are made while they are read: a name with a ':' is the text of a generator, such as
// "strata:universe=7,zo=64" (strata/spec.h), and everything follows from it. Windows of them:
// generated_windows.h.
#pragma once

#include <string>

#include "base/status.h"
#include "data/manifest.h"
#include "data/strata/spec.h"

namespace allometry::data {

// What the manifest of any dataset of that spec says: segments, frames, tokenizer, policy.
Manifest StrataManifest(const strata::Spec& spec);

// The manifest of a generated dataset, of kind "generated" and without shards: every machine makes
// the same from equal texts, and from texts that mean the same. InvalidArgument says what is wrong
// with the text.
absl::StatusOr<Manifest> GeneratedManifest(absl::string_view text);

// The manifest of a dataset that only the trainer reads (docs/trainer.md), of kind "external":
// "external:fineweb-v3,tokens=15000000000000,heldout=c4-val". It says how many tokens there are, so
// that epochs count; nothing of it lies on any machine of ours.
absl::StatusOr<Manifest> ExternalManifest(absl::string_view text);

// ReadManifest of manifest.h, or what its name makes of it: ExternalManifest, UnionManifest
// (union.h) or GeneratedManifest.
absl::StatusOr<Manifest> FindManifest(const std::string& data_dir, const std::string& name);

}  // namespace allometry::data
