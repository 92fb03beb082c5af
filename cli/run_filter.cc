#include "cli/run_filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace allometry::cli {
namespace {

struct StateName {
  const char* name;
  v1::RunState state;
};
constexpr std::array kStates = {StateName{"waiting", v1::PENDING}, StateName{"running", v1::LEASED},
                                StateName{"done", v1::RUN_SUCCEEDED},
                                StateName{"failed", v1::RUN_FAILED},
                                StateName{"cancelled", v1::RUN_CANCELLED}};

struct Order {
  const char* name;
  double (*key)(const v1::Run&);
};

// Runs without a loss come last.
double OrNothing(double loss) { return loss > 0 ? loss : std::numeric_limits<double>::infinity(); }

constexpr std::array kOrders = {
    Order{"run", [](const v1::Run& run) { return static_cast<double>(run.run_id()); }},
    Order{"size", [](const v1::Run& run) { return static_cast<double>(run.n_params()); }},
    Order{"seed",
          [](const v1::Run& run) { return static_cast<double>(run.spec().identity().seed()); }},
    Order{"rate", [](const v1::Run& run) { return run.spec().identity().learning_rate(); }},
    Order{"state", [](const v1::Run& run) { return static_cast<double>(run.state()); }},
    Order{"step", [](const v1::Run& run) { return static_cast<double>(run.step()); }},
    Order{"speed", [](const v1::Run& run) { return run.tokens_per_second(); }},
    Order{"loss", [](const v1::Run& run) { return OrNothing(run.last_heldout_loss()); }},
    Order{"train", [](const v1::Run& run) { return OrNothing(run.last_train_loss()); }}};

template <class Table>
std::vector<std::string> Names(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

absl::Status Unknown(absl::string_view option, absl::string_view word,
                     const std::vector<std::string>& allowed) {
  return absl::InvalidArgumentError(
      absl::StrFormat("allo: %s %s: allowed are %s", option, word, absl::StrJoin(allowed, ", ")));
}

// Keeps the runs for which `is` holds with one of the words.
absl::Status Keep(std::vector<v1::Run>& runs, absl::string_view option,
                  const std::vector<std::string>& words,
                  const std::function<std::string(const v1::Run&)>& text,
                  const std::function<bool(const v1::Run&, const std::string&)>& is) {
  if (words.empty()) return absl::OkStatus();
  for (const std::string& word : words) {
    if (std::any_of(runs.begin(), runs.end(), [&](const v1::Run& run) { return is(run, word); })) {
      continue;
    }
    std::set<std::string> there;
    for (const v1::Run& run : runs) there.insert(text(run));
    constexpr size_t kListed = 20;
    std::vector<std::string> listed(there.begin(), there.end());
    if (listed.size() > kListed) listed.resize(kListed), listed.emplace_back("...");
    return absl::NotFoundError(absl::StrFormat("allo: no run has %s %s; there are %s", option, word,
                                               absl::StrJoin(listed, ", ")));
  }
  std::erase_if(runs, [&](const v1::Run& run) {
    return std::none_of(words.begin(), words.end(),
                        [&](const std::string& word) { return is(run, word); });
  });
  return absl::OkStatus();
}

absl::Status CheckNumbers(absl::string_view option, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    double value = 0;
    if (!absl::SimpleAtod(word, &value) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("allo: %s '%s' is no number", option, word));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> Texts(const std::vector<int64_t>& numbers) {
  std::vector<std::string> texts;
  for (const int64_t number : numbers) texts.push_back(absl::StrCat(number));
  return texts;
}

}  // namespace

std::vector<std::string> RunOrders() { return Names(kOrders); }

absl::StatusOr<std::vector<v1::Run>> FilterRuns(std::vector<v1::Run> runs,
                                                const RunFilterWords& words) {
  std::set<v1::RunState> states;
  for (const std::string& word : words.states) {
    const auto* const known = std::find_if(kStates.begin(), kStates.end(),
                                           [&](const StateName& row) { return row.name == word; });
    if (known == kStates.end()) return Unknown("--state", word, Names(kStates));
    states.insert(known->state);
  }
  const Order* order = nullptr;
  absl::string_view sort = words.sort;
  const bool descending = absl::ConsumePrefix(&sort, "-");
  if (!words.sort.empty()) {
    const auto* const known = std::find_if(kOrders.begin(), kOrders.end(),
                                           [&](const Order& row) { return row.name == sort; });
    if (known == kOrders.end()) return Unknown("--sort", words.sort, Names(kOrders));
    order = known;
  }
  ALLO_RETURN_IF_ERROR(CheckNumbers("--seed", words.seeds));
  ALLO_RETURN_IF_ERROR(CheckNumbers("--rate", words.rates));
  ALLO_RETURN_IF_ERROR(Keep(
      runs, "id", Texts(words.run_ids),
      [](const v1::Run& run) { return absl::StrCat(run.run_id()); },
      [](const v1::Run& run, const std::string& word) {
        return absl::StrCat(run.run_id()) == word;
      }));
  ALLO_RETURN_IF_ERROR(Keep(
      runs, "size", words.sizes, [](const v1::Run& run) { return run.size(); },
      [](const v1::Run& run, const std::string& word) { return run.size() == word; }));
  ALLO_RETURN_IF_ERROR(Keep(
      runs, "seed", words.seeds,
      [](const v1::Run& run) { return absl::StrCat(run.spec().identity().seed()); },
      [](const v1::Run& run, const std::string& word) {
        return absl::StrCat(run.spec().identity().seed()) == word;
      }));
  ALLO_RETURN_IF_ERROR(Keep(
      runs, "learning rate", words.rates,
      [](const v1::Run& run) {
        return absl::StrFormat("%.6g", run.spec().identity().learning_rate());
      },
      [](const v1::Run& run, const std::string& word) {
        double rate = 0;
        return absl::SimpleAtod(word, &rate) &&
               std::abs(run.spec().identity().learning_rate() - rate) <= 1e-6 * std::abs(rate);
      }));
  if (!states.empty()) {
    std::erase_if(runs, [&](const v1::Run& run) { return !states.contains(run.state()); });
  }
  if (order != nullptr) {
    std::stable_sort(runs.begin(), runs.end(), [&](const v1::Run& a, const v1::Run& b) {
      const double x = order->key(a), y = order->key(b);
      // What has no value stays last either way.
      if (std::isinf(x) || std::isinf(y)) return x < y;
      return descending ? x > y : x < y;
    });
  }
  const auto limit = static_cast<size_t>(words.limit);
  if (limit > 0 && runs.size() > limit) runs.resize(limit);
  return runs;
}

}  // namespace allometry::cli
