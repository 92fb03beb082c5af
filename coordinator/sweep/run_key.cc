#include "coordinator/sweep/run_key.h"

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"

namespace allometry::sweep {

std::string RunKey(const v1::RunIdentity& identity) {
  const v1::ModelShape& shape = identity.shape();
  const v1::Optimizer& optimizer = identity.optimizer();
  // %.17g gives every double back exactly.
  std::string text = absl::StrFormat(
      "allometry run 1\n"
      "family %s\nlayers %d\nheads %d\nwidth %d\ncontext %d\nvocabulary %d\n"
      "dataset %s\ntokenizer %s\n"
      "batch_tokens %d\nschedule %s\nwarmup_steps %d\nlearning_rate %.17g\nseed %d\n"
      "beta1 %.17g\nbeta2 %.17g\nweight_decay %.17g\nepsilon %.17g\nclip_norm %.17g\n",
      shape.family(), shape.layers(), shape.heads(), shape.width(), shape.context(),
      shape.vocabulary(), identity.dataset_hash(), identity.tokenizer_hash(),
      identity.batch_tokens(), identity.schedule(), identity.warmup_steps(),
      identity.learning_rate(), identity.seed(), optimizer.beta1(), optimizer.beta2(),
      optimizer.weight_decay(), optimizer.epsilon(), optimizer.clip_norm());
  // Younger fields only where they are set, so that older keys stay.
  const auto add = [&text](absl::string_view name, const auto& value) {
    if (value != std::decay_t<decltype(value)>()) absl::StrAppend(&text, name, " ", value, "\n");
  };
  add("image_height", shape.image_height());
  add("image_width", shape.image_width());
  add("image_channels", shape.image_channels());
  add("objective", identity.objective());
  add("objective_seed", identity.objective_seed());
  add("decay_begin", identity.decay_begin());
  add("decay_end", identity.decay_end());
  if (identity.final_rate_fraction() != 0) {
    absl::StrAppendFormat(&text, "final_rate_fraction %.17g\n", identity.final_rate_fraction());
  }
  add("tokenizer_key", identity.tokenizer_key());
  return HashHex(text);
}

}  // namespace allometry::sweep
