#include "fitting/data/header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fitting/data/number.h"
#include "fitting/data/spellings.h"

namespace allometry::fitting {
namespace {

using Words = std::vector<std::string>;

bool OneOf(absl::string_view word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* one) { return word == one; });
}

// Letters and digits between anything else, also where a small letter meets a capital: numParams.
// "1e18" and "10^6" stay one word.
Words SplitWords(absl::string_view text) {
  Words words;
  std::string word;
  const auto end = [&] {
    if (!word.empty()) words.push_back(absl::AsciiStrToLower(word));
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool alnum = absl::ascii_isalnum(c) || static_cast<unsigned char>(c) >= 0x80;
    const bool power = (c == '^' || c == '+') && !word.empty() && absl::ascii_isdigit(word[0]);
    if (!alnum && !power) {
      end();
      continue;
    }
    if (!word.empty() && absl::ascii_isupper(c) && absl::ascii_islower(word.back())) end();
    word.push_back(c);
  }
  end();
  return words;
}

// The header behind the prefixes of trackers, longest first.
std::vector<std::string> Stripped(absl::string_view header) {
  std::vector<std::string> forms = {std::string(header)};
  absl::string_view rest = header;
  while (true) {
    const size_t cut = rest.find_first_of("./:");
    if (cut == absl::string_view::npos || cut + 1 >= rest.size()) return forms;
    const std::string first =
        absl::AsciiStrToLower(absl::StripAsciiWhitespace(rest.substr(0, cut)));
    if (!OneOf(first, {"config",  "summary",    "metrics", "metric",    "params",
                       "param",   "parameters", "hparams", "hparam",    "hyperparameters",
                       "args",    "cfg",        "hp",      "tags",      "attributes",
                       "data",    "results",    "result",  "model",     "history",
                       "_wandb",  "optim",      "perf",    "progress",  "run",
                       "general", "train",      "trainer", "throughput"})) {
      return forms;
    }
    rest.remove_prefix(cut + 1);
    forms.emplace_back(rest);
  }
}

int LossRank(const Words& words, const Unit& unit, LossKind kind) {
  const auto has = [&](const char* word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  int rank = static_cast<int>(kind) * 1000;
  if (unit.per == "token") rank += 300;
  if (!unit.perplexity && unit.factor == 1) rank += 200;
  if (kind == LossKind::kHeldOut) {
    rank += has("val") ? 70 : has("validation") || has("valid") ? 60 : has("eval") ? 50 : 0;
    rank += has("heldout") || has("holdout") || has("held") ? 40 : 0;
  }
  if (has("final") || has("last")) rank += 5;
  if (has("smooth") || has("smoothed") || has("ema")) rank -= 5;
  if (has("best") || has("min")) rank -= 8;
  if (has("total")) rank -= 9;
  if (words.size() == 1 && words[0] == "l") rank -= 500;
  return rank;
}

HeaderMatch MatchLoss(const Words& all) {
  HeaderMatch match;
  bool core = false, held_out = false, train = false;
  Words unit_words;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string& word = all[i];
    const std::string next = i + 1 < all.size() ? all[i + 1] : "";
    if (OneOf(word, {"loss", "losses", "nll", "ce", "crossentropy", "xent", "xentropy", "celoss",
                     "valloss", "lmloss"})) {
      core = true;
      held_out |= word == "valloss";
    } else if ((word == "cross" && next == "entropy") || (word == "log" && next == "likelihood")) {
      core = true;
      ++i;
    } else if (word == "log" && OneOf(next, {"perplexity", "ppl"})) {
      core = true;  // ln perplexity is the loss in nats
      ++i;
    } else if (word == "l" && all.size() == 1) {
      core = match.letter = true;
    } else if (OneOf(word, {"val", "valid", "validation", "eval", "evaluation", "test", "testing",
                            "dev", "heldout", "holdout"})) {
      held_out = true;
    } else if (word == "held" && next == "out") {
      held_out = true;
      ++i;
    } else if (OneOf(word, {"train", "training", "trn"})) {
      train = true;
    } else if (OneOf(word, {"perplexity", "ppl", "bpb", "bpc", "bpt", "bpw"})) {
      core = true;
      unit_words.push_back(word);
    } else if (OneOf(word, {"nats", "nat", "bits", "bit", "byte", "bytes", "char", "character",
                            "chars", "characters", "word", "log2", "base2", "log10"})) {
      core |= OneOf(word, {"bits", "nats"});
      unit_words.push_back(word);
    } else if (!OneOf(word, {"final",    "last",  "lm",  "mean",   "avg",      "average",
                             "per",      "token", "tok", "tokens", "smooth",   "smoothed",
                             "ema",      "best",  "min", "total",  "negative", "model",
                             "language", "in",    "end", "raw",    "the",      "of"})) {
      return {};
    }
  }
  if (!core) return {};
  if (!unit_words.empty()) {
    const std::optional<Unit> unit = ParseUnit(Role::kLoss, absl::StrJoin(unit_words, " "));
    if (!unit) {
      // "loss per byte": nats are the unit that a loss has.
      const std::optional<Unit> nats =
          ParseUnit(Role::kLoss, absl::StrCat("nats per ", unit_words.back()));
      if (!nats) return {};
      match.unit = *nats;
    } else {
      match.unit = *unit;
    }
  }
  match.role = Role::kLoss;
  match.loss = held_out ? LossKind::kHeldOut : train ? LossKind::kTrain : LossKind::kPlain;
  match.rank = LossRank(all, match.unit, match.loss);
  return match;
}

HeaderMatch MatchSpelling(const std::string& joined) {
  int rank = static_cast<int>(Spellings().size());
  for (const Spelling& spelling : Spellings()) {
    --rank;
    if (joined != spelling.name) continue;
    HeaderMatch match;
    match.role = spelling.role;
    match.weak = spelling.weak;
    match.params_policy = spelling.policy;
    match.letter = joined.size() == 1;
    match.rank = match.letter ? 0 : match.weak ? rank - 1000 : rank;
    return match;
  }
  return {};
}

// The words of a name with a unit behind or before it: "params m", "billion tokens", "eflops".
HeaderMatch MatchWithUnit(const Words& words) {
  for (size_t count = 1; count <= std::min<size_t>(words.size(), 4); ++count) {
    for (bool behind : {true, false}) {
      const size_t cut = words.size() - count;
      const Words unit_words = behind ? Words(words.begin() + cut, words.end())
                                      : Words(words.begin(), words.begin() + count);
      const Words name = behind ? Words(words.begin(), words.begin() + cut)
                                : Words(words.begin() + count, words.end());
      HeaderMatch match = MatchSpelling(absl::StrJoin(name, ""));
      if (name.empty()) {
        // The unit names the quantity: "EFLOPs", "PF-days", "Mparams".
        const std::string text = absl::StrJoin(unit_words, "");
        if (absl::StrContains(text, "flop") || absl::StartsWith(text, "pf")) {
          match.role = Role::kFlops;
        } else if (absl::StrContains(text, "param")) {
          match.role = Role::kParams;
        } else if (absl::StrContains(text, "tok")) {
          match.role = Role::kTokens;
        }
        match.rank = 1;
      }
      if (match.role > Role::kFlops) continue;
      if (match.role == Role::kRoles) continue;
      const std::optional<Unit> unit = ParseUnit(match.role, absl::StrJoin(unit_words, " "));
      if (!unit) continue;
      match.unit = *unit;
      return match;
    }
  }
  return {};
}

}  // namespace

void CutBrackets(absl::string_view header, std::string& outside, std::string& inside) {
  const size_t open = header.find_first_of("([");
  const size_t close = open == absl::string_view::npos ? open : header.find_first_of(")]", open);
  if (close == absl::string_view::npos) {
    outside = std::string(header);
    return;
  }
  outside = absl::StrCat(header.substr(0, open), " ", header.substr(close + 1));
  inside = std::string(header.substr(open + 1, close - open - 1));
}

HeaderMatch MatchHeader(absl::string_view header) {
  const std::string plain = PlainText(header);
  for (const std::string& form : Stripped(plain)) {
    std::string outside, inside;
    CutBrackets(form, outside, inside);
    const Words all = SplitWords(form);
    if (all.empty() || all.size() > 10) continue;
    HeaderMatch match = MatchSpelling(absl::StrJoin(all, ""));
    if (match.role != Role::kRoles) return match;
    match = MatchLoss(all);
    if (match.role != Role::kRoles) return match;
    if (!inside.empty()) {
      const Words name = SplitWords(outside);
      match = MatchSpelling(absl::StrJoin(name, ""));
      if (match.role == Role::kRoles) match = MatchLoss(name);
      if (match.role == Role::kRoles) match = MatchWithUnit(name);
      if (match.role != Role::kRoles) {
        const std::optional<Unit> unit = ParseUnit(match.role, inside);
        if (unit) {
          match.unit = *unit;
        } else if (match.role <= Role::kFlops) {
          match.unknown_unit = inside;
        }
        return match;
      }
    }
    match = MatchWithUnit(all);
    if (match.role != Role::kRoles) return match;
  }
  return {};
}

bool LooksLikeLoss(absl::string_view header) {
  const Words words = SplitWords(PlainText(header));
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return OneOf(word, {"loss", "nll", "xent", "ce", "perplexity", "ppl", "bpb", "entropy"}) ||
           absl::EndsWith(word, "loss");
  });
}

bool LooksLikeHeldOutLoss(absl::string_view header) {
  const Words words = SplitWords(PlainText(header));
  for (const std::string& word : words) {
    if (OneOf(word, {"std", "stderr", "sem", "var", "variance", "scale", "delta", "diff", "aux",
                     "z", "count", "weight", "coef", "max", "se"})) {
      return false;
    }
  }
  return LooksLikeLoss(header) &&
         std::any_of(words.begin(), words.end(), [](const std::string& word) {
           return OneOf(word, {"val", "valid", "validation", "eval", "heldout", "test", "dev"});
         });
}

bool LooksLikeCost(absl::string_view header) {
  const Words words = SplitWords(PlainText(header));
  return absl::StrContains(header, '$') ||
         std::any_of(words.begin(), words.end(), [](const std::string& word) {
           return OneOf(word, {"hours", "hour", "hrs", "cost", "usd", "dollars", "dollar", "eur",
                               "price", "gpuhours", "days", "seconds"});
         });
}

bool LooksLikeSteps(absl::string_view header) {
  const Words words = SplitWords(PlainText(header));
  return !words.empty() && words.size() <= 3 &&
         OneOf(words.back(),
               {"step", "steps", "iter", "iters", "iteration", "iterations", "updates"});
}

}  // namespace allometry::fitting
