#include "coordinator/sweep/yaml_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/duration.h"
#include "base/foreign_text.h"
#include "base/nearest_word.h"
#include "coordinator/sweep/number.h"

namespace allometry::sweep {
namespace {

int LineOf(const YAML::Node& node, int otherwise) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? otherwise : mark.line + 1;
}

std::string KindOf(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "nothing";
  }
}

// The text of a single value, shortened for messages.
std::string Quote(absl::string_view text) {
  std::string quoted = Shortened(text, 63);
  for (char& c : quoted) c = absl::ascii_iscntrl(c) ? ' ' : c;
  return quoted;
}

std::optional<std::string> ScalarText(const Field& field, absl::string_view expected,
                                      Mistakes& mistakes) {
  if (field.node.IsScalar()) return field.node.Scalar();
  mistakes.Add(field.line, absl::StrFormat("%s is %s: %s is expected", field.name,
                                           KindOf(field.node), expected));
  return std::nullopt;
}

std::string Describe(const Range& range) {
  return absl::StrFormat("%s %s %s %s", range.open_low ? "above" : "from", FormatNumber(range.low),
                         range.open_high ? "to below" : "to", FormatNumber(range.high));
}

bool Contains(const Range& range, double value) {
  return (range.open_low ? value > range.low : value >= range.low) &&
         (range.open_high ? value < range.high : value <= range.high);
}

std::string PlaceOf(absl::string_view path) {
  return path.empty() ? "at the top level" : absl::StrCat("under ", path);
}

// Keys that other tools have for what has another name, another unit or no place here.
struct Alias {
  absl::string_view key;
  absl::string_view hint;
};
constexpr Alias kAliases[] = {
    {"lr", "the learning rate is training.learning_rate"},
    {"max_lr", "the learning rate is training.learning_rate"},
    {"peak_lr", "the learning rate is training.learning_rate"},
    {"base_lr", "the learning rate is training.learning_rate"},
    {"min_lr", "the last rate is training.final_rate_fraction, a share of the learning rate"},
    {"lr_schedule", "the schedule is training.schedule"},
    {"lr_scheduler", "the schedule is training.schedule"},
    {"lr_scheduler_type", "the schedule is training.schedule"},
    {"scheduler", "the schedule is training.schedule"},
    {"warmup", "the warm-up is training.warmup_steps, in updates"},
    {"warmup_iters", "the warm-up is training.warmup_steps, in updates"},
    {"warmup_ratio", "the warm-up is training.warmup_steps, in updates"},
    {"batch_size", "the batch is training.batch_tokens, in tokens, or training.batch_sequences"},
    {"global_batch_size",
     "the batch is training.batch_tokens, in tokens, or training.batch_sequences"},
    {"micro_batch_size",
     "the batch is training.batch_tokens, in tokens, of all devices; micro-batches are chosen by "
     "the planner"},
    {"gradient_accumulation_steps",
     "the batch is training.batch_tokens, in tokens, of all devices; micro-batches are chosen by "
     "the planner"},
    {"grad_accum",
     "the batch is training.batch_tokens, in tokens, of all devices; micro-batches "
     "are chosen by the planner"},
    {"epochs",
     "did you mean max_epochs, how often data may repeat? The length of a run is a budget "
     "(budgets.tokens)"},
    {"num_epochs",
     "the length of a run is a budget (budgets.tokens); max_epochs only bounds how "
     "often data may repeat"},
    {"num_train_epochs",
     "the length of a run is a budget (budgets.tokens); max_epochs only bounds "
     "how often data may repeat"},
    {"steps", "the length of a run is a budget: budgets.tokens, tokens an update times updates"},
    {"max_steps",
     "the length of a run is a budget: budgets.tokens, tokens an update times updates"},
    {"max_iters",
     "the length of a run is a budget: budgets.tokens, tokens an update times updates"},
    {"iterations",
     "the length of a run is a budget: budgets.tokens, tokens an update times updates"},
    {"train_tokens", "the length of a run is a budget: budgets.tokens"},
    {"compute", "compute is budgets.flops"},
    {"n_layer", "layers are model.shapes[].layers; model.sizes chooses shapes by their parameters"},
    {"n_layers",
     "layers are model.shapes[].layers; model.sizes chooses shapes by their parameters"},
    {"num_layers",
     "layers are model.shapes[].layers; model.sizes chooses shapes by their parameters"},
    {"num_hidden_layers",
     "layers are model.shapes[].layers; model.sizes chooses shapes by their parameters"},
    {"depth", "layers are model.shapes[].layers; model.sizes chooses shapes by their parameters"},
    {"n_head", "heads are model.shapes[].heads"},
    {"n_heads", "heads are model.shapes[].heads"},
    {"num_heads", "heads are model.shapes[].heads"},
    {"num_attention_heads", "heads are model.shapes[].heads"},
    {"n_embd", "the width is model.shapes[].width"},
    {"d_model", "the width is model.shapes[].width"},
    {"dim", "the width is model.shapes[].width"},
    {"hidden_size", "the width is model.shapes[].width"},
    {"embed_dim", "the width is model.shapes[].width"},
    {"d_ff", "the inner width is four times the width, in every family"},
    {"size", "sizes are a list: model.sizes, such as [5k, 20k, 80k]"},
    {"params", "sizes are a list: model.sizes, such as [5k, 20k, 80k]"},
    {"n_params", "sizes are a list: model.sizes, such as [5k, 20k, 80k]"},
    {"block_size", "tokens a sequence are model.context"},
    {"seq_len", "tokens a sequence are model.context"},
    {"seq_length", "tokens a sequence are model.context"},
    {"sequence_length", "tokens a sequence are model.context"},
    {"context_length", "tokens a sequence are model.context"},
    {"max_seq_len", "tokens a sequence are model.context"},
    {"n_ctx", "tokens a sequence are model.context"},
    {"n_positions", "tokens a sequence are model.context"},
    {"vocab_size", "ids of the vocabulary are model.vocabulary, by default the dataset's"},
    {"vocab", "ids of the vocabulary are model.vocabulary, by default the dataset's"},
    {"architecture", "the architecture is model.family"},
    {"arch", "the architecture is model.family"},
    {"seed", "seeds are a list: training.seeds, such as [1, 2]"},
    {"random_seed", "seeds are a list: training.seeds, such as [1, 2]"},
    {"betas", "training.optimizer has beta1 and beta2"},
    {"adam_beta1", "it is training.optimizer.beta1"},
    {"adam_beta2", "it is training.optimizer.beta2"},
    {"adam_epsilon", "it is training.optimizer.epsilon"},
    {"eps", "it is training.optimizer.epsilon"},
    {"wd", "it is training.optimizer.weight_decay"},
    {"momentum", "AdamW is the only optimizer; its momentum is beta1"},
    {"nesterov", "AdamW is the only optimizer"},
    {"grad_clip", "the largest norm of a gradient is training.optimizer.clip_norm"},
    {"max_grad_norm", "the largest norm of a gradient is training.optimizer.clip_norm"},
    {"gradient_clip", "the largest norm of a gradient is training.optimizer.clip_norm"},
    {"clip", "the largest norm of a gradient is training.optimizer.clip_norm"},
    {"dropout", "there is no dropout: every family trains without"},
    {"gpus", "devices of a run are devices; their kind is device: cuda or cpu"},
    {"n_gpus", "devices of a run are devices; their kind is device: cuda or cpu"},
    {"num_gpus", "devices of a run are devices; their kind is device: cuda or cpu"},
    {"world_size", "devices of a run are devices; their kind is device: cuda or cpu"},
    {"eval_interval", "evaluations are log-spaced: evaluation.per_decade"},
    {"eval_iters", "windows of an evaluation are evaluation.windows"},
    {"eval_steps", "evaluations are log-spaced: evaluation.per_decade"},
    {"log_interval", "it is log_every"},
    {"save_interval", "it is checkpoint_every, a time"},
    {"save_steps", "it is checkpoint_every, a time"},
    {"data", "the dataset is dataset, one of 'allo data list'"},
    {"dataset_path", "the dataset is dataset, one of 'allo data list'"},
    {"train_data", "the dataset is dataset, one of 'allo data list'"},
};

std::string HintFor(absl::string_view key, const Section& here,
                    absl::Span<const Section> sections) {
  if (here.path == "training.optimizer" && (key == "type" || key == "kind")) {
    return absl::StrCat("AdamW is the only optimizer; its settings are ",
                        absl::StrJoin(here.keys, ", "));
  }
  // What this section itself calls nearly so goes first.
  const std::string lower = absl::AsciiStrToLower(key);
  for (const Alias& alias : kAliases) {
    if (lower == alias.key) return std::string(alias.hint);
  }
  const absl::string_view meant = NearestWord(key, {here.keys.begin(), here.keys.end()});
  if (!meant.empty()) return absl::StrFormat("did you mean %s?", meant);
  for (const Section& section : sections) {
    if (std::find(section.keys.begin(), section.keys.end(), key) != section.keys.end()) {
      return absl::StrFormat("it belongs %s", PlaceOf(section.path));
    }
  }
  for (const absl::string_view known : here.keys) {
    if (key.size() >= 4 && absl::StrContains(known, key)) {
      return absl::StrFormat("did you mean %s?", known);
    }
  }
  return absl::StrFormat("allowed are %s", absl::StrJoin(here.keys, ", "));
}

// The entries of a map in file order; keys that are not words and repeated keys are mistakes.
std::vector<Field> Entries(const Field& map, Mistakes& mistakes) {
  std::vector<Field> entries;
  for (const auto& entry : map.node) {
    const int line = LineOf(entry.first, map.line);
    if (!entry.first.IsScalar()) {
      mistakes.Add(line, absl::StrFormat("a key of %s is %s: a word is expected", map.name,
                                         KindOf(entry.first)));
      continue;
    }
    Field field{entry.second, Quote(entry.first.Scalar()), line};
    const auto same = std::find_if(entries.begin(), entries.end(),
                                   [&](const Field& other) { return other.name == field.name; });
    if (same != entries.end()) {
      mistakes.Add(line, absl::StrFormat("%s is given twice, first on line %d: one is allowed",
                                         field.name, same->line));
      continue;
    }
    entries.push_back(std::move(field));
  }
  return entries;
}

}  // namespace

std::optional<std::string> ReadText(const Field& field, Mistakes& mistakes) {
  return ScalarText(field, "a word", mistakes);
}

std::optional<double> ReadReal(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto text = ScalarText(field, "a number", mistakes);
  if (!text) return std::nullopt;
  const auto value = ParseNumber(*text);
  if (!value.ok()) {
    mistakes.Add(field.line,
                 absl::StrFormat("%s %s %s", field.name, Quote(*text), value.status().message()));
    return std::nullopt;
  }
  if (!Contains(range, *value)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is out of range: allowed is %s", field.name,
                                             Quote(*text), Describe(range)));
    return std::nullopt;
  }
  return *value;
}

std::optional<int64_t> ReadInteger(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto value = ReadReal(field, range, mistakes);
  if (!value) return std::nullopt;
  if (*value != std::floor(*value)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is not a whole number", field.name,
                                             Quote(field.node.Scalar())));
    return std::nullopt;
  }
  return static_cast<int64_t>(*value);
}

std::optional<bool> ReadFlag(const Field& field, Mistakes& mistakes) {
  const auto text = ScalarText(field, "true or false", mistakes);
  if (!text) return std::nullopt;
  if (*text == "true") return true;
  if (*text == "false") return false;
  mistakes.Add(field.line,
               absl::StrFormat("%s %s is neither true nor false", field.name, Quote(*text)));
  return std::nullopt;
}

std::optional<double> ReadDuration(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto text = ScalarText(field, "a time such as 10s", mistakes);
  if (!text) return std::nullopt;
  const auto seconds = ParseDuration(*text);
  if (!seconds.ok()) {
    mistakes.Add(field.line,
                 absl::StrFormat("%s %s %s", field.name, Quote(*text), seconds.status().message()));
    return std::nullopt;
  }
  if (!Contains(range, *seconds)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is out of range: allowed is %s seconds",
                                             field.name, Quote(*text), Describe(range)));
    return std::nullopt;
  }
  return *seconds;
}

std::optional<std::string> ReadChoice(const Field& field, absl::Span<const absl::string_view> names,
                                      Mistakes& mistakes) {
  const std::string allowed = absl::StrJoin(names, ", ");
  const auto text = ScalarText(field, absl::StrCat("one of ", allowed), mistakes);
  if (!text) return std::nullopt;
  if (std::find(names.begin(), names.end(), *text) != names.end()) return text;
  mistakes.Add(field.line,
               absl::StrFormat("%s %s is not known: %s %s", field.name, Quote(*text),
                               names.size() == 1 ? "the only one is" : "allowed are", allowed));
  return std::nullopt;
}

std::vector<Field> ReadList(const Field& field, absl::string_view example, size_t most,
                            Mistakes& mistakes) {
  std::vector<Field> items;
  if (!field.node.IsSequence()) {
    mistakes.Add(field.line, absl::StrFormat("%s is %s: a list such as %s is expected", field.name,
                                             KindOf(field.node), example));
    return items;
  }
  if (field.node.size() == 0 || field.node.size() > most) {
    mistakes.Add(field.line, absl::StrFormat("%s has %d items: allowed are 1 to %d", field.name,
                                             field.node.size(), most));
    return items;
  }
  for (const YAML::Node& item : field.node) {
    items.push_back({item, field.name, LineOf(item, field.line)});
  }
  return items;
}

std::vector<Field> ReadTable(const Field& field, size_t most, Mistakes& mistakes) {
  if (field.node.size() == 0 || field.node.size() > most) {
    mistakes.Add(field.line, absl::StrFormat("%s has %d entries: allowed are 1 to %d", field.name,
                                             field.node.size(), most));
    return {};
  }
  return Entries(field, mistakes);
}

Fields::Fields(const Field& map, absl::string_view path, absl::Span<const Section> sections,
               Mistakes& mistakes)
    : mistakes_(mistakes), path_(path), line_(map.line), is_map_(map.node.IsMap()) {
  const Section& here = *std::find_if(sections.begin(), sections.end(),
                                      [&](const Section& s) { return s.path == path; });
  if (!is_map_) {
    mistakes.Add(map.line, absl::StrFormat("%s is %s: a map is expected, with %s", map.name,
                                           KindOf(map.node), absl::StrJoin(here.keys, ", ")));
    return;
  }
  constexpr size_t kMost = 200;  // looking for repeated keys is quadratic
  if (map.node.size() > kMost) {
    mistakes.Add(map.line, absl::StrFormat("%s has %d entries: allowed are at most %d", map.name,
                                           map.node.size(), kMost));
    is_map_ = false;
    return;
  }
  for (Field& field : Entries(map, mistakes)) {
    if (std::find(here.keys.begin(), here.keys.end(), field.name) == here.keys.end()) {
      mistakes.Add(field.line, absl::StrFormat("unknown key %s: %s", field.name,
                                               HintFor(field.name, here, sections)));
      continue;
    }
    if (field.node.IsNull()) mistakes.Add(field.line, absl::StrCat(field.name, " has no value"));
    fields_.push_back(std::move(field));
  }
}

std::optional<Field> Fields::Find(absl::string_view key) const {
  for (const Field& field : fields_) {
    if (field.name == key && !field.node.IsNull()) return field;
  }
  return std::nullopt;
}

std::optional<Field> Fields::Require(absl::string_view key, absl::string_view meaning) const {
  const bool there = std::any_of(fields_.begin(), fields_.end(),
                                 [&](const Field& field) { return field.name == key; });
  if (is_map_ && !there) {
    mistakes_.Add(line_,
                  absl::StrFormat("%s is missing%s: %s", key,
                                  path_.empty() ? "" : absl::StrCat(" under ", path_), meaning));
  }
  return Find(key);
}

void Fields::Real(absl::string_view key, const Range& range, double* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadReal(*field, range, mistakes_)) *value = *read;
  }
}

void Fields::Flag(absl::string_view key, bool* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadFlag(*field, mistakes_)) *value = *read;
  }
}

void Fields::Choice(absl::string_view key, absl::Span<const absl::string_view> names,
                    std::string* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadChoice(*field, names, mistakes_)) *value = *read;
  }
}

}  // namespace allometry::sweep
