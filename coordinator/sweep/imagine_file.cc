#include "coordinator/sweep/imagine_file.h"

#include <algorithm>
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

}  // namespace

void ReadImagine(const Field& imagine, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes) {
  const Fields fields(imagine, "imagine", sections, mistakes);
  if (!imagine.node.IsMap()) return;
  ImagineChoice choice;
  choice.line = imagine.line;
  if (fields.Require("updates", "updates of the policy, such as 120")) {
    fields.Integer("updates", {1, 1e9}, &choice.updates);
  }
  if (const auto teachers = fields.Find("teachers")) {
    choice.teachers = ReadTeachers(*teachers, mistakes);
  }
  if (const auto seeds = fields.Find("seeds")) {
    choice.seeds.clear();
    for (const Field& item : ReadList(*seeds, "[1, 2, 3]", kMostSeeds, mistakes)) {
      const auto seed = ReadInteger(item, {0, 9e15}, mistakes);
      if (!seed) continue;
      if (std::find(choice.seeds.begin(), choice.seeds.end(), *seed) != choice.seeds.end()) {
        mistakes.Add(item.line, absl::StrFormat("seed %d is given twice", *seed));
      } else {
        choice.seeds.push_back(*seed);
      }
    }
  }
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
