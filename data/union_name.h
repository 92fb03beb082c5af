// Names of unions: several datasets of frames read as one.
//
//   union:boxing,freeway,qbert                  windows of each by turns
//   union:share=0.125,boxing,freeway,qbert      of the first eighth of each one's training episodes
//   union:only=boxing,boxing,freeway,qbert      of boxing alone
//
// Members are names of datasets in the data directory, or texts of a generator (generated.h). An
// entry without ':' that has a '=' belongs to the generator's text before it:
// "union:strata:universe=1,zo=16,strata:universe=2,zo=16" has two members.
//
// `share` and `only` choose what is trained on; they never change the tokenizer that a sweep trains
// on the union's images. So models of one member, of all, and of a share of all see the same
// tokens, and their losses compare.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace allometry::data {

inline constexpr char kUnion[] = "union:";
bool IsUnion(absl::string_view name);

struct UnionName {
  std::vector<std::string> members;  // at least two, in the order of their turns
  double share = 1;                  // of each member's training episodes, in (0, 1]
  std::string only;                  // a member; empty: all
};

// InvalidArgument says which entry is wrong and what is allowed.
absl::StatusOr<UnionName> ParseUnionName(absl::string_view text);
std::string UnionText(const UnionName& name);
// The union without `share` and `only`: what its tokenizer is trained on.
std::string WholeUnion(const UnionName& name);

// The hash of a union, from its name and the hashes of its members in their order. A generated
// member has that of its text. nullopt where `hash_of` has none for a stored member, or the text is
// not a union's.
using HashOfDataset = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> UnionHash(absl::string_view text, const HashOfDataset& hash_of);

}  // namespace allometry::data
