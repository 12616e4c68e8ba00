// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "pointsman/status.h"
#include "tests/support/files.h"

namespace pointsman::bench {
namespace {

constexpr int kNameWidth = 34;

std::string Heading(const Column& column) {
  return column.unit.empty() ? column.name : absl::StrCat(column.name, " ", column.unit);
}

int Width(const Column& column) { return std::max(9, static_cast<int>(Heading(column).size()) + 2); }

// With commas between thousands, as people read them.
std::string Grouped(int number) {
  std::string text = absl::StrCat(number);
  for (size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, ",");
  return text;
}

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string JsonNumber(double value) { return std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null"; }

}  // namespace

Options ParseOptions(const std::vector<std::string>& args) {
  Options options;
  for (const absl::string_view arg : args) {
    absl::string_view rest = arg;
    if (arg == "--quick") {
      options.quick = true;
    } else if (absl::ConsumePrefix(&rest, "--filter=")) {
      options.filter = std::string(rest);
    } else if (absl::ConsumePrefix(&rest, "--json=")) {
      options.json = std::string(rest);
    } else {
      support::Fatal(absl::StrCat("unknown option ", arg, "; there are --quick, --filter=TEXT and --json=FILE"));
    }
  }
  return options;
}

Report::Report(std::string program, Options options) : program_(std::move(program)), options_(std::move(options)) {}

Report::~Report() {
  if (options_.json.empty()) return;
  const auto column = [](std::string* out, const Column& c) {
    absl::StrAppend(out, "{\"name\": ", Quoted(c.name), ", \"unit\": ", Quoted(c.unit), "}");
  };
  const auto row = [](std::string* out, const Line& line) {
    const auto number = [](std::string* to, double value) { to->append(JsonNumber(value)); };
    absl::StrAppend(out, "{\"name\": ", Quoted(line.name), ", \"values\": [", absl::StrJoin(line.values, ", ", number),
                    "]}");
  };
  const auto table = [&](std::string* out, const Table& t) {
    absl::StrAppend(out, "  {\"name\": ", Quoted(t.name), ", \"caption\": ", Quoted(t.caption), ",\n   \"columns\": [",
                    absl::StrJoin(t.columns, ", ", column), "],\n   \"rows\": [\n    ",
                    absl::StrJoin(t.rows, ",\n    ", row), "]}");
  };
  std::ofstream file(options_.json);
  file << "{\"program\": " << Quoted(program_) << ", \"quick\": " << (options_.quick ? "true" : "false")
       << ", \"tables\": [\n"
       << absl::StrJoin(tables_, ",\n", table) << "\n]}\n";
  if (!file.flush()) support::Fatal(absl::StrCat("cannot write ", options_.json));
}

void Report::Begin(const std::string& table, const std::string& caption, std::vector<Column> columns) {
  absl::PrintF("\n%s: %s\n%-*s", table, caption, kNameWidth, "");
  for (const Column& column : columns) absl::PrintF("%*s", Width(column), Heading(column));
  absl::PrintF("\n");
  fflush(stdout);
  tables_.push_back({table, caption, std::move(columns), {}});
}

void Report::Row(const std::string& name, const std::vector<double>& values) {
  PM_CHECK(!tables_.empty());
  Table& table = tables_.back();
  PM_CHECK(values.size() == table.columns.size());
  absl::PrintF("%-*s", kNameWidth, name);
  for (size_t i = 0; i < values.size(); ++i) {
    const Column& column = table.columns[i];
    if (std::isfinite(values[i])) {
      absl::PrintF("%*.*f", Width(column), column.decimals, values[i]);
    } else {
      absl::PrintF("%*s", Width(column), "-");
    }
  }
  absl::PrintF("\n");
  fflush(stdout);
  table.rows.push_back({name, values});
}

std::string FormatSize(int services, int endpoints) { return absl::StrCat(Grouped(services), " x ", endpoints); }

double Percentile(std::vector<double>& values, double share) {
  PM_CHECK(!values.empty());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace pointsman::bench
