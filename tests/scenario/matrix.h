// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "tests/scenario/report.h"

namespace pointsman::scenario {

// What all cases of a test program came to.
inline Report& TheReport() {
  static auto& report = *new Report;
  return report;
}

// Prints it at the end, and fails if one of `columns` was not tried at all.
class Matrix : public ::testing::Environment {
 public:
  explicit Matrix(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void TearDown() override {
    const std::string text = TheReport().Text();
    std::fprintf(stdout, "%s", text.c_str());
    if (const char* path = std::getenv("PM_SCENARIO_REPORT")) std::ofstream(path) << text;
    for (const Column column : columns_) EXPECT_GT(TheReport().Ran(column), 0) << "no row was tried";
  }

 private:
  const std::vector<Column> columns_;
};

}  // namespace pointsman::scenario
