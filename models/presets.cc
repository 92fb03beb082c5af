#include "models/presets.h"

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"

namespace allometry::models {
namespace {

constexpr int kVideoVocabulary = 4096 + 12 * 2 + 4 * 11;
constexpr int kVideoActions = 12 * 2 + 4 * 11;
constexpr int kRobotVocabulary = 4096 + 4 * 500;

// A row of the paper's tables of models.
struct Trunk {
  const char* label;
  double params;
  int layers, heads, width;
};
// Table 2.
constexpr Trunk k2M = {"2M", 2e6, 3, 3, 180};
constexpr Trunk k4M = {"4M", 4e6, 4, 4, 240};
constexpr Trunk k11M = {"11M", 11e6, 6, 6, 360};
constexpr Trunk k15M = {"15M", 15e6, 4, 4, 512};
constexpr Trunk k27M = {"27M", 27e6, 8, 8, 512};
constexpr Trunk k52M = {"52M", 52e6, 10, 10, 640};
constexpr Trunk k110M = {"110M", 110e6, 15, 12, 768};
constexpr Trunk k206M = {"206M", 206e6, 16, 16, 1024};
constexpr Trunk k894M = {"894M", 894e6, 23, 14, 1792};
// Table 8.
constexpr Trunk k147k = {"147k", 147e3, 1, 1, 25};
constexpr Trunk k310k = {"310k", 310e3, 2, 2, 46};
constexpr Trunk k647k = {"647k", 647e3, 2, 2, 86};
constexpr Trunk k1M = {"1M", 1e6, 2, 2, 120};

class List {
 public:
  // What the presets of a group share.
  struct Group {
    std::string name;
    Shape like;  // without layers, heads and width
    int frames = 0;
    std::string objective;
    int64_t batch_sequences = 0;
  };
  void Begin(Group group) { group_ = std::move(group); }
  void Add(const Trunk& trunk, double learning_rate) {
    Shape shape = group_.like;
    shape.layers = trunk.layers;
    shape.heads = trunk.heads;
    shape.width = trunk.width;
    AddShape(trunk.label, trunk.params, shape, learning_rate);
  }
  void AddShape(const std::string& label, double params, const Shape& shape, double learning_rate) {
    const absl::Status valid = Validate(shape);
    ALLO_CHECK(valid.ok()) << group_.name << "/" << label << ": " << valid;
    presets_.push_back({absl::StrCat(group_.name, "/", label), shape, group_.frames,
                        group_.objective, learning_rate, group_.batch_sequences, params});
  }
  Preset& last() { return presets_.back(); }
  const Shape& like() const { return group_.like; }
  std::vector<Preset> Take() { return std::move(presets_); }

 private:
  Group group_;
  std::vector<Preset> presets_;
};

Shape Tokens(int context, int vocabulary) { return {"gpt", 0, 0, 0, context, vocabulary}; }

void AddVideo(List& list) {
  list.Begin({"wm-256", Tokens(2720, kVideoVocabulary), 10, "observation", 192});
  for (const Trunk& trunk : {k15M, k27M, k52M, k110M}) list.Add(trunk, 7e-4);
  list.Add(k206M, 5.7e-4);
  list.Add(k894M, 2.8e-4);
  list.last().batch_sequences = 735;
  list.Begin({"wm-540", Tokens(5560, kVideoVocabulary), 10, "observation", 96});
  list.Add(k4M, 5e-3);
  for (const Trunk& trunk : {k11M, k27M, k52M}) list.Add(trunk, 1e-3);
  for (const Trunk& trunk : {k110M, k206M}) list.Add(trunk, 5e-4);
  list.Begin({"bc-540", Tokens(5560, kVideoVocabulary), 10, "action", 96});
  for (const Trunk& trunk : {k2M, k4M}) list.Add(trunk, 5e-4);
  for (const Trunk& trunk : {k11M, k27M}) list.Add(trunk, 1e-4);
  list.Begin({"bc-540-small", Tokens(5560, kVideoVocabulary), 10, "action", 90});
  for (const Trunk& trunk : {k147k, k310k, k647k, k1M}) list.Add(trunk, 5e-4);
  list.Begin({"bc-cnn", {"bc-cnn", 0, 0, 0, 10, kVideoActions, 128, 128, 3}, 10, "action", 256});
  // Table 6 cuts the second one off to 3M.
  const Trunk trunks[] = {k2M,
                          {"3M", 3.64e6, 4, 4, 240},
                          {"10M", 10.4e6, 6, 6, 360},
                          {"26M", 26.4e6, 8, 8, 512},
                          {"51M", 50.5e6, 10, 10, 640}};
  for (const Trunk& trunk : trunks) list.Add(trunk, 3e-4);
}

void AddRobots(List& list) {
  constexpr struct {
    const char* label;
    int64_t params;
    double learning_rate;
  } kRows[] = {{"0.08M", 80'000, 1e-2},
               {"0.2M", 200'000, 5e-3},
               {"0.28M", 280'000, 4e-3},
               {"0.54M", 540'000, 2.7e-3},
               {"0.99M", 990'000, 2e-3}};
  for (const int observation : {16, 36, 64, 100, 256}) {
    const int context = 2 * (observation + 4);
    list.Begin({absl::StrCat("rt1-", observation), Tokens(context, kRobotVocabulary), 2,
                "observation", std::llround(34'000.0 / context)});
    for (const auto& row : kRows) {
      const auto shape = NearestShape(row.params, ParamPolicy::kPaper, list.like());
      ALLO_CHECK(shape.ok()) << shape.status();
      list.AddShape(row.label, static_cast<double>(row.params), *shape, row.learning_rate);
    }
  }
}

void AddCharacters(List& list) {
  list.Begin({"char", Tokens(16, 128), 0, "", 128});
  constexpr std::pair<Trunk, double> kRows[] = {
      {{"4.4k", 4.4e3, 1, 1, 14}, 1e-2},   {{"10k", 10e3, 1, 2, 24}, 1e-2},
      {{"30k", 30e3, 2, 2, 32}, 5e-3},     {{"158k", 158e3, 3, 4, 64}, 3e-3},
      {{"0.81M", .81e6, 4, 4, 128}, 2e-3}, {{"4.8M", 4.8e6, 6, 8, 256}, 1e-3},
      {{"9.5M", 9.5e6, 3, 8, 512}, 1e-3},  {{"16.7M", 16.7e6, 8, 8, 416}, 1e-3}};
  for (const auto& [trunk, rate] : kRows) list.Add(trunk, rate);
}

std::vector<Preset> Make() {
  List list;
  AddVideo(list);
  AddRobots(list);
  AddCharacters(list);
  return list.Take();
}

// What stands before the slash.
std::string GroupOf(absl::string_view name) { return std::string(name.substr(0, name.find('/'))); }

}  // namespace

std::span<const Preset> Presets() {
  static const std::vector<Preset>* const presets = new std::vector<Preset>(Make());
  return *presets;
}

absl::StatusOr<Preset> FindPreset(absl::string_view name) {
  const std::string group = GroupOf(name);
  std::vector<absl::string_view> same_group;
  std::set<std::string> groups;
  for (const Preset& preset : Presets()) {
    if (preset.name == name) return preset;
    if (absl::StartsWith(preset.name, group + "/")) same_group.push_back(preset.name);
    groups.insert(GroupOf(preset.name));
  }
  if (!same_group.empty()) {
    return absl::NotFoundError(absl::StrCat("preset '", name, "' is not known: allowed are ",
                                            absl::StrJoin(same_group, ", ")));
  }
  return absl::NotFoundError(
      absl::StrCat("preset '", name, "' is not known: allowed are GROUP/LABEL with the groups ",
                   absl::StrJoin(groups, ", ")));
}

}  // namespace allometry::models
