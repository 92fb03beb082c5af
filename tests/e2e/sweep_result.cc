#include "tests/e2e/sweep_result.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace allometry::testing {
namespace {

constexpr size_t kSeriesColumn = 2;
constexpr size_t kKeyColumns = 4;
constexpr size_t kFirstDifferences = 5;

std::vector<std::string> Fields(const std::string& line) { return absl::StrSplit(line, ','); }

std::vector<std::string> WithoutAttempt(std::vector<std::string> lines) {
  const std::vector<std::string> names = Fields(lines.front());
  const auto found = std::find(names.begin(), names.end(), "attempt");
  ALLO_CHECK(found != names.end()) << lines.front();
  for (std::string& line : lines) {
    std::vector<std::string> values = Fields(line);
    values.erase(values.begin() + (found - names.begin()));
    line = absl::StrJoin(values, ",");
  }
  return lines;
}

void Compare(const std::string& what, const std::vector<std::string>& expected,
             const std::vector<std::string>& lines, std::vector<std::string>& differences) {
  const std::set<std::string> there(lines.begin(), lines.end());
  const std::set<std::string> wanted(expected.begin(), expected.end());
  size_t told = 0;
  for (const std::string& line : expected) {
    if (there.count(line) == 0 && ++told <= kFirstDifferences) {
      differences.push_back(absl::StrCat(what, ": missing ", line));
    }
  }
  for (const std::string& line : lines) {
    if (wanted.count(line) == 0 && ++told <= 2 * kFirstDifferences) {
      differences.push_back(absl::StrCat(what, ": not in the undisturbed sweep: ", line));
    }
  }
  if (told == 0 && lines != expected) {
    differences.push_back(absl::StrCat(what, ": ", lines.size(), " lines instead of ",
                                       expected.size(), ", or in another order"));
  }
}

}  // namespace

SweepResult ResultOf(const Deployment& deployment, const std::string& sweep, bool with_fit) {
  SweepResult result;
  result.points = WithoutAttempt(deployment.Export(sweep, "points", ""));
  std::erase_if(result.points, [](const std::string& line) {
    return Fields(line)[kSeriesColumn] == "tokens_per_second";
  });
  result.observations = WithoutAttempt(deployment.Export(sweep, "observations", "heldout"));
  if (with_fit) {
    result.fit_json = deployment.Allo(
        {"fit", sweep, "--json", "--resamples", "200", "--allow-repeat", "--budget", "1e13"});
  }
  return result;
}

std::vector<std::string> Repeated(const std::vector<std::string>& points) {
  std::vector<std::string> repeated;
  std::set<std::string> keys;
  for (const std::string& line : points) {
    const std::vector<std::string> values = Fields(line);
    ALLO_CHECK(values.size() > kKeyColumns) << line;
    if (!keys.insert(absl::StrJoin(values.begin(), values.begin() + kKeyColumns, ",")).second) {
      repeated.push_back(absl::StrCat("twice: ", line));
    }
  }
  return repeated;
}

std::vector<std::string> Differences(const SweepResult& expected, const SweepResult& result) {
  std::vector<std::string> differences = Repeated(result.points);
  Compare("points", expected.points, result.points, differences);
  Compare("observations", expected.observations, result.observations, differences);
  if (expected.fit_json != result.fit_json) differences.push_back("the fits differ");
  return differences;
}

std::vector<std::string> Unfinished(const v1::GetSweepResponse& sweep) {
  std::vector<std::string> unfinished;
  for (const v1::Run& run : sweep.runs()) {
    if (run.state() != v1::RUN_SUCCEEDED || run.step() != run.spec().steps()) {
      unfinished.push_back(absl::StrCat("run ", run.run_id(), " is ",
                                        v1::RunState_Name(run.state()), " at step ", run.step(),
                                        " of ", run.spec().steps(), ": ", run.reason()));
    }
  }
  for (const v1::Cell& cell : sweep.cells()) {
    if (!cell.done()) {
      unfinished.push_back(
          absl::StrCat("cell ", cell.size(), " at ", cell.tokens(), " tokens is not done"));
    }
  }
  return unfinished;
}

bool HasEnded(const v1::GetSweepResponse& sweep) {
  return std::none_of(sweep.runs().begin(), sweep.runs().end(), [](const v1::Run& run) {
    return run.state() == v1::PENDING || run.state() == v1::LEASED;
  });
}

}  // namespace allometry::testing
