#include "coordinator/sweep/model_section.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/trainer_section.h"
#include "models/presets.h"

namespace allometry::sweep {
namespace {

// At most 64 bytes, and not half a character.
std::string CutLabel(const std::string& text) {
  size_t end = std::min<size_t>(text.size(), 64);
  while (end < text.size() && end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

constexpr size_t kMostSizes = 500;
constexpr double kMostParams = 1e13;
constexpr double kLeastAspect = 1, kMostAspect = 4096;

class ModelReader {
 public:
  ModelReader(absl::Span<const Section> sections, SweepFile& file, Mistakes& mistakes)
      : sections_(sections), file_(file), mistakes_(mistakes) {}

  void Read(const Field& model) {
    const Fields fields(model, "model", sections_, mistakes_);
    if (!model.node.IsMap()) return;
    file_.model_line = model.line;
    file_.window_line = model.line;
    const auto family = fields.Find("family");
    if (family) ReadFamily(*family);
    ReadShapeRule(fields);
    const auto table = fields.Find("table");
    if (table) {
      for (const absl::string_view other :
           {"family", "presets", "sizes", "shapes", "frames", "positions"}) {
        if (const auto field = fields.Find(other)) {
          AddBoth(*field, absl::StrCat("table and ", other));
        }
      }
      ReadTable(fields, *table);
      return;
    }
    const auto presets = fields.Find("presets");
    if (presets) ReadPresets(*presets, family.has_value());
    ReadWindow(fields, presets.has_value());
    if (const auto vocabulary = fields.Find("vocabulary")) {
      file_.vocabulary_line = vocabulary->line;
      file_.vocabulary =
          static_cast<int>(ReadInteger(*vocabulary, {1, 1 << 24}, mistakes_).value_or(0));
    }
    if (const auto positions = fields.Find("positions")) {
      file_.positions_line = positions->line;
      fields.Choice("positions", &file_.positions);
    }
    const auto sizes = fields.Find("sizes");
    const auto shapes = fields.Find("shapes");
    if (presets) {
      if (sizes) AddBoth(*sizes, "presets and sizes");
      if (shapes) AddBoth(*shapes, "presets and shapes");
    } else if (sizes && shapes) {
      AddBoth(*shapes, "sizes and shapes");
    } else if (sizes) {
      ReadSizes(*sizes);
    } else if (shapes) {
      ReadShapes(*shapes);
    } else {
      fields.Require("sizes",
                     "parameter counts, such as [5k, 20k]; or shapes, presets or table instead");
    }
  }

 private:
  void AddBoth(const Field& field, absl::string_view both) {
    mistakes_.Add(field.line, absl::StrCat(both, " are both given: one of them is allowed"));
  }

  // How the shapes of `sizes` are chosen; whoever gives shapes has chosen.
  void ReadShapeRule(const Fields& fields) {
    const auto aspect = fields.Find("aspect");
    const auto head_dim = fields.Find("head_dim");
    for (const auto& rule : {aspect, head_dim}) {
      if (!rule || fields.Find("sizes")) continue;
      mistakes_.Add(
          rule->line,
          absl::StrCat(rule->name, " chooses shapes for model.sizes, and there are none"));
    }
    if (aspect && aspect->node.IsScalar() && aspect->node.Scalar() == "smooth") {
      file_.smooth_shapes = true;
    } else if (aspect) {
      const auto value = ParseNumber(aspect->node.IsScalar() ? aspect->node.Scalar() : "");
      if (value.ok() && *value >= kLeastAspect && *value <= kMostAspect) {
        file_.shape_rule.aspect = *value;
      } else {
        mistakes_.Add(aspect->line,
                      absl::StrFormat("aspect is width / layers: a number from %g to %g, or smooth",
                                      kLeastAspect, kMostAspect));
      }
    }
    if (head_dim) {
      file_.shape_rule.head_dim =
          static_cast<int>(ReadInteger(*head_dim, {1, 1024}, mistakes_).value_or(0));
    }
  }

  // Sizes of a trainer that is not ours: a sequence is what its author calls one, or a token.
  void ReadTable(const Fields& fields, const Field& table) {
    file_.family = run::kExternalFamily;
    file_.context = 1;
    fields.Integer("context", {1, 1e6}, &file_.context);
    fields.Integer("vocabulary", {1, 1 << 24}, &file_.vocabulary);
    for (SizeChoice& size : ReadSizeTable(table, file_.sizes_described, sections_, mistakes_))
      AddSize(std::move(size));
  }

  void ReadFamily(const Field& family) {
    if (const auto name = ReadText(family, mistakes_)) file_.family = *name;
    if (const models::Family* known = models::FindFamily(file_.family); known != nullptr) {
      if (!known->tokenizer) return;
      mistakes_.Add(family.line,
                    absl::StrFormat("family %s is a tokenizer: it goes into the section tokenizer",
                                    file_.family));
      file_.family = "gpt";
      return;
    }
    // Of an unknown family nothing else is looked at.
    mistakes_.Add(family.line, models::Validate({.family = file_.family}).message());
  }

  void ReadWindow(const Fields& fields, bool has_presets) {
    const auto frames = fields.Find("frames");
    const auto context = frames || has_presets
                             ? fields.Find("context")
                             : fields.Require("context", "tokens a sequence, such as 32");
    if (frames && context) AddBoth(*context, "frames and context");
    if (frames) {
      file_.window_line = frames->line;
      file_.context = 0;
      file_.frames = static_cast<int>(ReadInteger(*frames, {1, 1e6}, mistakes_).value_or(0));
    } else if (context) {
      file_.window_line = context->line;
      file_.frames = 0;
      file_.context = static_cast<int>(ReadInteger(*context, {1, 1e6}, mistakes_).value_or(0));
    }
  }

  void ReadSizes(const Field& sizes) {
    for (const Field& item : ReadList(sizes, "[5k, 20k, 80k]", kMostSizes, mistakes_)) {
      const auto params = ReadInteger(item, {1, kMostParams}, mistakes_);
      if (!params) continue;
      SizeChoice size;
      size.label = item.node.Scalar();
      size.params = *params;
      size.line = item.line;
      AddSize(std::move(size));
    }
  }

  void ReadShapes(const Field& shapes) {
    constexpr absl::string_view kExample = "[{layers: 2, heads: 1, width: 32}]";
    for (const Field& item : ReadList(shapes, kExample, kMostSizes, mistakes_)) {
      const Fields fields(item, "model.shapes", sections_, mistakes_);
      if (!item.node.IsMap()) continue;
      SizeChoice size;
      size.line = item.line;
      const auto number = [&](absl::string_view key, absl::string_view meaning, double most,
                              int* value) {
        if (!fields.Require(key, meaning)) return;
        fields.Integer(key, {1, most}, value);
      };
      // N of the largest is 1.2e17, which an int64 counts.
      number("layers", "the number of blocks", 1e4, &size.layers);
      number("heads", "attention heads, a divisor of width", 1e6, &size.heads);
      number("width", "d_model, a multiple of heads", 1e6, &size.width);
      if (size.layers == 0 || size.heads == 0 || size.width == 0) continue;
      if (size.width % size.heads != 0) {
        mistakes_.Add(item.line, absl::StrFormat("width %d is not a multiple of heads %d",
                                                 size.width, size.heads));
      }
      size.label = absl::StrFormat("%dx%d", size.layers, size.width);
      if (const auto label = fields.Find("label")) {
        if (const auto text = ReadText(*label, mistakes_)) size.label = CutLabel(*text);
      }
      AddSize(std::move(size));
    }
  }

  void ReadPresets(const Field& presets, bool family_given) {
    std::vector<models::Preset> read;
    for (const Field& item : ReadList(presets, "[char/10k, char/30k]", kMostSizes, mistakes_)) {
      const auto name = ReadText(item, mistakes_);
      if (!name) continue;
      const auto preset = models::FindPreset(*name);
      if (!preset.ok()) {
        mistakes_.Add(item.line, preset.status().message());
        continue;
      }
      if (family_given && preset->shape.family != file_.family) {
        mistakes_.Add(item.line, absl::StrFormat("preset %s is of family %s, the file says %s",
                                                 preset->name, preset->shape.family, file_.family));
      }
      if (!read.empty()) CheckAgree(item, read.front(), *preset);
      SizeChoice size;
      size.label = preset->name;
      size.layers = preset->shape.layers;
      size.heads = preset->shape.heads;
      size.width = preset->shape.width;
      size.learning_rate = preset->learning_rate;
      size.line = item.line;
      AddSize(std::move(size));
      read.push_back(*preset);
    }
    if (read.empty()) return;
    const models::Preset& first = read.front();
    file_.family = first.shape.family;
    file_.frames = first.frames;
    file_.context = first.frames > 0 ? 0 : first.shape.context;
    file_.objective = first.objective;
    file_.batch_sequences = first.batch_sequences;
  }

  // A sweep has one window, objective and batch.
  void CheckAgree(const Field& item, const models::Preset& first, const models::Preset& other) {
    if (other.shape.family == first.shape.family && other.shape.context == first.shape.context &&
        other.objective == first.objective && other.batch_sequences == first.batch_sequences) {
      return;
    }
    mistakes_.Add(item.line,
                  absl::StrFormat("presets %s and %s differ in family, window, objective or batch: "
                                  "give them sweeps of their own",
                                  first.name, other.name));
  }

  void AddSize(SizeChoice size) {
    for (const SizeChoice& other : file_.sizes) {
      const bool same_count = size.params != 0 && size.params == other.params && !size.row;
      if (!same_count && size.label != other.label) continue;
      mistakes_.Add(size.line, absl::StrFormat("size %s is given twice, first as %s on line %d",
                                               size.label, other.label, other.line));
      return;
    }
    file_.sizes.push_back(std::move(size));
  }

  const absl::Span<const Section> sections_;
  SweepFile& file_;
  Mistakes& mistakes_;
};

}  // namespace

void ReadModel(const Field& model, absl::Span<const Section> sections, SweepFile& file,
               Mistakes& mistakes) {
  ModelReader(sections, file, mistakes).Read(model);
}

}  // namespace allometry::sweep
