// TrajectoryReader; declared in trajectories.h.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "data/hdf5_file.h"
#include "data/trajectories.h"

namespace allometry::data {
namespace {

// The number of a group "episode_12", written as we would write it.
std::optional<int64_t> EpisodeNumber(absl::string_view name) {
  int64_t number = 0;
  if (!absl::ConsumePrefix(&name, "episode_") || !absl::SimpleAtoi(name, &number) || number < 0 ||
      name != absl::StrCat(number)) {
    return std::nullopt;
  }
  return number;
}

std::string FirstOf(std::vector<std::string> names) {
  const size_t count = names.size();
  if (count > 8) names.resize(8);
  for (std::string& name : names) name = absl::Utf8SafeCHexEscape(name);
  return absl::StrCat(
      absl::StrJoin(names, ", "),
      count > names.size() ? absl::StrCat(" and ", count - names.size(), " more") : "");
}

// Numbers below the largest that are not there.
std::vector<std::string> Gaps(const std::vector<int64_t>& numbers) {
  std::vector<std::string> gaps;
  int64_t next = numbers.front() == 1 ? 1 : 0;  // some tools count from 1
  for (const int64_t number : numbers) {
    if (number == next + 1) gaps.push_back(absl::StrCat(next));
    if (number > next + 1) gaps.push_back(absl::StrCat(next, " to ", number - 1));
    next = number + 1;
  }
  return gaps;
}

// What the names in a file without episodes look like.
std::string LooksLike(const std::vector<std::string>& names) {
  const auto has = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has("data")) return " (as robomimic writes them: group data with demo_0, demo_1, ...)";
  if (has("observations") || has("terminals")) {
    return " (as D4RL writes them: all steps in one array, without groups)";
  }
  return "";
}

class Reader final : public TrajectoryReader {
 public:
  Reader(Hdf5File file, TrajectoryReaderOptions options)
      : file_(std::move(file)), options_(std::move(options)) {}

  // Finds the episodes.
  absl::Status ReadIndex() {
    ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_.Names());
    std::vector<std::string> others;
    std::vector<int64_t> numbers;
    for (const std::string& name : names) {
      const std::optional<int64_t> number = EpisodeNumber(name);
      if (number.has_value()) numbers.push_back(*number);
      if (!number.has_value()) others.push_back(name);
    }
    if (numbers.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "has no group episode_0, but %s%s: allowed are files as Minari writes them, with a group "
          "an episode",
          others.empty() ? "nothing" : FirstOf(others), LooksLike(others)));
    }
    std::sort(numbers.begin(), numbers.end());
    for (const int64_t number : numbers) names_.push_back(absl::StrCat("episode_", number));
    if (!others.empty()) left_out_.push_back(absl::StrCat("in its root ", FirstOf(others)));
    return CheckTotal(numbers);
  }

  int64_t episodes() const override { return static_cast<int64_t>(names_.size()); }
  const std::string& name(int64_t episode) const override {
    return names_[static_cast<size_t>(episode)];
  }
  std::optional<int64_t> stated_steps() const override { return file_.Number("/", "total_steps"); }
  const std::vector<std::string>& left_out() const override { return left_out_; }
  const std::vector<std::string>& notes() const override { return notes_; }
  absl::Status CheckUnchanged() const override { return file_.input().CheckUnchanged(); }

  absl::StatusOr<Trajectory> Read(int64_t episode) const override {
    absl::StatusOr<Trajectory> read = ReadGroup(name(episode));
    if (!read.ok()) return Annotate(read.status(), file_.input().path());
    return read;
  }

 private:
  // Against the attribute total_episodes, which counts those that were written.
  absl::Status CheckTotal(const std::vector<int64_t>& numbers) {
    const std::vector<std::string> gaps = Gaps(numbers);
    const std::string missing =
        gaps.empty() ? "" : absl::StrCat("; no episode has number ", FirstOf(gaps));
    const std::optional<int64_t> stated = file_.Number("/", "total_episodes");
    if (stated.has_value() && *stated != episodes()) {
      const std::string says = absl::StrFormat("its total_episodes is %d, it has %d episodes%s",
                                               *stated, episodes(), missing);
      if (!options_.incomplete) {
        return absl::InvalidArgumentError(
            absl::StrCat(says, ": pass --incomplete to take those that are there"));
      }
      left_out_.push_back(absl::StrCat("what is not there (", says, ")"));
    } else if (!gaps.empty()) {
      notes_.push_back(absl::StrCat("no episode has number ", FirstOf(gaps)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Trajectory> ReadGroup(const std::string& group) const {
    const auto path = [&](absl::string_view array) { return absl::StrCat(group, "/", array); };
    Trajectory t;
    ALLO_ASSIGN_OR_RETURN(Hdf5Array<float> rewards, file_.Numbers(path("rewards")));
    if (rewards.shape.size() != 1) {
      return absl::InvalidArgumentError(absl::StrFormat("%s has %d dimensions: allowed is one",
                                                        path("rewards"), rewards.shape.size()));
    }
    t.rewards = std::move(rewards.values);
    const int64_t steps = t.steps();
    const auto check = [&](const std::string& name, const std::vector<int64_t>& shape,
                           int64_t wanted) {
      if (shape[0] == wanted) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s has %d entries: allowed with %d rewards is %d", path(name), shape[0], steps, wanted));
    };
    const std::optional<int64_t> stated = file_.Number(group, "total_steps");
    if (stated.has_value() && *stated != steps && !options_.incomplete) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: its total_steps is %d, it has %d rewards: pass --incomplete to take "
                          "those that are there",
                          group, *stated, steps));
    }
    ALLO_RETURN_IF_ERROR(CheckNotDict(path(options_.observations), "--observations"));
    ALLO_RETURN_IF_ERROR(CheckNotDict(path(options_.actions), "--actions"));
    ALLO_ASSIGN_OR_RETURN(auto observations,
                          file_.WholeNumbers<uint16_t>(path(options_.observations)));
    ALLO_RETURN_IF_ERROR(check(options_.observations, observations.shape, steps + 1));
    t.observation_shape.assign(observations.shape.begin() + 1, observations.shape.end());
    t.observations = std::move(observations.values);
    ALLO_ASSIGN_OR_RETURN(auto actions, file_.WholeNumbers<int64_t>(path(options_.actions)));
    ALLO_RETURN_IF_ERROR(check(options_.actions, actions.shape, steps));
    if (actions.shape.size() > 2) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s has %d dimensions: allowed are one or two", path(options_.actions),
                          actions.shape.size()));
    }
    t.action_dimensions = actions.shape.size() == 2 ? actions.shape[1] : 1;
    t.actions = std::move(actions.values);
    for (const auto& [name, to] :
         {std::pair("terminations", &t.terminations), {"truncations", &t.truncations}}) {
      ALLO_ASSIGN_OR_RETURN(auto flags, file_.WholeNumbers<uint8_t>(path(name)));
      ALLO_RETURN_IF_ERROR(check(name, flags.shape, steps));
      const auto odd = std::find_if(flags.values.begin(), flags.values.end(),
                                    [](uint8_t value) { return value > 1; });
      if (flags.shape.size() != 1 || odd != flags.values.end()) {
        return absl::InvalidArgumentError(absl::StrCat(
            path(name),
            odd != flags.values.end() ? absl::StrCat(" has ", *odd) : " has several dimensions",
            ": allowed is 0 or 1 a step"));
      }
      *to = std::move(flags.values);
    }
    return t;
  }

  // A Dict or Tuple space is a group of arrays; an episode here has one array.
  absl::Status CheckNotDict(const std::string& path, const char* option) const {
    const std::string is = file_.Describe(path);
    if (!absl::StartsWith(is, "a group")) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is %s (a Dict or Tuple space): choose one of its arrays, as in %s "
                        "%s/NAME",
                        path, is, option, path.substr(path.find('/') + 1)));
  }

  const Hdf5File file_;
  const TrajectoryReaderOptions options_;
  std::vector<std::string> names_;
  std::vector<std::string> left_out_;
  std::vector<std::string> notes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrajectoryReader>> TrajectoryReader::Open(
    const std::string& path, const TrajectoryReaderOptions& options) {
  ALLO_ASSIGN_OR_RETURN(Hdf5File file, Hdf5File::Open(path));
  auto reader = std::make_unique<Reader>(std::move(file), options);
  const absl::Status status = reader->ReadIndex();
  if (!status.ok()) return Annotate(status, path);
  return reader;
}

}  // namespace allometry::data
