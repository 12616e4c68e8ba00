// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks that are not Google Benchmark's have in common: their options and their tables.
#pragma once

#include <string>
#include <vector>

namespace pointsman::bench {

struct Options {
  bool quick = false;  // smaller and fewer: does it work at all; a few minutes for all programs together
  std::string filter;  // only tables whose name contains this
  std::string json;    // also write the tables to this file

  bool Wants(const std::string& table) const { return table.find(filter) != std::string::npos; }
};

// Takes `--quick`, `--filter=TEXT` and `--json=FILE`; anything else ends the program with a message.
Options ParseOptions(const std::vector<std::string>& args);

// A column of numbers. NaN prints as "-" and is null in JSON.
struct Column {
  std::string name;  // "p50"
  std::string unit;  // "us", "x" for a ratio; may be empty
  int decimals = 1;
};

// Tables of figures: printed row by row as they are measured, and written down as JSON at the end.
//
//   {"program": "pipeline_bench", "quick": false,
//    "tables": [{"name": "one change", "columns": [{"name": "p50", "unit": "us"}, …],
//                "rows": [{"name": "1,000 x 10", "values": [81.2, …]}, …]}, …]}
class Report {
 public:
  Report(std::string program, Options options);
  // Writes the file, if one was asked for.
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  const Options& options() const { return options_; }

  // Begins a table. `caption` says in a line what is measured and against what.
  void Begin(const std::string& table, const std::string& caption, std::vector<Column> columns);
  // A row of the table begun last; one value for each column.
  void Row(const std::string& name, const std::vector<double>& values);

 private:
  struct Line {
    std::string name;
    std::vector<double> values;
  };
  struct Table {
    std::string name;
    std::string caption;
    std::vector<Column> columns;
    std::vector<Line> rows;
  };

  const std::string program_;
  const Options options_;
  std::vector<Table> tables_;
};

// "10,000 x 10".
std::string FormatSize(int services, int endpoints);

// The value that `share` (0..1) of `values` do not exceed: the nearest rank. Reorders `values`.
double Percentile(std::vector<double>& values, double share);

}  // namespace pointsman::bench
