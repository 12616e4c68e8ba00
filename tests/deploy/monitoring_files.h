// SPDX-License-Identifier: Apache-2.0
//
// The files of deploy/monitoring/.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/deploy/monitoring_query.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::deploy {

// --- the dashboard

// What is wrong with it, apart from its queries: references that lead nowhere, panels that say too little.
std::vector<std::string> DashboardProblems(const std::string& text);
std::vector<Query> DashboardQueries(const std::string& text);

// --- the rules

// A file of rules as Prometheus reads it. Without `texts` the annotations are left out.
std::string RulesFile(const std::string& prometheus_rule, bool texts);
std::vector<Query> RuleQueries(const std::string& prometheus_rule);
std::set<std::string> Alerts(const std::string& prometheus_rule);
// Recording rules of these expressions, for promtool to look at.
std::string AsRules(const std::vector<Query>& queries);

// In a file for `promtool test rules`: alerts that are expected, and such that are expected to be silent.
struct Cases {
  std::set<std::string> firing;
  std::set<std::string> silent;
};
Cases AlertCases(const std::string& test_file);

// --- promtool

// promtool ARGS...; the one that ./dev has fetched, or else the system's.
support::ProcessResult Promtool(const std::string& source_dir, const std::vector<std::string>& args,
                                const std::string& stdin_text = "");
// What `promtool check metrics` finds, apart from what is older than its advice: names of kube-proxy's.
std::vector<std::string> LintMetrics(const std::string& source_dir, const std::string& text);

}  // namespace pointsman::deploy
