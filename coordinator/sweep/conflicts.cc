#include "coordinator/sweep/conflicts.h"

#include <algorithm>
#include <map>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/run_names.h"
#include "coordinator/sweep/tokenizer_run.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "run/fields.h"
#include "run/placeholders.h"

namespace allometry::sweep {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string FactText(double value) { return Exact(value); }
template <class T>
std::string FactText(const T& value) {
  return absl::StrCat(value);
}

// The settings that a sweep file sets for all runs.
template <class Owner>
void AddSettings(const Owner& owner, Facts* facts) {
  run::ForEach(run::FieldsOf(&owner), [&](const auto& row) {
    const auto& value = owner.*row.member;
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, run::Optimizer>) {
      AddSettings(value, facts);
    } else if constexpr (!run::HasFields<std::decay_t<decltype(value)>>) {
      if (row.set_in != run::SetIn::kNowhere) facts->emplace_back(row.name, FactText(value));
    }
  });
}

// What a sweep's runs have of their command, as it stands in its file.
void AddTrainer(const v1::RunIdentity& identity, Facts* facts) {
  for (const char* name : {"command", "environment", "args"}) {
    const auto found = identity.settings().find(absl::StrCat("trainer.", name));
    facts->emplace_back(absl::StrCat("trainer ", name),
                        found == identity.settings().end() ? "none" : found->second);
  }
}

// What every run of a sweep shares, as (word of the sweep file, value).
Facts SharedFacts(const v1::Sweep& sweep, absl::Span<const v1::Run> all) {
  const v1::Run* tokenizer = nullptr;
  std::vector<const v1::Run*> runs;
  for (const v1::Run& run : all) {
    if (StageOf(run) == run::Stage::kTokenizer) {
      tokenizer = &run;
    } else if (StageOf(run) != run::Stage::kEvaluate &&  // it has the recipe of another one
               StageOf(run) != run::Stage::kPolicy) {
      runs.push_back(&run);
    }
  }
  Facts facts = {{"dataset", sweep.dataset()},
                 {"conventions params", sweep.params_policy()},
                 {"conventions flops", sweep.flops_convention()},
                 {"tokenizer", TokenizerText(tokenizer)}};
  if (runs.empty()) return facts;
  const v1::RunSpec& spec = runs[0]->spec();
  const v1::RunIdentity& identity = spec.identity();
  facts.insert(facts.end(),
               {{"dataset hash", identity.dataset_hash()},
                {"tokenizer hash", identity.tokenizer_hash()},
                {"family", identity.shape().family()},
                {"context", absl::StrCat(identity.shape().context())},
                {"objective", identity.objective().empty() ? "dense" : identity.objective()},
                {"objective_seed", absl::StrCat(identity.objective_seed())},
                {"batch_tokens", absl::StrCat(identity.batch_tokens())},
                {"evaluation windows", absl::StrCat(spec.evaluation_windows())}});
  if (const auto settings = ToIdentity(identity); settings.ok()) {
    facts.emplace_back("positions", run::NameOf(settings->shape.positions));
    AddSettings(*settings, &facts);
  }
  AddTrainer(identity, &facts);
  // A trunk is constant under any schedule; what falls says what the schedule is.
  const auto falling = std::find_if(runs.begin(), runs.end(), [](const v1::Run* run) {
    return ScheduleOf(run->spec().identity()) != run::Schedule::kConstant;
  });
  // Tuning runs alone say nothing of it: they are constant, and the grid is still to come.
  const bool tuning_only = std::all_of(runs.begin(), runs.end(), [](const v1::Run* run) {
    return StageOf(*run) == run::Stage::kLadder;
  });
  if (tuning_only) return facts;
  const v1::RunIdentity& scheduled =
      falling == runs.end() ? identity : (*falling)->spec().identity();
  facts.insert(facts.end(), {{"schedule", scheduled.schedule()},
                             {"final_rate_fraction", Exact(scheduled.final_rate_fraction())}});
  return facts;
}

// A stored branch that the file's decay_fraction would have fall from another step; nullptr: none.
const v1::Run* OtherDecay(const StoredSweep& stored, const Expansion& expansion) {
  if (expansion.schedule.kind != run::Schedule::kWsd) return nullptr;
  for (const v1::Run& run : stored.runs) {
    const v1::RunIdentity& identity = run.spec().identity();
    if (ScheduleOf(identity) == run::Schedule::kWsd &&
        DecayBegin(expansion.schedule, identity.warmup_steps(), identity.decay_end()) !=
            identity.decay_begin()) {
      return &run;
    }
  }
  return nullptr;
}

// "train.py": the files of the command whose contents are others, or that only one has.
std::vector<std::string> ChangedFiles(const v1::RunIdentity& before, const v1::RunIdentity& after) {
  const auto files = [](const v1::RunIdentity& identity) {
    const auto found = identity.settings().find("trainer.files");
    const run::JsonText text{found == identity.settings().end() ? "" : found->second};
    return run::StringMapOf(text).value_or(std::map<std::string, std::string>());
  };
  const auto old_files = files(before), new_files = files(after);
  std::set<std::string> names;
  for (const auto& [name, hash] : old_files) names.insert(name);
  for (const auto& [name, hash] : new_files) names.insert(name);
  std::vector<std::string> changed;
  for (const std::string& name : names) {
    const auto old_file = old_files.find(name), new_file = new_files.find(name);
    if (old_file == old_files.end()) {
      changed.push_back(absl::StrCat(name, " is new"));
    } else if (new_file == new_files.end()) {
      changed.push_back(absl::StrCat(name, " is gone"));
    } else if (old_file->second != new_file->second) {
      changed.push_back(
          absl::StrFormat("%s changed (hash %s to %s)", name, old_file->second, new_file->second));
    }
  }
  return changed;
}

std::string TrainerSize(const v1::RunIdentity& identity) {
  const auto found = identity.settings().find("trainer.size");
  return found == identity.settings().end() ? "" : found->second;
}

bool SameShape(const v1::ModelShape& a, const v1::ModelShape& b) {
  return a.layers() == b.layers() && a.heads() == b.heads() && a.width() == b.width();
}

std::string ShapeText(const v1::ModelShape& shape) {
  return absl::StrFormat("%d layers, %d heads, width %d", shape.layers(), shape.heads(),
                         shape.width());
}

}  // namespace

std::vector<std::string> Conflicts(const StoredSweep& stored, const Expansion& expansion) {
  std::vector<std::string> conflicts;
  const std::string otherwise = "choose another name for the changed sweep, or change it back";
  const Facts has = SharedFacts(stored.sweep, stored.runs);
  const Facts wants = SharedFacts(expansion.sweep, expansion.runs);
  for (size_t i = 0; i < std::min(has.size(), wants.size()); ++i) {
    if (has[i].second == wants[i].second) continue;
    conflicts.push_back(absl::StrFormat("sweep %s has %s %s, the file %s: %s", stored.sweep.name(),
                                        has[i].first, has[i].second, wants[i].second, otherwise));
  }
  if (const v1::Run* other = OtherDecay(stored, expansion)) {
    const v1::RunIdentity& identity = other->spec().identity();
    conflicts.push_back(absl::StrFormat(
        "sweep %s has a branch of %s that falls over %d of its %d steps, which is not the file's "
        "decay_fraction %s: %s",
        stored.sweep.name(), other->size(), identity.decay_end() - identity.decay_begin(),
        identity.decay_end(), Exact(expansion.schedule.decay_fraction), otherwise));
  }
  if (!stored.runs.empty() && !expansion.runs.empty()) {
    for (const std::string& file : ChangedFiles(stored.runs.front().spec().identity(),
                                                expansion.runs.front().spec().identity())) {
      conflicts.push_back(
          absl::StrFormat("sweep %s was submitted with other files of its trainer: "
                          "%s: %s",
                          stored.sweep.name(), file, otherwise));
    }
  }
  std::set<std::string> told;
  for (const v1::Run& run : expansion.runs) {
    for (const v1::Run& old : stored.runs) {
      const v1::ModelShape& before = old.spec().identity().shape();
      const v1::ModelShape& after = run.spec().identity().shape();
      if (old.size() != run.size()) continue;
      const std::string old_size = TrainerSize(old.spec().identity());
      const std::string new_size = TrainerSize(run.spec().identity());
      const bool external = after.family() == run::kExternalFamily;
      if (external ? old_size == new_size : SameShape(before, after)) continue;
      if (!told.insert(run.size()).second) continue;
      if (external) {
        conflicts.push_back(absl::StrFormat("size %s of sweep %s is %s, the file gives it %s: %s",
                                            run.size(), stored.sweep.name(), old_size, new_size,
                                            otherwise));
        continue;
      }
      conflicts.push_back(absl::StrFormat("size %s of sweep %s has %s, the file gives it %s: %s",
                                          run.size(), stored.sweep.name(), ShapeText(before),
                                          ShapeText(after), otherwise));
    }
  }
  return conflicts;
}

}  // namespace allometry::sweep
