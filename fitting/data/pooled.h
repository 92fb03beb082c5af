// Columns that nobody reads and that split the rows into kinds: dataset, model_family, optimizer.
//
// Two data sets in one file are two laws; fitted as one they give a third. A column of text with
// few values, several of which hold more than one model size, is such a split, whatever its name
// is.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/layout.h"

namespace allometry::fitting {

class PooledColumns {
 public:
  PooledColumns(const TableLayout& layout, const CsvSample& sample);
  void Count(const std::vector<absl::string_view>& fields, double params);
  // "column 'dataset' has 2 values (c4: 32 rows, pile: 32 rows) and is not read: ..."
  std::vector<std::string> Notes() const;

 private:
  struct Value {
    std::string text;
    int64_t rows = 0;
    double smallest = 0, largest = 0;
  };
  struct Column {
    int field;
    std::string header;
    std::vector<Value> values;
    size_t last = 0;
  };
  std::vector<Column> columns_;
};

}  // namespace allometry::fitting
