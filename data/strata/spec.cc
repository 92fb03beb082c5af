#include "data/strata/spec.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "data/strata/tokens.h"

namespace allometry::strata {
namespace {

struct Regime {
  const char* name;
  int64_t library;
  double movers;
  double noise;
};
constexpr Regime kRegimes[] = {
    {"rich", 65536, 0.25, 0},
    {"noisy", 1024, 1, 1},
    {"small", 64, 0.25, 0},
};

template <class Row, class Rows>
std::string NamesOf(const Rows& rows) {
  return absl::StrJoin(rows, ", ", [](std::string* out, const Row& row) { *out += row.name; });
}

absl::Status ReadInteger(absl::string_view key, absl::string_view text, int64_t least, int64_t most,
                         int64_t& to) {
  if (absl::SimpleAtoi(text, &to) && to >= least && to <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s=%s: allowed is a whole number from %d to %d", key, text, least, most));
}

absl::Status ReadShare(absl::string_view key, absl::string_view text, double& to) {
  if (absl::SimpleAtod(text, &to) && to >= 0 && to <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s=%s: allowed is a number from 0 to 1", key, text));
}

absl::Status ReadRegime(absl::string_view text, Spec& spec) {
  for (const Regime& regime : kRegimes) {
    if (text != regime.name) continue;
    spec.library = regime.library;
    spec.movers = regime.movers;
    spec.noise = regime.noise;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("regime=%s: allowed are %s", text, NamesOf<Regime>(kRegimes)));
}

absl::Status ReadPolicy(absl::string_view text, Spec& spec) {
  spec.policy = std::string(text);
  for (const Policy& policy : Policies()) {
    if (text == policy.name) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("policy=%s: allowed are %s", text, NamesOf<Policy>(Policies())));
}

absl::Status ReadKey(absl::string_view key, absl::string_view value, Spec& spec) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (key == "universe") return ReadInteger(key, value, 0, kMost, spec.universe);
  if (key == "universes") return ReadInteger(key, value, 1, 64, spec.universes);
  if (key == "regime") return ReadRegime(value, spec);
  if (key == "library") return ReadInteger(key, value, 1, 1 << 20, spec.library);
  if (key == "alpha") {
    if (absl::SimpleAtod(value, &spec.alpha) && spec.alpha > 0 && spec.alpha <= 4) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrFormat("alpha=%s: allowed is more than 0 and up to 4", value));
  }
  if (key == "movers") return ReadShare(key, value, spec.movers);
  if (key == "noise") return ReadShare(key, value, spec.noise);
  if (key == "share") return ReadShare(key, value, spec.share);
  if (key == "policy") return ReadPolicy(value, spec);
  if (key == "view") return ReadInteger(key, value, 8, 16, spec.view);
  if (key == "zo") return ReadInteger(key, value, 1, 256, spec.zo);
  if (key == "frames") return ReadInteger(key, value, 1, 4096, spec.frames);
  if (key == "pixels") return ReadInteger(key, value, 0, 128, spec.pixels);
  if (key == "outcomes") return ReadInteger(key, value, 0, 1, spec.outcomes);
  if (key == "seed") return ReadInteger(key, value, 0, kMost, spec.seed);
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s is not a key: allowed are universe, universes, regime, library, alpha, movers, "
      "noise, share, policy, "
      "view, zo, frames, pixels, outcomes and seed",
      key));
}

absl::Status CheckLook(const Spec& spec) {
  if (spec.view != 8 && spec.view != 16) {
    return absl::InvalidArgumentError(absl::StrFormat("view=%d: allowed are 8 and 16", spec.view));
  }
  ALLO_RETURN_IF_ERROR(Tokenizer::Create(spec.view, spec.zo).status());
  const int64_t each = spec.pixels / spec.view;
  if (spec.pixels != 0 && (spec.pixels % spec.view != 0 || (each != 2 && each != 4 && each != 8))) {
    return absl::InvalidArgumentError(
        absl::StrFormat("pixels=%d: allowed with view=%d are 0, %d, %d and %d", spec.pixels,
                        spec.view, 2 * spec.view, 4 * spec.view, 8 * spec.view));
  }
  return absl::OkStatus();
}

// The fewest digits that read back as `value`.
std::string Shortest(double value) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

}  // namespace

const std::vector<Policy>& Policies() {
  // Never destroyed: no order of destruction to think about.
  static const auto& policies = *new std::vector<Policy>{
      {"expert", {1}},
      {"random", {0}},
      {"half", {0.5}},
      {"mix3", {0, 0.75, 1}},
  };
  return policies;
}

const Policy& PolicyNamed(const std::string& name) {
  const auto found = std::find_if(Policies().begin(), Policies().end(),
                                  [&](const Policy& policy) { return policy.name == name; });
  ALLO_CHECK(found != Policies().end()) << name;
  return *found;
}

absl::StatusOr<Spec> ParseSpec(absl::string_view text) {
  Spec spec;
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, "strata:") && rest != "strata") {
    return absl::InvalidArgumentError(
        absl::StrFormat("'%s': a generated dataset is strata:KEY=VALUE,...", text));
  }
  if (rest == "strata") rest = "";
  std::set<std::string> seen;
  for (const absl::string_view entry : absl::StrSplit(rest, ',', absl::SkipEmpty())) {
    const size_t equals = entry.find('=');
    absl::Status status =
        equals == absl::string_view::npos
            ? absl::InvalidArgumentError(absl::StrCat("'", entry, "': allowed is KEY=VALUE"))
            : ReadKey(entry.substr(0, equals), entry.substr(equals + 1), spec);
    if (status.ok() && !seen.insert(std::string(entry.substr(0, equals))).second) {
      status = absl::InvalidArgumentError(absl::StrCat(entry, ": the key is there twice"));
    }
    if (!status.ok()) return Annotate(status, text);
  }
  const absl::Status look = CheckLook(spec);
  if (!look.ok()) return Annotate(look, text);
  return spec;
}

std::string SpecText(const Spec& spec) {
  const std::string universes =
      spec.universes == 1 ? "" : absl::StrCat(",universes=", spec.universes);
  return absl::StrFormat(
      "strata:universe=%d%s,library=%d,alpha=%s,movers=%s,noise=%s,share=%s,policy=%s,view=%d,"
      "zo=%d,frames=%d,pixels=%d%s,seed=%d",
      spec.universe, universes, spec.library, Shortest(spec.alpha), Shortest(spec.movers),
      Shortest(spec.noise), Shortest(spec.share), spec.policy, spec.view, spec.zo, spec.frames,
      spec.pixels, spec.outcomes == 0 ? "" : ",outcomes=1", spec.seed);
}

}  // namespace allometry::strata
