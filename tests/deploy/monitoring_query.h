// SPDX-License-Identifier: Apache-2.0
//
// What a query wants of a scrape. Enough of PromQL to see that; its syntax is promtool's concern.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace pointsman::deploy {

// By the name of the series, as a query has it (so with _bucket, _sum, _count): values by label.
using Scrape = std::map<std::string, std::map<std::string, std::set<std::string>>>;

// Reads the text exposition format.
Scrape ParseScrape(const std::string& text);

struct Query {
  std::string where;          // for messages
  std::string expr;           // without variables, see WithoutVariables
  std::string template_text;  // what is said about a result: "{{instance}}", "{{ $labels.instance }}"
};

// Grafana's variables replaced by something that could stand for them.
std::string WithoutVariables(const std::string& expr);

// Series, labels and values that the query names and the scrape has not, and labels the text names and the result has
// not. A line for each.
std::vector<std::string> QueryProblems(const Query& query, const Scrape& scrape);

}  // namespace pointsman::deploy
