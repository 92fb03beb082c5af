#include "data/union_name.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "data/manifest.h"

namespace allometry::data {
namespace {

// So that "heldout_" and the name are a series (coordinator/store/records.cc).
constexpr size_t kLongestMember = 110;

absl::Status CheckMember(const std::string& member) {
  if (IsUnion(member) || IsExternal(member)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "member '%s': allowed are stored datasets and generated ones, as strata:KEY=VALUE",
        member));
  }
  if (member.size() > kLongestMember) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "member '%s' has %d characters: allowed are up to %d, because its held-out loss is a "
        "series of its name",
        member, member.size(), kLongestMember));
  }
  if (member == "outcome") {
    return absl::InvalidArgumentError(
        "member 'outcome': its held-out loss would have the name of the loss of outcomes, "
        "heldout_outcome; rename the dataset");
  }
  return IsGenerated(member) ? absl::OkStatus() : CheckDatasetName(member);
}

// An option before the members, KEY=VALUE.
absl::Status ReadOption(absl::string_view key, absl::string_view value, UnionName& name) {
  if (key == "only" && !value.empty() && name.only.empty()) {
    name.only = std::string(value);
    return absl::OkStatus();
  }
  if (key == "share" && name.share == 1) {
    if (absl::SimpleAtod(value, &name.share) && name.share > 0 && name.share <= 1) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrFormat(
        "share=%s: allowed is more than 0 and at most 1, of each member's training episodes",
        value));
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("'%s=%s': allowed before the members are share=PART and only=MEMBER, each "
                      "once",
                      key, value));
}

absl::StatusOr<UnionName> Parse(absl::string_view text) {
  UnionName name;
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kUnion) || !IsGenerated(text)) {
    return absl::InvalidArgumentError("allowed is union:NAME,NAME,...");
  }
  for (const absl::string_view entry : absl::StrSplit(rest, ',')) {
    const size_t equals = entry.find('=');
    if (equals == absl::string_view::npos || absl::StrContains(entry, ':')) {
      name.members.emplace_back(entry);
    } else if (name.members.empty()) {
      ALLO_RETURN_IF_ERROR(ReadOption(entry.substr(0, equals), entry.substr(equals + 1), name));
    } else if (IsGenerated(name.members.back())) {
      absl::StrAppend(&name.members.back(), ",", entry);
    } else {
      return absl::InvalidArgumentError(absl::StrFormat(
          "'%s' after member '%s': settings follow a generated member; share= and only= come "
          "before the first",
          entry, name.members.back()));
    }
  }
  for (size_t i = 0; i < name.members.size(); ++i) {
    ALLO_RETURN_IF_ERROR(CheckMember(name.members[i]));
    if (std::count(name.members.begin(), name.members.begin() + static_cast<ptrdiff_t>(i),
                   name.members[i]) > 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("member '%s' is there twice", name.members[i]));
    }
  }
  if (name.members.size() < 2) {
    return absl::InvalidArgumentError("it has fewer than two members");
  }
  if (!name.only.empty() && std::count(name.members.begin(), name.members.end(), name.only) == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "only=%s is none of the members: %s", name.only, absl::StrJoin(name.members, ", ")));
  }
  return name;
}

std::string Shortest(double value) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

}  // namespace

bool IsUnion(absl::string_view name) { return absl::StartsWith(name, kUnion); }

absl::StatusOr<UnionName> ParseUnionName(absl::string_view text) {
  absl::StatusOr<UnionName> name = Parse(text);
  if (!name.ok()) return Annotate(name.status(), absl::StrCat("dataset '", text, "'"));
  return name;
}

std::string UnionText(const UnionName& name) {
  return absl::StrCat(kUnion,
                      name.share == 1 ? "" : absl::StrCat("share=", Shortest(name.share), ","),
                      name.only.empty() ? "" : absl::StrCat("only=", name.only, ","),
                      absl::StrJoin(name.members, ","));
}

std::string WholeUnion(const UnionName& name) {
  return absl::StrCat(kUnion, absl::StrJoin(name.members, ","));
}

std::optional<std::string> UnionHash(absl::string_view text, const HashOfDataset& hash_of) {
  const absl::StatusOr<UnionName> name = ParseUnionName(text);
  if (!name.ok()) return std::nullopt;
  std::string all = absl::StrCat(UnionText(*name), "\n");
  for (const std::string& member : name->members) {
    const auto hash = IsGenerated(member) ? HashHex(member) : hash_of(member);
    if (!hash.has_value()) return std::nullopt;
    absl::StrAppend(&all, *hash, "\n");
  }
  return HashHex(all);
}

}  // namespace allometry::data
