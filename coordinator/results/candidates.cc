#include "coordinator/results/candidates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/cost/design.h"
#include "coordinator/cost/throughput.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/sweep_reader.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

constexpr double kLeastGap = 1.5;        // ratio of neighbouring sizes with room for one between
constexpr double kLeastShare = 1. / 64;  // of the sweep's largest C, at a new size

double TokensPerParam(const v1::Cell& cell) {
  return static_cast<double>(cell.tokens()) / static_cast<double>(cell.params());
}

std::vector<TrainedSize> TrainedSizes(const store::StoredSweep& stored,
                                      const sweep::SweepFile& file) {
  std::map<int64_t, double> tokens_of_run;
  for (const v1::Cell& cell : stored.cells) {
    if (!cell.stage().empty()) continue;
    double& tokens = tokens_of_run[cell.run_id()];
    tokens = std::max(tokens, static_cast<double>(cell.tokens()));
  }
  std::map<int64_t, TrainedSize> by_params;
  for (const v1::Run& run : stored.runs) {
    const auto tokens = tokens_of_run.find(run.run_id());
    if (!run.stage().empty() || tokens == tokens_of_run.end()) continue;
    const v1::ModelShape& shape = run.spec().identity().shape();
    TrainedSize& size = by_params[run.n_params()];
    size.choice.label = run.size();
    size.choice.layers = shape.layers();
    size.choice.heads = shape.heads();
    size.choice.width = shape.width();
    // Of several rates the newest run's: that of the last submission.
    size.choice.learning_rate = run.spec().identity().learning_rate();
    size.choice.ranks = run.spec().ranks();
    size.params = static_cast<double>(run.n_params());
    size.asked = size.params;
    size.tokens = std::max(size.tokens, tokens->second);
  }
  std::vector<TrainedSize> sizes;
  for (auto& [params, size] : by_params) {
    for (const sweep::SizeChoice& asked : file.sizes) {
      if (asked.label == size.choice.label && asked.params > 0) {
        size.asked = static_cast<double>(asked.params);
        size.choice.row = asked.row;
        if (asked.row) size.choice.params = asked.params;
      }
    }
    sizes.push_back(std::move(size));
  }
  return sizes;
}

// Beyond the ends that of the end.
double RateFor(const std::vector<TrainedSize>& sizes, double asked) {
  const auto above = std::find_if(sizes.begin(), sizes.end(),
                                  [&](const TrainedSize& size) { return size.asked >= asked; });
  if (above == sizes.begin()) return sizes.front().choice.learning_rate;
  if (above == sizes.end()) return sizes.back().choice.learning_rate;
  const TrainedSize& below = *std::prev(above);
  const double weight = std::log(asked / below.asked) / std::log(above->asked / below.asked);
  const double rate = std::exp((1 - weight) * std::log(below.choice.learning_rate) +
                               weight * std::log(above->choice.learning_rate));
  return sweep::ParseNumber(absl::StrFormat("%.2e", rate)).value_or(rate);
}

int RanksFor(const std::vector<TrainedSize>& sizes, double asked) {
  const auto distance = [&](const TrainedSize& size) {
    return std::abs(std::log(size.asked / asked));
  };
  return std::min_element(
             sizes.begin(), sizes.end(),
             [&](const TrainedSize& a, const TrainedSize& b) { return distance(a) < distance(b); })
      ->choice.ranks;
}

// "57k" of 56568.
std::string LabelOf(double params) {
  const double rounded =
      sweep::ParseNumber(absl::StrFormat("%.1e", params)).value_or(std::round(params));
  constexpr std::pair<double, const char*> kUnits[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  for (const auto& [unit, suffix] : kUnits) {
    if (rounded >= unit) return absl::StrCat(sweep::FormatNumber(rounded / unit), suffix);
  }
  return sweep::FormatNumber(rounded);
}

// Sizes that the sweep has not.
std::vector<sweep::SizeChoice> NewSizes(const std::vector<TrainedSize>& sizes) {
  // What a model of another size would be, only the author of a table knows.
  if (sizes.front().choice.row) return {};
  std::vector<double> params = {sizes.front().params / 2};
  for (size_t i = 1; i < sizes.size(); ++i) {
    if (sizes[i].params / sizes[i - 1].params >= kLeastGap) {
      params.push_back(std::sqrt(sizes[i].params * sizes[i - 1].params));
    }
  }
  params.push_back(2 * sizes.back().params);
  params.push_back(4 * sizes.back().params);
  std::vector<sweep::SizeChoice> choices;
  for (const double about : params) {
    sweep::SizeChoice choice;
    choice.label = LabelOf(about);
    choice.params = std::llround(sweep::ParseNumber(choice.label).value_or(about));
    const bool taken = std::any_of(sizes.begin(), sizes.end(), [&](const TrainedSize& size) {
      return size.choice.label == choice.label;
    });
    if (taken || choice.params < 1) continue;
    choice.learning_rate = RateFor(sizes, static_cast<double>(choice.params));
    choice.ranks = RanksFor(sizes, static_cast<double>(choice.params));
    choices.push_back(std::move(choice));
  }
  return choices;
}

// What a run costs beyond what the sweep has trained of it.
struct Added {
  double flops = 0;
  const v1::Run* continued = nullptr;  // the stored run of its key
};
Added WhatIsAdded(const TrainedSweep& sweep, const v1::Run& run) {
  Added added;
  int64_t from_step = 0;
  for (const v1::RunInput& input : run.spec().inputs()) {
    from_step = std::max(from_step, input.step());
  }
  for (const v1::Run& stored : sweep.stored.runs) {
    if (stored.key() != run.key()) continue;
    from_step = stored.spec().steps();
    added.continued = &stored;
  }
  const int64_t steps = std::max<int64_t>(0, run.spec().steps() - from_step);
  added.flops = static_cast<double>(steps * run.spec().identity().batch_tokens()) *
                cost::FlopsPerToken(run, ConventionOf(sweep.stored.sweep));
  return added;
}

bool HasFailed(const v1::Run& run) {
  return run.state() == v1::RUN_FAILED || run.state() == v1::RUN_CANCELLED;
}

// Another label's run of the same shape.
bool IsOfAnotherSize(const TrainedSweep& sweep, const v1::Run& run) {
  return std::any_of(sweep.stored.runs.begin(), sweep.stored.runs.end(), [&](const v1::Run& old) {
    return old.stage().empty() && old.n_params() == run.n_params() && old.size() != run.size();
  });
}

// Nothing where it is none.
std::optional<BuiltCandidate> Build(const TrainedSweep& sweep, const sweep::SizeChoice& size,
                                    double tokens) {
  sweep::SweepFile file = sweep.file;
  file.sizes = {size};
  file.budget_kind = sweep::BudgetKind::kTokens;
  file.budgets = {{tokens, sweep::FormatNumber(tokens), 0}};
  absl::StatusOr<sweep::Expansion> expansion = sweep::Expand(file, sweep.manifest);
  if (!expansion.ok() || expansion->cells.size() != 1) return std::nullopt;
  BuiltCandidate built;
  built.expansion = *std::move(expansion);
  built.candidate.curve = size.label;
  std::string note = size.params > 0
                         ? absl::StrFormat("a new size, learning rate %.4g", size.learning_rate)
                         : "a larger budget";
  std::set<double> there;  // tokens that its runs are evaluated at already
  for (const v1::Run& run : built.expansion.runs) {
    if (!run.stage().empty()) continue;  // the tokenizer, which the sweep has
    if (IsOfAnotherSize(sweep, run)) return std::nullopt;
    const Added added = WhatIsAdded(sweep, run);
    built.candidate.flops += added.flops;
    if (added.continued == nullptr) continue;
    if (HasFailed(*added.continued)) return std::nullopt;
    note = absl::StrFormat("continues run %d", added.continued->run_id());
    for (const int64_t step : added.continued->spec().evaluation_steps()) {
      there.insert(static_cast<double>(step * run.spec().identity().batch_tokens()));
    }
  }
  built.candidate.points =
      cost::DesignOf(built.expansion.sweep, built.expansion.runs, built.expansion.cells);
  std::erase_if(built.candidate.points,
                [&](const fitting::Observation& point) { return there.contains(point.tokens); });
  if (!(built.candidate.flops > 0) || built.candidate.points.empty()) return std::nullopt;
  const v1::Cell& cell = built.expansion.cells.front();
  built.cell.set_params(static_cast<double>(cell.params()));
  built.cell.set_tokens(static_cast<double>(cell.tokens()));
  built.cell.set_flops(built.candidate.flops);
  built.cell.set_note(absl::StrCat(size.label, ": ", note));
  return built;
}

}  // namespace

absl::StatusOr<TrainedSweep> ReadTrainedSweep(store::StoredSweep stored,
                                              const store::SweepSource& source) {
  TrainedSweep sweep;
  ALLO_ASSIGN_OR_RETURN(sweep.file, sweep::ParseSweepFile(source.text, source.file_name));
  sweep.file.ladder.reset();
  sweep.file.seeds = {sweep.file.seeds.front()};
  ALLO_ASSIGN_OR_RETURN(sweep.manifest, data::ParseManifest(source.manifest_json));
  sweep.stored = std::move(stored);
  sweep.sizes = TrainedSizes(sweep.stored, sweep.file);
  for (const v1::Cell& cell : sweep.stored.cells) {
    if (!cell.stage().empty()) continue;
    sweep.most_flops = std::max(sweep.most_flops, cell.flops());
    const double ratio = TokensPerParam(cell);
    const bool first = sweep.least_tokens == 0;
    if (first || cell.tokens() < sweep.least_tokens) sweep.least_tokens = cell.tokens();
    if (first || ratio < sweep.least_tokens_per_param) sweep.least_tokens_per_param = ratio;
  }
  if (sweep.sizes.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("sweep '", sweep.stored.sweep.name(),
                     "' has no cell of its grid yet: its learning-rate ladder comes first"));
  }
  return sweep;
}

std::vector<BuiltCandidate> CandidatesOf(const TrainedSweep& sweep, double max_flops) {
  constexpr double kRoom = 1.001;  // whole steps may lie a little above what was asked for
  std::vector<BuiltCandidate> all;
  std::map<int64_t, std::string> label_of;  // of new sizes, by N: two of one shape are one
  const auto add = [&](const sweep::SizeChoice& size, double tokens) {
    std::optional<BuiltCandidate> built = Build(sweep, size, tokens);
    if (!built) return;
    const v1::Cell& cell = built->expansion.cells.front();
    if (cell.flops() > kRoom * max_flops || cell.tokens() < sweep.least_tokens) return;
    if (TokensPerParam(cell) < sweep.least_tokens_per_param) return;
    if (label_of.emplace(cell.params(), size.label).first->second != size.label) return;
    all.push_back(*std::move(built));
  };
  for (const TrainedSize& size : sweep.sizes) {
    // Twice the room, as C may be counted otherwise than 6 N D; `add` looks at what it is.
    for (double tokens = 2 * size.tokens; 6 * size.params * tokens <= 2 * max_flops; tokens *= 2) {
      add(size.choice, tokens);
    }
  }
  for (const sweep::SizeChoice& size : NewSizes(sweep.sizes)) {
    const double cost = 6 * static_cast<double>(size.params);  // of a token, about
    for (double flops = kLeastShare * sweep.most_flops; flops <= kRoom * max_flops; flops *= 2) {
      add(size, flops / cost);
    }
  }
  return all;
}

sweep::Expansion CombineCandidates(absl::Span<const BuiltCandidate* const> candidates) {
  sweep::Expansion together;
  together.sweep = candidates.front()->expansion.sweep;
  together.schedule = candidates.front()->expansion.schedule;
  std::map<std::string, int64_t> id_of;  // by key
  for (const BuiltCandidate* candidate : candidates) {
    std::map<int64_t, int64_t> id_here;
    for (v1::Run run : candidate->expansion.runs) {
      const auto next = static_cast<int64_t>(together.runs.size()) + 1;
      const auto [known, is_new] = id_of.emplace(run.key(), next);
      id_here[run.run_id()] = known->second;
      if (!is_new) continue;
      run.set_run_id(next);
      together.runs.push_back(std::move(run));
    }
    for (v1::Cell cell : candidate->expansion.cells) {
      cell.set_run_id(id_here.at(cell.run_id()));
      cell.set_cell_id(static_cast<int64_t>(together.cells.size()) + 1);
      together.cells.push_back(std::move(cell));
    }
  }
  return together;
}

}  // namespace allometry::coordinator
