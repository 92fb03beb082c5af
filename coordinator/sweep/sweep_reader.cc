#include "coordinator/sweep/sweep_reader.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/stages/stage.h"
#include "coordinator/sweep/by_size.h"
#include "coordinator/sweep/evaluate_file.h"
#include "coordinator/sweep/imagine_file.h"
#include "coordinator/sweep/ladder_file.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/model_section.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/settings.h"
#include "coordinator/sweep/tokenizer_file.h"
#include "coordinator/sweep/trainer_section.h"
#include "coordinator/sweep/window.h"
#include "coordinator/sweep/yaml_fields.h"
#include "coordinator/sweep/yaml_text.h"
#include "data/manifest.h"

namespace allometry::sweep {
namespace {

constexpr size_t kMostItems = 500;  // sizes, seeds, budgets
constexpr size_t kMostRuns = 10'000;
constexpr size_t kMostCells = 100'000;
constexpr double kMostInteger = 9e15;  // doubles count whole numbers up to 2^53
constexpr double kMostTokens = 1e15;

constexpr absl::string_view kTopKeys[] = {
    "name",         "dataset",  "model",         "training",   "budgets",   "conventions",
    "max_epochs",   "devices",  "device",        "evaluation", "log_every", "checkpoint_every",
    "allow_repeat", "priority", "deterministic", "limits",     "tokenizer", "imagine",
    "trainer",      "evaluate", "submitted"};
constexpr absl::string_view kModelKeys[] = {"family",    "context", "frames",  "vocabulary",
                                            "positions", "sizes",   "shapes",  "presets",
                                            "table",     "aspect",  "head_dim"};
constexpr absl::string_view kShapeKeys[] = {"layers", "heads", "width", "label"};
constexpr std::array<absl::string_view, 10> kOwnTrainingKeys = {
    "batch_tokens",  "batch_sequences", "objective", "objective_seed", "schedule",
    "learning_rate", "seeds",           "optimizer", "decay_fraction", "final_rate_fraction"};
constexpr auto kTrainingKeys = SettingKeys<run::SetIn::kTraining, run::Identity>(kOwnTrainingKeys);
constexpr auto kOptimizerKeys =
    SettingKeys<run::SetIn::kTrainingOptimizer, run::Optimizer>(std::array<absl::string_view, 0>());
constexpr absl::string_view kBudgetKeys[] = {"flops", "tokens", "tokens_per_param"};
constexpr absl::string_view kConventionKeys[] = {"params", "flops"};
constexpr absl::string_view kEvaluationKeys[] = {"windows", "per_decade", "keep"};
constexpr absl::string_view kLimitKeys[] = {"max_device_hours", "max_run_hours"};
constexpr Section kGridSections[] = {
    {"model", kModelKeys},
    {"model.shapes", kShapeKeys},
    {"training", kTrainingKeys},
    {"training.optimizer", kOptimizerKeys},
    {"budgets", kBudgetKeys},
    {"conventions", kConventionKeys},
    {"evaluation", kEvaluationKeys},
    {"limits", kLimitKeys},
    {"training.learning_rate", kLadderParentKeys},
    {"training.learning_rate.ladder", kLadderKeys},
    {"training.learning_rate.ladder.tune", kTuneKeys},
    {"tokenizer", kTokenizerKeys},
    {"evaluate", kEvaluateKeys},
    {"imagine", kImagineKeys},
    {"trainer", kTrainerKeys},
    {"trainer.measure", kTrainerMeasureKeys},
    {"model.table", kTableKeys},
    {"submitted.sizes", kDescribedKeys},
    {"dataset", kExternalDatasetKeys},
    {"submitted", kSubmittedKeys},
};
constexpr absl::string_view kParamsPolicies[] = {"paper", "total", "non-embedding", "active"};

// Those of the grid, and one of each stage that has a section of its own.
absl::Span<const Section> Sections() {
  static const std::vector<absl::string_view> top = [] {
    std::vector<absl::string_view> keys(std::begin(kTopKeys), std::end(kTopKeys));
    for (const coordinator::StageRow* row : coordinator::StageRows()) {
      if (row->read != nullptr) keys.push_back(row->name);
    }
    return keys;
  }();
  static const std::vector<Section> all = [] {
    std::vector<Section> sections = {{"", top}};
    for (const coordinator::StageRow* row : coordinator::StageRows()) {
      if (row->read != nullptr) sections.push_back({row->name, row->keys});
    }
    sections.insert(sections.end(), std::begin(kGridSections), std::end(kGridSections));
    return sections;
  }();
  return all;
}

// Reads one file; every mistake goes to `mistakes_` and reading goes on.
class Reader {
 public:
  Reader(SweepFile& file, Mistakes& mistakes) : file_(file), mistakes_(mistakes) {}

  void Read(const YAML::Node& root) {
    const Field whole{root, "the file", 1};
    const Fields top(whole, "", sections_, mistakes_);
    if (!root.IsMap()) return;
    ReadName(top, "name", "the sweep's name", &file_.name);
    if (const auto dataset = top.Find("dataset"); dataset && dataset->node.IsMap()) {
      ReadExternalDataset(*dataset, sections_, file_, mistakes_);
    } else {
      ReadName(top, "dataset", "a dataset of the data directory", &file_.dataset);
      if (dataset) file_.dataset_line = dataset->line;
    }
    if (const auto trainer = top.Find("trainer"); trainer && trainer->node.IsMap()) {
      file_.sizes_described = static_cast<bool>(trainer->node["describe_command"]);
    }
    const auto model = top.Require("model", "context, and sizes or shapes; or a table");
    if (model) ReadModel(*model, sections_, file_, mistakes_);
    if (const auto training = top.Require("training", "batch_tokens and learning_rate")) {
      ReadTraining(*training);
    }
    if (const auto budgets = top.Require("budgets", "flops, tokens or tokens_per_param, a list")) {
      ReadBudgets(*budgets);
    }
    ReadConventions(top);
    if (const auto tokenizer = top.Find("tokenizer")) {
      ReadTokenizer(*tokenizer, sections_, file_, mistakes_);
    }
    if (const auto imagine = top.Find("imagine")) {
      ReadImagine(*imagine, sections_, file_, mistakes_);
    }
    top.Real("max_epochs", {0, 1e6, /*open_low=*/true}, &file_.max_epochs);
    top.Flag("allow_repeat", &file_.allow_repeat);
    top.Choice("device", &file_.device);
    top.Flag("deterministic", &file_.deterministic);
    top.Integer("log_every", {1, 1e9}, &file_.log_every);
    top.Integer("priority", {-1000, 1000}, &file_.priority);
    if (const auto every = top.Find("checkpoint_every")) {
      const auto seconds = ReadDuration(*every, {0.1, 30 * 86400.0}, mistakes_);
      if (seconds) file_.checkpoint_every_s = *seconds;
    }
    if (const auto evaluation = top.Find("evaluation")) {
      const Fields fields(*evaluation, "evaluation", sections_, mistakes_);
      fields.Integer("windows", {1, 1e9}, &file_.evaluation_windows);
      fields.Integer("per_decade", {1, 100}, &file_.evaluations_per_decade);
      fields.Integer("keep", {1, 1000}, &file_.keep_checkpoints);
    }
    if (const auto limits = top.Find("limits")) {
      const Fields fields(*limits, "limits", sections_, mistakes_);
      const Range hours{.low = 0, .high = 1e9, .open_low = true};
      fields.Real("max_device_hours", hours, &file_.max_device_hours);
      fields.Real("max_run_hours", hours, &file_.max_run_hours);
    }
    if (const auto devices = top.Find("devices")) ReadDevices(*devices);
    ReadStages(top);
    if (const auto trainer = top.Find("trainer")) {
      ReadTrainer(*trainer, sections_, file_, mistakes_);
    }
    if (const auto evaluate = top.Find("evaluate")) {
      ReadEvaluate(*evaluate, sections_, file_, mistakes_);
    }
    if (file_.keep_checkpoints > 0) {
      CheckKept(file_, top.Find(file_.evaluate ? "evaluate" : "evaluation")->line, mistakes_);
    }
    if (const auto submitted = top.Find("submitted")) {
      ReadSubmitted(*submitted, sections_, file_, mistakes_);
    }
    CheckWithTrainer(file_, mistakes_);
    CheckCounts();
    CheckPrecision();
  }

 private:
  void CheckPrecision() {
    if (file_.trainer) return;  // the command's own affair
    const std::string allowed = run::PrecisionProblem(file_.recipe.precision, file_.device);
    if (allowed.empty()) return;
    mistakes_.Add(precision_line_, absl::StrFormat("precision %s with device %s: allowed is %s",
                                                   run::NameOf(file_.recipe.precision),
                                                   run::NameOf(file_.device), allowed));
  }

  void CheckCounts() {
    const size_t curves = file_.sizes.size() * file_.seeds.size();
    const size_t cells = curves * file_.budgets.size();
    const size_t runs = file_.schedule.kind == run::Schedule::kConstant ? curves
                        : file_.schedule.kind == run::Schedule::kWsd    ? curves + cells
                                                                        : cells;
    if (runs <= kMostRuns && cells <= kMostCells) return;
    mistakes_.Add(1, absl::StrFormat("%d sizes x %d seeds x %d budgets are %d runs and %d cells: "
                                     "allowed are at most %d runs and %d cells",
                                     file_.sizes.size(), file_.seeds.size(), file_.budgets.size(),
                                     runs, cells, kMostRuns, kMostCells));
  }

  void ReadName(const Fields& fields, absl::string_view key, absl::string_view meaning,
                std::string* name) {
    const auto field = fields.Require(key, meaning);
    if (!field) return;
    const auto text = ReadText(*field, mistakes_);
    if (!text) return;
    // What is wrong with a generator's text, the generator says.
    const bool generated = key == "dataset" && data::IsGenerated(*text);
    if (!IsName(*text) && !generated) {
      mistakes_.Add(field->line,
                    absl::StrFormat("%s '%s' is not a name: %s", key,
                                    absl::CHexEscape(text->substr(0, 80)), kAllowedNames));
      return;
    }
    *name = *text;
  }

  void ReadTraining(const Field& training) {
    const Fields fields(training, "training", sections_, mistakes_);
    if (!training.node.IsMap()) return;
    ReadWindowTraining(fields, file_, mistakes_);
    file_.schedule = ReadSchedule(fields, mistakes_);
    ReadSettings<run::SetIn::kTraining>(fields, &file_.recipe);
    if (const auto precision = fields.Find("precision")) precision_line_ = precision->line;
    if (const auto seeds = fields.Find("seeds")) ReadSeeds(*seeds);
    const auto optimizer = fields.Find("optimizer");
    if (optimizer && optimizer->node.IsScalar()) {
      mistakes_.Add(
          optimizer->line,
          absl::StrFormat("optimizer %s: AdamW is the only optimizer; allowed is a map of "
                          "its settings, with %s",
                          absl::CHexEscape(optimizer->node.Scalar().substr(0, 60)),
                          absl::StrJoin(kOptimizerKeys, ", ")));
    } else if (optimizer) {
      ReadSettings<run::SetIn::kTrainingOptimizer>(
          Fields(*optimizer, "training.optimizer", sections_, mistakes_), &file_.recipe.optimizer);
    }
    // Presets bring theirs.
    const bool has_rates = !file_.sizes.empty() && file_.sizes.front().learning_rate > 0;
    const auto rate = has_rates
                          ? fields.Find("learning_rate")
                          : fields.Require("learning_rate",
                                           "a number such as 3e-3, a table by size, or a ladder");
    if (!rate) return;
    for (SizeChoice& size : file_.sizes) size.learning_rate = 0;
    if (IsLadder(*rate)) {
      ReadLadder(*rate, sections_, file_, mistakes_);
    } else {
      ReadLearningRates(*rate, file_.sizes, mistakes_);
    }
  }

  void ReadSeeds(const Field& seeds) {
    std::vector<int64_t> read;
    for (const Field& item : ReadList(seeds, "[1, 2]", kMostItems, mistakes_)) {
      const auto seed = ReadInteger(item, {0, kMostInteger}, mistakes_);
      if (!seed) continue;
      if (std::find(read.begin(), read.end(), *seed) != read.end()) {
        mistakes_.Add(item.line, absl::StrFormat("seed %d is given twice", *seed));
      } else {
        read.push_back(*seed);
      }
    }
    if (!read.empty()) file_.seeds = std::move(read);
  }

  void ReadBudgets(const Field& budgets) {
    const Fields fields(budgets, "budgets", sections_, mistakes_);
    if (!budgets.node.IsMap()) return;
    static constexpr struct {
      absl::string_view key;
      BudgetKind kind;
      double most;
    } kKinds[] = {{"flops", BudgetKind::kFlops, 1e30},
                  {"tokens", BudgetKind::kTokens, kMostTokens},
                  {"tokens_per_param", BudgetKind::kTokensPerParam, 1e9}};
    bool found = false;
    for (const auto& kind : kKinds) {
      const auto field = fields.Find(kind.key);
      if (!field) continue;
      if (found) {
        mistakes_.Add(field->line, absl::StrFormat("%s beside another kind of budget: one of "
                                                   "flops, tokens and tokens_per_param is allowed",
                                                   kind.key));
        continue;
      }
      found = true;
      file_.budget_kind = kind.kind;
      ReadBudgetList(*field, kind.most);
    }
    if (!found) mistakes_.Add(budgets.line, "budgets has no flops, tokens or tokens_per_param");
  }

  void ReadBudgetList(const Field& list, double most) {
    for (const Field& item : ReadList(list, "[3e10, 1e11]", kMostItems, mistakes_)) {
      const auto value = ReadReal(item, {0, most, /*open_low=*/true}, mistakes_);
      if (!value) continue;
      const auto same = std::find_if(file_.budgets.begin(), file_.budgets.end(),
                                     [&](const Budget& other) { return other.value == *value; });
      if (same != file_.budgets.end()) {
        mistakes_.Add(item.line, absl::StrFormat("budget %s is given twice", item.node.Scalar()));
        continue;
      }
      file_.budgets.push_back({*value, item.node.Scalar(), item.line});
    }
    std::sort(file_.budgets.begin(), file_.budgets.end(),
              [](const Budget& a, const Budget& b) { return a.value < b.value; });
  }

  void ReadConventions(const Fields& top) {
    const auto conventions = top.Find("conventions");
    if (!conventions) return;
    const Fields fields(*conventions, "conventions", sections_, mistakes_);
    std::string params(models::ParamPolicyName(file_.params_policy));
    fields.Choice("params", kParamsPolicies, &params);
    if (const auto policy = models::ParseParamPolicy(params); policy.ok()) {
      file_.params_policy = *policy;
    }
    fields.Choice("flops", &file_.flops_convention);
  }

  void ReadStages(const Fields& top) {
    for (const coordinator::StageRow* row : coordinator::StageRows()) {
      if (row->read == nullptr) continue;
      const auto section = top.Find(row->name);
      if (!section) continue;
      const Fields fields(*section, row->name, sections_, mistakes_);
      if (!section->node.IsMap()) continue;
      if (auto choice = row->read(fields, file_, mistakes_)) {
        file_.stages[row->name] = std::move(choice);
      }
    }
  }

  void ReadDevices(const Field& devices) {
    ReadRanks(devices, file_.sizes, mistakes_);
    if (file_.batch_tokens == 0 || file_.context == 0) return;
    const int64_t sequences = file_.batch_tokens / file_.context;
    for (const SizeChoice& size : file_.sizes) {
      if (sequences % size.ranks == 0) continue;
      mistakes_.Add(devices.line,
                    absl::StrFormat("size %s on %d devices: an update's %d sequences (batch_tokens "
                                    "%d / context %d) do not divide by %d",
                                    size.label, size.ranks, sequences, file_.batch_tokens,
                                    file_.context, size.ranks));
    }
  }

  SweepFile& file_;
  Mistakes& mistakes_;
  const absl::Span<const Section> sections_ = Sections();
  int precision_line_ = 1;
};

}  // namespace

absl::StatusOr<SweepFile> ParseSweepFile(absl::string_view yaml, absl::string_view file_name) {
  SweepFile file;
  file.file_name = std::string(file_name);
  Mistakes mistakes(file_name);
  ALLO_RETURN_IF_ERROR(
      ReadDocument(yaml, "a sweep with name, dataset, model, training and budgets", mistakes,
                   [&](const YAML::Node& root) { Reader(file, mistakes).Read(root); }));
  return file;
}

}  // namespace allometry::sweep
