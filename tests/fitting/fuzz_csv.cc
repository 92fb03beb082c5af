// libFuzzer target of the CSV reader: `cmake --preset clang -DALLOMETRY_FUZZ=ON`, then
//   build-clang/bench/fitting_fuzz_csv tests/fitting/data/fuzz_corpus
// What the reader accepts must hold positive finite numbers; small inputs are fitted and rendered.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/check.h"
#include "figures/fit_figure.h"
#include "fitting/data/csv.h"
#include "fitting/report/fit.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace allometry::fitting;
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  CsvOptions grouped;
  grouped.group = "dataset";
  grouped.flops = FlopsConvention::kData;
  if (const auto groups = ParseCsvGroups(text, "fuzz", grouped); groups.ok()) {
    for (const Observations& group : *groups) ALLO_CHECK(group.used() > 0);
  }
  const auto data = ParseCsv(text, "fuzz");
  if (!data.ok()) return 0;
  for (const Observation& point : data->points()) {
    ALLO_CHECK(point.params > 0 && std::isfinite(point.params));
    ALLO_CHECK(point.tokens > 0 && std::isfinite(point.tokens));
    ALLO_CHECK(point.loss > 0 && std::isfinite(point.loss));
  }
  // A fit takes a second here, reading a millisecond: most of the time goes to the reader.
  if (data->used() > 64 || std::hash<std::string_view>()({text.data(), text.size()}) % 64 != 0)
    return 0;
  FitOptions options;
  options.resamples = 2;
  options.budgets = {1e21};
  const auto report = Fit(*data, options);
  ALLO_CHECK(report.ok()) << report.status();
  ALLO_CHECK(!ReportJson(*report).empty());
  ALLO_CHECK(!ReportText(*report).empty());
  ALLO_CHECK(!figures::ToSvg(figures::DrawFit(*report, "")).empty());
  return 0;
}
