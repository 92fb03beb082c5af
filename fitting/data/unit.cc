#include "fitting/data/unit.h"

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fitting/data/number.h"

namespace allometry::fitting {
namespace {

constexpr double kPetaflopDay = 8.64e19;

struct Scale {
  const char* word;
  double factor;
};

// Of counts: 10M, 1.5 billion, 2 Mrd.
constexpr Scale kCountScales[] = {
    {"k", 1e3},         {"thousand", 1e3},   {"thousands", 1e3}, {"kilo", 1e3},
    {"tsd", 1e3},       {"m", 1e6},          {"mm", 1e6},        {"mn", 1e6},
    {"mln", 1e6},       {"mio", 1e6},        {"million", 1e6},   {"millions", 1e6},
    {"millionen", 1e6}, {"mega", 1e6},       {"b", 1e9},         {"bn", 1e9},
    {"bln", 1e9},       {"billion", 1e9},    {"billions", 1e9},  {"g", 1e9},
    {"giga", 1e9},      {"mrd", 1e9},        {"mds", 1e9},       {"milliard", 1e9},
    {"milliards", 1e9}, {"milliarden", 1e9}, {"t", 1e12},        {"tn", 1e12},
    {"trillion", 1e12}, {"trillions", 1e12}, {"tera", 1e12}};
// Of FLOPs.
constexpr Scale kFlopScales[] = {{"k", 1e3},  {"kilo", 1e3},   {"m", 1e6},  {"mega", 1e6},
                                 {"g", 1e9},  {"giga", 1e9},   {"t", 1e12}, {"tera", 1e12},
                                 {"p", 1e15}, {"peta", 1e15},  {"e", 1e18}, {"exa", 1e18},
                                 {"z", 1e21}, {"zetta", 1e21}, {"y", 1e24}, {"yotta", 1e24}};

template <size_t n>
double Find(const Scale (&scales)[n], absl::string_view word) {
  for (const Scale& scale : scales) {
    if (word == scale.word) return scale.factor;
  }
  return 0;
}

// "1e18", "10^6", "x1e9", "/1e6" (the header divides, so the value is to be multiplied), "e9".
double NumericScale(absl::string_view word) {
  while (!word.empty() && absl::StrContains("x*/", word.substr(0, 1))) word.remove_prefix(1);
  std::string text(word);
  if (word.size() > 1 && word[0] == 'e' && absl::ascii_isdigit(word[1])) text = "1" + text;
  ParsedNumber number;
  std::string reason;
  if (text.empty() || !absl::ascii_isdigit(text[0])) return 0;
  if (!ParseNumber(text, Decimal::kPoint, number, reason) || number.missing) return 0;
  if (!number.suffix.empty() || !(number.value > 0) || !std::isfinite(number.value)) return 0;
  return number.value;
}

bool OneOf(absl::string_view word, std::initializer_list<const char*> words) {
  for (const char* one : words) {
    if (word == one) return true;
  }
  return false;
}

std::vector<std::string> Words(absl::string_view text) {
  std::string lower = absl::AsciiStrToLower(PlainText(text));
  for (char& c : lower) {
    if (absl::StrContains("()[]:;,\"' \t\n\r", std::string(1, c))) c = ' ';
  }
  std::vector<std::string> words;
  for (absl::string_view word : absl::StrSplit(lower, absl::ByAnyChar(" _-"), absl::SkipEmpty())) {
    if (!OneOf(word, {"in", "of", "units", "unit", "x", "*", "/"})) words.emplace_back(word);
  }
  return words;
}

std::optional<Unit> CountUnit(Role role, const std::vector<std::string>& words) {
  Unit unit;
  const auto nouns = role == Role::kParams
                         ? std::vector<const char*>{"parameters", "parameter", "params",
                                                    "param",      "weights",   "count"}
                         : std::vector<const char*>{"tokens", "token", "toks", "tok", "count"};
  for (const std::string& word : words) {
    double factor = Find(kCountScales, word);
    if (factor == 0) factor = NumericScale(word);
    if (factor > 0) {
      unit.factor *= factor;
      continue;
    }
    bool known = false;
    for (const char* noun : nouns) {
      if (!absl::EndsWith(word, noun)) continue;
      const absl::string_view prefix =
          absl::string_view(word).substr(0, word.size() - strlen(noun));
      factor = prefix.empty() ? 1 : Find(kCountScales, prefix);
      if (factor == 0) continue;
      unit.factor *= factor;
      known = true;
      break;
    }
    if (!known) return std::nullopt;
  }
  return unit;
}

std::optional<Unit> FlopUnit(const std::vector<std::string>& words) {
  Unit unit;
  const std::string joined = absl::StrJoin(words, "");
  for (const auto& [prefix, factor] : {std::pair{"pf", 1.0},
                                       {"petaflop", 1.0},
                                       {"petaflops", 1.0},
                                       {"pflop", 1.0},
                                       {"pflops", 1.0},
                                       {"tf", 1e-3},
                                       {"teraflop", 1e-3},
                                       {"teraflops", 1e-3},
                                       {"tflop", 1e-3},
                                       {"tflops", 1e-3},
                                       {"ef", 1e3},
                                       {"exaflop", 1e3},
                                       {"exaflops", 1e3},
                                       {"eflop", 1e3},
                                       {"eflops", 1e3}}) {
    for (const char* day :
         {"day", "days", "sday", "sdays", "/sday", "/sdays", "/s/day", "/s/days"}) {
      if (joined == absl::StrCat(prefix, day)) {
        unit.factor = factor * kPetaflopDay;
        return unit;
      }
    }
  }
  for (const std::string& word : words) {
    double factor = Find(kFlopScales, word);
    if (factor == 0) factor = Find(kCountScales, word);
    if (factor == 0) factor = NumericScale(word);
    for (const char* noun : {"flops", "flop", "fl"}) {
      if (factor > 0) break;
      if (!absl::EndsWith(word, noun)) continue;
      const absl::string_view prefix =
          absl::string_view(word).substr(0, word.size() - strlen(noun));
      factor = prefix.empty() ? 1 : Find(kFlopScales, prefix);
    }
    if (factor == 0) return std::nullopt;
    unit.factor *= factor;
  }
  return unit;
}

std::optional<Unit> LossUnit(const std::vector<std::string>& words) {
  Unit unit;
  bool measure = false;
  for (const std::string& given : words) {
    for (absl::string_view word : absl::StrSplit(given, '/', absl::SkipEmpty())) {
      if (OneOf(word, {"nats", "nat", "ln", "natural"})) {
        measure = true;
      } else if (OneOf(word, {"bits", "bit", "log2", "base2", "shannons"})) {
        unit.factor = std::log(2.0);
        measure = true;
      } else if (OneOf(word, {"log10", "base10", "bans", "hartleys", "dits"})) {
        unit.factor = std::log(10.0);
        measure = true;
      } else if (OneOf(word, {"perplexity", "ppl", "perplexities"})) {
        unit.perplexity = true;
        measure = true;
      } else if (OneOf(word, {"bpb", "bpc", "bpt", "bpw"})) {
        unit.factor = std::log(2.0);
        unit.per = word == "bpb"   ? "byte"
                   : word == "bpc" ? "character"
                   : word == "bpt" ? "token"
                                   : "word";
        measure = true;
      } else if (OneOf(word, {"byte", "bytes", "utf8"})) {
        unit.per = "byte";
      } else if (OneOf(word, {"char", "chars", "character", "characters"})) {
        unit.per = "character";
      } else if (OneOf(word, {"word", "words"})) {
        unit.per = "word";
      } else if (!OneOf(word, {"per", "token", "tokens", "tok"})) {
        return std::nullopt;
      }
    }
  }
  if (!measure && unit.per == "token") return std::nullopt;
  return unit;
}

std::string LossName(const Unit& unit) {
  const char* measure = unit.perplexity                ? "perplexity"
                        : unit.factor == 1             ? "nats"
                        : unit.factor == std::log(2.0) ? "bits"
                                                       : "decimal digits";
  return absl::StrCat(measure, " per ", unit.per);
}

}  // namespace

const char* RoleName(Role role) {
  static constexpr const char* kNames[] = {
      "N", "D", "loss", "C", "run", "family", "weight", "epochs", "ends_cell", "state", "group"};
  return kNames[static_cast<int>(role)];
}

Role ParseRole(absl::string_view word) {
  const std::string lower = absl::AsciiStrToLower(word);
  for (int role = 0; role < kRoleCount; ++role) {
    if (lower == absl::AsciiStrToLower(RoleName(static_cast<Role>(role)))) {
      return static_cast<Role>(role);
    }
  }
  if (OneOf(lower, {"params", "parameters"})) return Role::kParams;
  if (lower == "tokens") return Role::kTokens;
  if (lower == "l") return Role::kLoss;
  if (OneOf(lower, {"flops", "compute"})) return Role::kFlops;
  if (lower == "size") return Role::kFamily;
  return Role::kRoles;
}

double Unit::Apply(double value) const {
  return perplexity ? std::log(value) : factor == 1 ? value : value * factor;
}

std::optional<Unit> ParseUnit(Role role, absl::string_view text) {
  const std::vector<std::string> words = Words(text);
  if (words.empty()) return std::nullopt;
  std::optional<Unit> unit;
  switch (role) {
    case Role::kParams:
    case Role::kTokens:
      unit = CountUnit(role, words);
      break;
    case Role::kFlops:
      unit = FlopUnit(words);
      break;
    case Role::kLoss:
      unit = LossUnit(words);
      break;
    default:
      return std::nullopt;
  }
  if (!unit || !(unit->factor > 0) || !std::isfinite(unit->factor)) return std::nullopt;
  unit->stated = true;
  if (role == Role::kLoss) {
    unit->name = LossName(*unit);
  } else if (unit->factor != 1) {
    unit->name = absl::StrFormat("x %g", unit->factor);
  }
  return unit;
}

const char* AllowedUnits(Role role) {
  switch (role) {
    case Role::kParams:
    case Role::kTokens:
      return "1, K, M, B, T or a number such as 1e6";
    case Role::kFlops:
      return "1, PF-days, TFLOPs, PFLOPs, EFLOPs, ZFLOPs or a number such as 1e18";
    case Role::kLoss:
      return "nats, bits, perplexity, bits per byte, bits per character";
    default:
      return "none";
  }
}

}  // namespace allometry::fitting
