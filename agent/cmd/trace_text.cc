// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <nlohmann/json.hpp>

#include "agent/cmd/trace.h"
#include "pointsman/nft_format.h"

namespace pointsman {
namespace {

using Json = nlohmann::ordered_json;
using Deliveries = absl::btree_set<Outcome::Delivery>;

absl::string_view SenderWord(TraceReport::Sender sender) {
  switch (sender) {
    case TraceReport::Sender::kPod:
      return "pod";
    case TraceReport::Sender::kNode:
      return "this node";
    case TraceReport::Sender::kOutside:
      return "outside";
  }
  return "";
}

absl::string_view VerdictWord(Outcome::Verdict verdict) {
  switch (verdict) {
    case Outcome::Verdict::kPass:
      return "pass";
    case Outcome::Verdict::kDeliver:
      return "deliver";
    case Outcome::Verdict::kReject:
      return "reject";
    case Outcome::Verdict::kDrop:
      return "drop";
  }
  return "";
}

absl::string_view SourceWord(bool snat) { return snat ? "masqueraded" : "source kept"; }

void AppendOutcome(absl::string_view label, const Outcome& outcome, std::string& out) {
  absl::StrAppend(&out, label, VerdictWord(outcome.verdict), "\n");
  for (const Outcome::Delivery& delivery : outcome.deliveries) {
    absl::StrAppend(&out, "           ", FormatSocketAddr(delivery.endpoint), "  ", SourceWord(delivery.snat), "\n");
  }
}

void AppendRemembered(const Outcome& outcome, std::string& out) {
  if (outcome.verdict == Outcome::Verdict::kDrop) {
    out += "memory:  the endpoint this client was sent to is gone: one packet is dropped, the next goes elsewhere\n";
  } else {
    AppendOutcome("memory:  the kernel remembers this client: ", outcome, out);
  }
}

std::string Only(absl::string_view whose, const Deliveries& in, const Deliveries& other) {
  std::vector<std::string> words;
  for (const Outcome::Delivery& delivery : in) {
    if (other.contains(delivery)) continue;
    words.push_back(absl::StrCat(FormatSocketAddr(delivery.endpoint), " ", SourceWord(delivery.snat)));
  }
  return words.empty() ? "" : absl::StrCat("the ", whose, " alone has ", absl::StrJoin(words, ", "));
}

// In one line what there is to know, or what to do about it.
std::string Result(const TraceReport& report) {
  switch (report.kernel_state) {
    case TraceReport::Kernel::kUnreadable:
      return "plan and kernel were not compared";
    case TraceReport::Kernel::kNotUnderstood:
      return "plan and kernel differ: the kernel's rules cannot be followed";
    case TraceReport::Kernel::kTraced:
    case TraceReport::Kernel::kEmpty:
      break;
  }
  if (report.plan == report.kernel) return "plan and kernel agree";
  if (report.plan.verdict != report.kernel.verdict) {
    return absl::StrCat("plan and kernel differ: ", VerdictWord(report.plan.verdict), " by the plan, ",
                        VerdictWord(report.kernel.verdict), " by the kernel");
  }
  std::vector<std::string> parts = {Only("plan", report.plan.deliveries, report.kernel.deliveries),
                                    Only("kernel", report.kernel.deliveries, report.plan.deliveries)};
  parts.erase(std::remove(parts.begin(), parts.end(), ""), parts.end());
  return absl::StrCat("plan and kernel differ: ", absl::StrJoin(parts, "; "));
}

// Rules of a chain that stand in a row and did the same, such as repeated draws, are told as one.
struct PathLine {
  const nft::TraceStep* step;
  int last;  // rule
  std::string text;
};

std::vector<PathLine> PathLines(const TraceReport& report) {
  const Family family = report.packet.dest.family();
  std::vector<PathLine> lines;
  for (const nft::TraceStep& step : report.path) {
    nft::Rule rule = step.text;
    rule.comment.clear();
    std::string text = nft::FormatRule(family, rule);
    if (!lines.empty()) {
      PathLine& before = lines.back();
      if (before.step->hook == step.hook && before.step->chain == step.chain && before.last + 1 == step.rule &&
          before.step->effect == step.effect && before.step->comment == step.comment && before.text == text) {
        before.last = step.rule;
        continue;
      }
    }
    lines.push_back({.step = &step, .last = step.rule, .text = std::move(text)});
  }
  return lines;
}

void AppendPath(const TraceReport& report, std::string& out) {
  const bool kernel = report.kernel_state == TraceReport::Kernel::kTraced;
  absl::StrAppend(&out, "path through the rules ", kernel ? "of the kernel:\n" : "the kernel should have:\n");
  for (const PathLine& line : PathLines(report)) {
    const nft::TraceStep& step = *line.step;
    absl::StrAppend(&out, "  ", step.hook, " ", step.chain, " ", step.rule);
    if (line.last != step.rule) absl::StrAppend(&out, "-", line.last);
    absl::StrAppend(&out, ": ", line.text, "\n");
    const bool said = absl::EndsWith(line.text, step.effect);  // by the rule itself
    if (said && step.comment.empty()) continue;
    absl::StrAppend(&out, "      ", step.effect, step.comment.empty() ? "" : "  # ", step.comment, "\n");
  }
  const Outcome& end = kernel ? report.kernel : report.plan;
  if (end.verdict == Outcome::Verdict::kPass) out += "  no rule decides: the packet goes on as it is\n";
}

Json OutcomeJson(const Outcome& outcome) {
  Json deliveries = Json::array();
  for (const Outcome::Delivery& delivery : outcome.deliveries) {
    deliveries.push_back({{"endpoint", FormatSocketAddr(delivery.endpoint)}, {"snat", delivery.snat}});
  }
  return {{"verdict", VerdictWord(outcome.verdict)}, {"deliveries", std::move(deliveries)}};
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

std::string FormatTraceText(const TraceReport& report) {
  const Packet& packet = report.packet;
  std::string out = absl::StrCat("packet:  ", FormatIp(packet.source), " -> ",
                                 FormatMatch({packet.dest, packet.protocol, packet.port}));
  if (!packet.in_interface.empty()) absl::StrAppend(&out, " through ", packet.in_interface);
  absl::StrAppend(&out, "\nsender:  ", SenderWord(report.sender), ": ", report.sender_reason, "\n");
  absl::StrAppend(&out, "service: ", report.service.empty() ? "no Service" : report.service);
  if (!report.service_detail.empty()) absl::StrAppend(&out, " (", report.service_detail, ")");
  out += "\n\n";
  AppendOutcome("plan:    ", report.plan, out);
  switch (report.kernel_state) {
    case TraceReport::Kernel::kTraced:
      AppendOutcome("kernel:  ", report.kernel, out);
      if (report.remembered) AppendRemembered(*report.remembered, out);
      break;
    case TraceReport::Kernel::kEmpty:
      AppendOutcome("kernel:  has no table of pointsman: ", report.kernel, out);
      break;
    case TraceReport::Kernel::kNotUnderstood:
      absl::StrAppend(&out, "kernel:  cannot be followed: ", report.kernel_error, "\n");
      break;
    case TraceReport::Kernel::kUnreadable:
      absl::StrAppend(&out, "kernel:  cannot be read: ", report.kernel_error, "\n");
      break;
  }
  out += "\n";
  AppendPath(report, out);
  absl::StrAppend(&out, "\nresult:  ", Result(report), "\n");
  return out;
}

std::string FormatTraceJson(const TraceReport& report) {
  const Packet& packet = report.packet;
  const bool known =
      report.kernel_state == TraceReport::Kernel::kTraced || report.kernel_state == TraceReport::Kernel::kEmpty;
  Json path = Json::array();
  for (const nft::TraceStep& step : report.path) {
    path.push_back({{"hook", step.hook},
                    {"chain", step.chain},
                    {"rule", step.rule},
                    {"text", nft::FormatRule(packet.dest.family(), step.text)},
                    {"effect", step.effect},
                    {"comment", TextOrNull(step.comment)}});
  }
  const int exit_status = ExitStatus(report);
  const Json object = {
      {"packet",
       {{"source", FormatIp(packet.source)},
        {"dest", FormatIp(packet.dest)},
        {"port", packet.port},
        {"protocol", FormatProtocol(packet.protocol)},
        {"in_interface", TextOrNull(packet.in_interface)}}},
      {"sender", {{"kind", SenderWord(report.sender)}, {"reason", report.sender_reason}}},
      {"service", TextOrNull(report.service)},
      {"service_detail", TextOrNull(report.service_detail)},
      {"plan", OutcomeJson(report.plan)},
      {"kernel", known ? OutcomeJson(report.kernel) : Json(nullptr)},
      {"remembered", report.remembered ? OutcomeJson(*report.remembered) : Json(nullptr)},
      {"kernel_error", TextOrNull(report.kernel_error)},
      {"path_of", report.kernel_state == TraceReport::Kernel::kTraced ? "kernel" : "program"},
      {"path", std::move(path)},
      {"agree", exit_status == 2 ? Json(nullptr) : Json(exit_status == 0)},
  };
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pointsman
