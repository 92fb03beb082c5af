#include "coordinator/sweep/size_table.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "coordinator/sweep/json_object.h"

namespace allometry::sweep {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostSizes = 500;
constexpr double kMostParams = 1e15;

}  // namespace

std::vector<SizeChoice> ReadSizeTable(const Field& table, bool described,
                                      absl::Span<const Section> sections, Mistakes& mistakes) {
  constexpr absl::string_view kExample = "[{label: 1B, params: 1.02e9}]";
  std::vector<SizeChoice> sizes;
  for (const Field& item : ReadList(table, kExample, kMostSizes, mistakes)) {
    const Fields fields(item, "model.table", sections, mistakes);
    if (!item.node.IsMap()) continue;
    SizeChoice size;
    size.line = item.line;
    SizeRow& row = size.row.emplace();
    if (const auto label = fields.Require("label", "the size's name, such as 1B")) {
      size.label = ReadText(*label, mistakes).value_or("").substr(0, 64);
    }
    if (described) {
      fields.Integer("params", {1, kMostParams}, &size.params);
    } else if (fields.Require("params", "parameters of the whole model")) {
      fields.Integer("params", {1, kMostParams}, &size.params);
    }
    row.params_non_embedding = size.params;
    if (const auto field = fields.Find("params_non_embedding")) {
      row.params_non_embedding = ReadInteger(*field, {1, kMostParams}, mistakes).value_or(0);
      row.has_params_non_embedding = true;
      if (size.params > 0 && row.params_non_embedding > size.params) {
        mistakes.Add(field->line, absl::StrFormat("params_non_embedding %d are more than params %d",
                                                  row.params_non_embedding, size.params));
      }
    }
    fields.Real("flops_per_token", {0, 1e20, /*open_low=*/true}, &row.flops_per_token);
    if (const auto args = fields.Find("args")) {
      const Json read = ReadObject(*args, "names and values of this size", mistakes);
      if (!read.empty()) row.args = {read.dump()};
    }
    if (size.label.empty() || (size.params == 0 && !described)) continue;
    sizes.push_back(std::move(size));
  }
  return sizes;
}

void ReadDescribedSizes(const Field& sizes, absl::Span<const Section> sections, SweepFile& file,
                        Mistakes& mistakes) {
  if (!sizes.node.IsMap()) {
    mistakes.Add(sizes.line, "submitted.sizes is not a map of sizes");
    return;
  }
  for (const Field& entry : ReadTable(sizes, kMostSizes, mistakes)) {
    const auto size = std::find_if(file.sizes.begin(), file.sizes.end(), [&](const auto& one) {
      return one.label == entry.name && one.row;
    });
    if (size == file.sizes.end()) continue;
    const Fields fields(entry, "submitted.sizes", sections, mistakes);
    fields.Integer("params", {1, kMostParams}, &size->params);
    SizeRow& row = *size->row;
    if (fields.Find("params_non_embedding")) {
      fields.Integer("params_non_embedding", {1, static_cast<double>(size->params)},
                     &row.params_non_embedding);
      row.has_params_non_embedding = true;
    } else if (!row.has_params_non_embedding) {
      row.params_non_embedding = size->params;
    }
    fields.Real("flops_per_token", {0, 1e20, /*open_low=*/true}, &row.flops_per_token);
  }
}

run::PlaceholderValues DescribedValues(const SizeChoice& size) {
  run::RunSpec spec;
  spec.identity.trainer.size = SizeJson(size, {.family = run::kExternalFamily}, 0, 0, 0);
  run::PlaceholderValues values = run::ValuesOf(spec, "", "");
  for (auto value = values.begin(); value != values.end();) {
    const bool known = absl::StartsWith(value->first, "size.") &&
                       std::find(std::begin(kDescribedKeys), std::end(kDescribedKeys),
                                 value->first.substr(5)) == std::end(kDescribedKeys);
    value = known ? std::next(value) : values.erase(value);
  }
  return values;
}

run::JsonText SizeJson(const SizeChoice& size, const models::Shape& shape, int64_t params,
                       int64_t params_non_embedding, double flops_per_token) {
  Json json = {{"label", size.label},
               {"params", params},
               {"params_non_embedding", params_non_embedding},
               {"flops_per_token", flops_per_token}};
  if (shape.family != run::kExternalFamily) {
    json["layers"] = shape.layers;
    json["heads"] = shape.heads;
    json["width"] = shape.width;
  }
  if (size.row && !size.row->args.empty()) {
    json["args"] = Json::parse(size.row->args.text, nullptr, /*allow_exceptions=*/false);
  }
  return {json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace allometry::sweep
