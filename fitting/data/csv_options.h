// What a person can say about a table of runs that its header does not say.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fitting/data/options.h"

namespace allometry::fitting {

struct CsvOptions {
  // "loss=eval_nll", "N=size", "C=none": which column is read as N, D, C, loss, run, family,
  // weight, epochs, ends_cell or state; none leaves a quantity out that the header would give.
  std::vector<std::string> columns;
  // "N=M", "D=B", "C=PF-days", "loss=bits"; without a name it is the loss's: "bits".
  std::vector<std::string> units;
  std::string group;    // the column whose values are fitted one by one (ReadCsvGroups)
  std::string decimal;  // "point" or "comma"; "" finds out
  // kAuto asks where C contradicts 6 N D by one factor; kData takes C as it stands; k6nd leaves it.
  FlopsConvention flops = FlopsConvention::kAuto;
  // Told of the bytes and rows read so far, about once a megabyte.
  std::function<void(int64_t bytes, int64_t rows)> progress;
};

// For a table that a coordinator exported: its units are known, however small its runs are.
inline CsvOptions OwnExport() {
  CsvOptions options;
  options.units = {"N=1", "D=1", "loss=nats"};
  options.flops = FlopsConvention::kData;
  return options;
}

}  // namespace allometry::fitting
