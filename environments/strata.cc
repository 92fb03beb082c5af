#include "environments/strata.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "data/strata/episode.h"
#include "data/strata/tokens.h"

namespace allometry::environments {
namespace {

class Strata final : public Environment {
 public:
  Strata(strata::Spec spec, int copies)
      : spec_(std::move(spec)),
        worlds_(strata::WorldsOf(spec_)),
        tokenizer_(*strata::Tokenizer::Create(spec_.view, spec_.zo)),
        episodes_(static_cast<size_t>(copies)) {
    interface_.actions = strata::kActions;
    interface_.tokens = tokenizer_.tokens();
  }

  const Interface& interface() const override { return interface_; }
  int copies() const override { return static_cast<int>(episodes_.size()); }

  absl::Status Reset(std::span<const int64_t> episodes, Observations* seen) override {
    ALLO_CHECK(episodes.size() == episodes_.size()) << episodes.size();
    for (size_t i = 0; i < episodes.size(); ++i) {
      if (episodes[i] == kLeave) continue;
      const uint64_t number = strata::kMeasuredEpisodes + static_cast<uint64_t>(episodes[i]);
      episodes_[i].emplace(worlds_[number % worlds_.size()], number);
    }
    Show(seen);
    return absl::OkStatus();
  }

  absl::Status Step(std::span<const uint8_t> actions, std::span<float> rewards,
                    std::span<uint8_t> flags, Observations* seen) override {
    ALLO_CHECK(actions.size() == episodes_.size() && rewards.size() == actions.size() &&
               flags.size() == actions.size());
    for (size_t i = 0; i < actions.size(); ++i) {
      strata::Episode& episode = *episodes_[i];
      rewards[i] = 0;
      if (episode.frame() < spec_.frames) {
        ALLO_CHECK(actions[i] < strata::kActions) << int{actions[i]};
        rewards[i] = static_cast<float>(episode.Step(actions[i]));
      }
      flags[i] = episode.frame() >= spec_.frames ? kCutOff : 0;
    }
    Show(seen);
    return absl::OkStatus();
  }

 private:
  void Show(Observations* seen) const {
    const auto tokens = static_cast<size_t>(tokenizer_.tokens());
    seen->images.clear();
    seen->tokens.resize(episodes_.size() * tokens);
    for (size_t i = 0; i < episodes_.size(); ++i) {
      ALLO_CHECK(episodes_[i].has_value()) << "copy " << i << " was never started";
      tokenizer_.Encode(episodes_[i]->view(), std::span(seen->tokens).subspan(i * tokens, tokens));
    }
  }

  const strata::Spec spec_;
  const std::vector<strata::World> worlds_;
  const strata::Tokenizer tokenizer_;
  Interface interface_;
  std::vector<std::optional<strata::Episode>> episodes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> CreateStrata(const std::string& name, int copies) {
  ALLO_ASSIGN_OR_RETURN(strata::Spec spec, strata::ParseSpec(name));
  return std::make_unique<Strata>(std::move(spec), copies);
}

absl::Status CheckStrataName(const std::string& name) { return strata::ParseSpec(name).status(); }

}  // namespace allometry::environments
