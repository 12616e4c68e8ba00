// SPDX-License-Identifier: Apache-2.0
#include "tests/deploy/monitoring_files.h"

#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

namespace pointsman::deploy {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

// Names after each `$` in the text, "${name}" and "$name"; not those that Grafana itself knows.
void AddVariables(const std::string& text, std::set<std::string>& to) {
  for (size_t at = text.find('$'); at != std::string::npos; at = text.find('$', at + 1)) {
    size_t begin = at + 1;
    if (begin < text.size() && text[begin] == '{') ++begin;
    size_t end = begin;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) ++end;
    const std::string name = text.substr(begin, end - begin);
    if (!absl::StartsWith(name, "__")) to.insert(name);
  }
}
void AddVariables(const json& value, std::set<std::string>& to) {
  if (value.is_string()) AddVariables(value.get<std::string>(), to);
  if (!value.is_structured()) return;
  for (const auto& item : value) AddVariables(item, to);
}

}  // namespace

std::vector<std::string> DashboardProblems(const std::string& text) {
  const json dashboard = json::parse(text, nullptr, false);
  if (dashboard.is_discarded()) return {"is no JSON"};
  std::vector<std::string> problems;
  const auto problem = [&](const std::string& where, const std::string& what) {
    problems.push_back(absl::StrCat(where, ": ", what));
  };
  if (Text(dashboard, "uid") != "pointsman") problem("dashboard", "another uid");
  if (Text(dashboard, "title") != "Pointsman") problem("dashboard", "another title");

  std::set<std::string> defined;
  for (const json& variable : dashboard["templating"]["list"]) defined.insert(Text(variable, "name"));
  std::set<std::string> used;
  AddVariables(dashboard, used);
  for (const std::string& name : used) {
    if (!defined.contains(name)) problem("dashboard", absl::StrCat("no variable ", name));
  }
  for (const std::string& name : defined) {
    if (!used.contains(name)) problem("dashboard", absl::StrCat("variable ", name, " is not used"));
  }

  std::set<int> ids;
  std::map<std::pair<int, int>, std::string> taken;  // places on the grid
  for (const json& panel : dashboard["panels"]) {
    const std::string title = Text(panel, "title");
    const std::string where = absl::StrCat("panel ", title);
    if (title.empty()) problem(where, "no title");
    if (!ids.insert(panel.value("id", 0)).second) problem(where, "another panel has its id");
    const json at = panel.value("gridPos", json::object());
    for (int x = at.value("x", 0); x < at.value("x", 0) + at.value("w", 0); ++x) {
      for (int y = at.value("y", 0); y < at.value("y", 0) + at.value("h", 0); ++y) {
        const auto [other, free] = taken.try_emplace({x, y}, title);
        if (!free) problem(where, absl::StrCat("lies over ", other->second));
        if (x >= 24) problem(where, "is beyond the edge");
      }
    }
    if (Text(panel, "type") == "row") continue;
    if (Text(panel, "description").empty()) problem(where, "no description");
    if (Text(panel["fieldConfig"]["defaults"], "unit").empty()) problem(where, "no unit");
    if (Text(panel["datasource"], "uid") != "${datasource}") problem(where, "another data source");
    if (panel["targets"].empty()) problem(where, "no query");
    std::set<std::string> refs;
    for (const json& target : panel["targets"]) {
      if (!refs.insert(Text(target, "refId")).second) problem(where, "two queries with one refId");
    }
  }
  return problems;
}

std::vector<Query> DashboardQueries(const std::string& text) {
  const json dashboard = json::parse(text);
  std::vector<Query> queries;
  for (const json& panel : dashboard["panels"]) {
    if (!panel.contains("targets")) continue;
    for (const json& target : panel["targets"]) {
      queries.push_back({absl::StrCat("panel ", Text(panel, "title"), ", query ", Text(target, "refId")),
                         WithoutVariables(Text(target, "expr")), Text(target, "legendFormat")});
    }
  }
  for (const json& annotation : dashboard["annotations"]["list"]) {
    queries.push_back({absl::StrCat("annotation ", Text(annotation, "name")),
                       WithoutVariables(Text(annotation, "expr")), Text(annotation, "textFormat")});
  }
  for (const json& variable : dashboard["templating"]["list"]) {
    // label_values(SERIES, LABEL): the series, grouped by the label.
    const std::string definition = Text(variable, "definition");
    const std::vector<std::string> words = absl::StrSplit(definition, absl::ByAnyChar("(, )"), absl::SkipEmpty());
    if (words.size() != 3) continue;
    queries.push_back({absl::StrCat("variable ", Text(variable, "name")),
                       absl::StrCat("count by (", words[2], ") (", words[1], ")"), ""});
  }
  return queries;
}

std::string RulesFile(const std::string& prometheus_rule, bool texts) {
  const YAML::Node spec = YAML::Load(prometheus_rule)["spec"];
  if (!texts) {
    for (YAML::Node group : spec["groups"]) {
      for (YAML::Node rule : group["rules"]) rule.remove("annotations");
    }
  }
  return YAML::Dump(spec);
}

std::vector<Query> RuleQueries(const std::string& prometheus_rule) {
  std::vector<Query> queries;
  for (const YAML::Node& group : YAML::Load(prometheus_rule)["spec"]["groups"]) {
    for (const YAML::Node& rule : group["rules"]) {
      Query query = {rule["alert"].as<std::string>(), rule["expr"].as<std::string>(), ""};
      for (const auto& annotation : rule["annotations"]) {
        absl::StrAppend(&query.template_text, annotation.second.as<std::string>());
      }
      queries.push_back(std::move(query));
    }
  }
  return queries;
}

std::set<std::string> Alerts(const std::string& prometheus_rule) {
  std::set<std::string> names;
  for (const Query& query : RuleQueries(prometheus_rule)) names.insert(query.where);
  return names;
}

std::string AsRules(const std::vector<Query>& queries) {
  YAML::Node rules;
  for (const Query& query : queries) {
    YAML::Node rule;
    rule["record"] = absl::StrCat("checked:query_", rules.size());
    rule["expr"] = query.expr;
    rules.push_back(rule);
  }
  YAML::Node group;
  group["name"] = "dashboard";
  group["rules"] = rules;
  YAML::Node file;
  file["groups"].push_back(group);
  return YAML::Dump(file);
}

Cases AlertCases(const std::string& test_file) {
  Cases cases;
  for (const YAML::Node& test : YAML::Load(test_file)["tests"]) {
    for (const YAML::Node& expectation : test["alert_rule_test"]) {
      const bool fires = expectation["exp_alerts"] && expectation["exp_alerts"].size() > 0;
      (fires ? cases.firing : cases.silent).insert(expectation["alertname"].as<std::string>());
    }
  }
  return cases;
}

support::ProcessResult Promtool(const std::string& source_dir, const std::vector<std::string>& args,
                                const std::string& stdin_text) {
  const std::string fetched = source_dir + "/build/tools/usr/bin/promtool";
  std::vector<std::string> command = {std::filesystem::exists(fetched) ? fetched : "promtool"};
  command.insert(command.end(), args.begin(), args.end());
  support::NetNs ns("promtool");  // it has nothing to ask anybody
  return support::RunProcess(ns, command, {.stdin_text = stdin_text});
}

std::vector<std::string> LintMetrics(const std::string& source_dir, const std::string& text) {
  static const auto& older = *new std::set<std::string>{
      "kubeproxy_sync_proxy_rules_no_local_endpoints_total non-counter metrics should not have \"_total\" suffix",
  };
  const support::ProcessResult result = Promtool(source_dir, {"check", "metrics"}, text);
  std::vector<std::string> problems;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(result.err, '\n', absl::SkipEmpty()))) {
    if (!older.contains(line)) problems.push_back(line);
  }
  for (const std::string& line : older) {
    const std::string name = line.substr(0, line.find(' '));
    if (absl::StrContains(text, name) && !absl::StrContains(result.err, line)) problems.push_back("not said: " + line);
  }
  // 3: there is something to say, and nothing that it could not read.
  if (result.exit_code != 0 && result.exit_code != 3) problems.push_back(absl::StrCat("exit ", result.exit_code));
  return problems;
}

}  // namespace pointsman::deploy
