#include "fitting/report/groups.h"

#include "absl/strings/str_format.h"
#include "fitting/data/utf8.h"
#include "fitting/report/json_values.h"

namespace allometry::fitting {
namespace {

std::string Cell(const Estimate& estimate) {
  if (!estimate.estimate) return "not determined";
  std::string text = absl::StrFormat("%.5g", *estimate.estimate);
  if (estimate.lower && estimate.upper) {
    absl::StrAppendFormat(&text, " [%.5g, %.5g]", *estimate.lower, *estimate.upper);
  }
  return text;
}

// The first fit that has the quantity.
const MethodFit* FitWith(const FitReport& report, const char* quantity) {
  for (const MethodFit& fit : report.fits) {
    if (fit.Find(quantity) != nullptr) return &fit;
  }
  return nullptr;
}

void Line(const std::string& quantity, const std::string& group, absl::string_view text,
          std::string& out) {
  absl::StrAppendFormat(&out, "  %-12s %-24s %s\n", quantity, SafePrefix(group, 20), text);
}

}  // namespace

std::string GroupsText(const std::string& column, const std::vector<GroupFit>& fits) {
  std::string out;
  for (const GroupFit& one : fits) {
    absl::StrAppend(&out, "===== ", column, ": ", SafePrefix(one.group, 60), " =====\n",
                    ReportText(one.report), "\n");
  }
  absl::StrAppendFormat(&out, "===== the %d groups of '%s' beside each other =====\n", fits.size(),
                        column);
  for (const char* quantity : {"a", "alpha", "beta", "E"}) {
    for (const GroupFit& one : fits) {
      const MethodFit* const fit = FitWith(one.report, quantity);
      if (fit == nullptr) continue;
      std::string text = absl::StrCat(Cell(*fit->Find(quantity)), " ", Name(fit->method));
      if (fit->refused) absl::StrAppend(&text, ", REFUSED: ", *fit->refused);
      Line(quantity, one.group, text, out);
    }
  }
  if (fits.empty()) return out;
  for (const Prediction& first : fits.front().report.predictions) {
    for (const char* quantity : {"N*", "D*", "loss"}) {
      for (const GroupFit& one : fits) {
        for (const Prediction& prediction : one.report.predictions) {
          if (prediction.flops != first.flops || prediction.method != first.method) continue;
          const Estimate& value = quantity[0] == 'N'   ? prediction.params
                                  : quantity[0] == 'D' ? prediction.tokens
                                                       : prediction.loss;
          if (!value.estimate) continue;
          Line(absl::StrFormat("%s", quantity), one.group,
               absl::StrFormat("%s at %.3g FLOPs, %s", Cell(value), prediction.flops,
                               Name(prediction.method)),
               out);
        }
      }
    }
  }
  return out;
}

std::string GroupsJson(const std::string& column, const std::vector<GroupFit>& fits) {
  Json groups = Json::array();
  for (const GroupFit& one : fits) {
    groups.push_back({{"group", Text(one.group)}, {"fit", Json::parse(ReportJson(one.report))}});
  }
  const Json json = {{"group_column", column}, {"groups", groups}};
  return Dump(json);
}

}  // namespace allometry::fitting
