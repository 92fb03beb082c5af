#include "coordinator/sweep/imagine_file.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "environments/environment.h"

namespace allometry::sweep {
namespace {

constexpr size_t kMostSeeds = 100;

std::vector<run::Teacher> ReadTeachers(const Field& teachers, Mistakes& mistakes) {
  std::vector<run::Teacher> read;
  for (const Field& item :
       ReadList(teachers, "[imagination, cloning]", std::size(run::kTeachers), mistakes)) {
    const auto name = ReadText(item, mistakes);
    if (!name) continue;
    const auto teacher = run::Parse<run::Teacher>(*name);
    if (!teacher) {
      mistakes.Add(item.line, absl::StrFormat("teachers '%s': allowed are %s", *name,
                                              run::NamesOf<run::Teacher>()));
    } else if (std::find(read.begin(), read.end(), *teacher) != read.end()) {
      mistakes.Add(item.line, absl::StrFormat("teacher %s is given twice", *name));
    } else {
      read.push_back(*teacher);
    }
  }
  return read;
}

// A number, or a number for each teacher but random, which has nothing to learn.
void ReadUpdates(const Field& updates, ImagineChoice& choice, Mistakes& mistakes) {
  constexpr Range kUpdates = {1, 1e9};
  for (const run::Teacher teacher : choice.teachers) choice.updates[teacher] = 1;
  if (!updates.node.IsMap()) {
    const auto count = ReadInteger(updates, kUpdates, mistakes);
    for (auto& [teacher, value] : choice.updates) {
      if (count && teacher != run::Teacher::kRandom) value = *count;
    }
    return;
  }
  std::set<run::Teacher> given = {run::Teacher::kRandom};
  for (const Field& entry : ReadTable(updates, std::size(run::kTeachers), mistakes)) {
    const auto count = ReadInteger(entry, kUpdates, mistakes);
    const auto teacher = run::Parse<run::Teacher>(entry.name);
    const auto found = teacher ? choice.updates.find(*teacher) : choice.updates.end();
    if (found == choice.updates.end() || *teacher == run::Teacher::kRandom) {
      mistakes.Add(entry.line, absl::StrFormat("updates has a value for %s, which is not one of "
                                               "teachers that learn",
                                               entry.name));
    } else if (count) {
      found->second = *count;
      given.insert(*teacher);
    }
  }
  for (const run::Teacher teacher : choice.teachers) {
    if (given.count(teacher) == 0) {
      mistakes.Add(updates.line,
                   absl::StrFormat("updates has no value for teacher %s", run::NameOf(teacher)));
    }
  }
}

// A list, or the word `model`.
void ReadSeeds(const Field& seeds, ImagineChoice& choice, Mistakes& mistakes) {
  choice.seeds.clear();
  if (seeds.node.IsScalar() && seeds.node.Scalar() == "model") return;
  for (const Field& item : ReadList(seeds, "[1, 2, 3], or model", kMostSeeds, mistakes)) {
    const auto seed = ReadInteger(item, {0, 9e15}, mistakes);
    if (!seed) continue;
    if (std::find(choice.seeds.begin(), choice.seeds.end(), *seed) != choice.seeds.end()) {
      mistakes.Add(item.line, absl::StrFormat("seed %d is given twice", *seed));
    } else {
      choice.seeds.push_back(*seed);
    }
  }
}

}  // namespace

void ReadImagine(const Field& imagine, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes) {
  const Fields fields(imagine, "imagine", sections, mistakes);
  if (!imagine.node.IsMap()) return;
  ImagineChoice choice;
  choice.line = imagine.line;
  if (const auto teachers = fields.Find("teachers")) {
    choice.teachers = ReadTeachers(*teachers, mistakes);
  }
  if (const auto updates = fields.Require("updates", "updates of the policy, such as 120")) {
    ReadUpdates(*updates, choice, mistakes);
  }
  if (const auto seeds = fields.Find("seeds")) ReadSeeds(*seeds, choice, mistakes);
  fields.Real("learning_rate", {0, 100, /*open_low=*/true}, &choice.learning_rate);
  fields.Integer("evaluations", {1, 1000}, &choice.evaluations);
  if (const auto environment = fields.Find("environment")) {
    if (const auto name = ReadText(*environment, mistakes)) {
      choice.recipe.environment = *name;
      if (const absl::Status valid = environments::CheckName(*name); !valid.ok()) {
        mistakes.Add(environment->line, valid.message());
      }
    }
  }
  ReadSettings<run::SetIn::kImagine>(fields, &choice.recipe);
  file.imagine = std::move(choice);
}

}  // namespace allometry::sweep
