#include "cli/joined_table.h"

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "coordinator/sweep/number.h"
#include "fitting/data/header.h"

namespace allometry::cli {
namespace {

using fitting::MatchHeader;
using fitting::Role;

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

// Of settings N and what tells runs apart; their losses and tokens are those of a run's end.
bool KeepsSetting(const std::string& name) {
  const Role role = MatchHeader(name).role;
  return role == Role::kParams || role == Role::kFamily || role == Role::kState;
}

absl::StatusOr<double> BatchTokensOf(const TrackedRun& run, const std::string& batch_tokens) {
  const auto setting = run.settings.find(batch_tokens);
  const std::string& text = setting == run.settings.end() ? batch_tokens : setting->second;
  const absl::StatusOr<double> value = sweep::ParseNumber(text);
  if (value.ok() && *value >= 1) return *value;
  return absl::InvalidArgumentError(absl::StrFormat(
      "run '%s': --batch-tokens is '%s', which is neither a number of 1 or more nor "
      "a setting of the run that is one",
      run.name, text));
}

}  // namespace

absl::StatusOr<JoinedTable> Join(const std::vector<TrackedRun>& runs,
                                 const std::string& batch_tokens,
                                 const std::vector<std::string>& columns, LossesOf which) {
  const bool by_step = !batch_tokens.empty();
  std::map<std::string, Role> named;
  for (const std::string& column : columns) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(column, absl::MaxSplits('=', 1));
    named[parts.second] = fitting::ParseRole(parts.first);
  }
  std::set<std::string> settings, losses, others;
  std::set<std::string> train, heldout;
  bool counted = by_step;
  for (const TrackedRun& run : runs) {
    for (const auto& [name, values] : run.series) {
      const fitting::HeaderMatch match = MatchHeader(name);
      const auto said = named.find(name);
      const Role role = said == named.end() ? match.role : said->second;
      if (role == Role::kLoss) {
        const bool of_training = said == named.end() && match.loss == fitting::LossKind::kTrain;
        (of_training ? train : heldout).insert(name);
      } else if (role == Role::kTokens
                     ? !by_step
                     : role == Role::kFlops || role == Role::kEpochs || said != named.end()) {
        others.insert(name);
        counted |= role == Role::kTokens;
      }
    }
    for (const auto& [name, value] : run.settings) {
      if (KeepsSetting(name) || named.count(name) > 0) settings.insert(name);
    }
  }
  JoinedTable joined;
  if (which == LossesOf::kTrain && (heldout.empty() || train.empty())) return joined;
  losses = which == LossesOf::kTrain || heldout.empty() ? train : heldout;
  if (!counted && others.empty()) {
    return absl::InvalidArgumentError(
        "no series counts the tokens that a run has seen (tokens, train/tokens, ...): say how many "
        "an update takes with --batch-tokens, a number or the name of a setting, or name the "
        "series "
        "with --column D=NAME");
  }
  if (losses.empty()) {
    return absl::InvalidArgumentError(
        "no series is a loss (val/loss, eval_loss, train_loss, ...): name it with --column "
        "loss=NAME");
  }
  std::vector<std::string> series(losses.begin(), losses.end());
  series.insert(series.end(), others.begin(), others.end());
  std::vector<std::string> header = {"run"};
  for (const std::string& name : series) settings.erase(name);
  for (const std::string& name : settings) header.push_back(Quoted(name));
  if (by_step) header.push_back("tokens");
  for (const std::string& name : series) header.push_back(Quoted(name));
  joined.csv = absl::StrJoin(header, ",") + "\n";
  for (const TrackedRun& run : runs) {
    double batch = 0;
    if (by_step) {
      ALLO_ASSIGN_OR_RETURN(batch, BatchTokensOf(run, batch_tokens));
    }
    std::set<int64_t> steps;
    for (const std::string& name : losses) {
      const auto values = run.series.find(name);
      if (values == run.series.end()) continue;
      for (const auto& [step, value] : values->second) steps.insert(step);
    }
    for (const int64_t step : steps) {
      if (by_step && step == 0) continue;  // before the first update
      std::vector<std::string> fields = {Quoted(run.name)};
      for (const std::string& name : settings) {
        const auto found = run.settings.find(name);
        fields.push_back(found == run.settings.end() ? "" : Quoted(found->second));
      }
      if (by_step) fields.push_back(absl::StrFormat("%.17g", batch * static_cast<double>(step)));
      for (const std::string& name : series) {
        const auto values = run.series.find(name);
        const bool has = values != run.series.end() && values->second.count(step) > 0;
        fields.push_back(has ? absl::StrFormat("%.17g", values->second.at(step)) : "");
      }
      absl::StrAppend(&joined.csv, absl::StrJoin(fields, ","), "\n");
      joined.places.push_back(absl::StrFormat("run %s, step %d", run.name, step));
    }
  }
  return joined;
}

}  // namespace allometry::cli
