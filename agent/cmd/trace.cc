// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd/trace.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "agent/cmd/suggest.h"
#include "pointsman/status.h"

namespace pointsman {
namespace {

constexpr char kNodeWord[] = "node";
constexpr char kDestForm[] = "write ADDRESS:PORT[/PROTOCOL], as in 10.96.0.80:80 or [2001:db8::1]:53/udp";

absl::Status Wrong(const char* what, const std::string& text, absl::string_view remedy) {
  return absl::InvalidArgumentError(absl::StrCat(what, " \"", text, "\": ", remedy));
}

absl::StatusOr<std::optional<IpAddr>> ParseSource(const std::string& text) {
  const std::string word = absl::AsciiStrToLower(text);
  if (word == kNodeWord) return std::nullopt;
  const std::optional<IpAddr> addr = IpAddr::Parse(text);
  if (addr) return addr;
  if (!Nearest(word, {kNodeWord}).empty()) return Wrong("SOURCE", text, "did you mean node?");
  return Wrong("SOURCE", text, "write an address, as in 10.244.1.9 or 2001:db8::9, or node for this node");
}

absl::StatusOr<Protocol> ParseDestProtocol(const std::string& dest, const std::string& word) {
  const std::string lower = absl::AsciiStrToLower(word);
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
    if (lower == FormatProtocol(protocol)) return protocol;
  }
  const std::string near = Nearest(lower, {"tcp", "udp", "sctp"});
  return Wrong(
      "DEST", dest,
      absl::StrCat("unknown protocol ", word,
                   near.empty() ? "; there are tcp, udp and sctp" : absl::StrCat("; did you mean ", near, "?")));
}

absl::StatusOr<SocketAddr> ParseDestAddr(const std::string& dest, absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Wrong("DEST", dest, kDestForm);
  absl::string_view addr_text = text.substr(0, colon);
  const bool bracketed = absl::ConsumePrefix(&addr_text, "[") && absl::ConsumeSuffix(&addr_text, "]");
  const std::optional<IpAddr> addr = IpAddr::Parse(addr_text);
  if (!bracketed && ((addr && addr->family() == Family::kIpv6) || IpAddr::Parse(text))) {
    return Wrong("DEST", dest, "an IPv6 address stands in brackets, as in [2001:db8::1]:80");
  }
  if (!addr || bracketed != (addr->family() == Family::kIpv6)) return Wrong("DEST", dest, kDestForm);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return Wrong("DEST", dest, "a port is a number from 1 to 65535");
  }
  return SocketAddr{*addr, static_cast<uint16_t>(port)};
}

// The address this node sends from, as far as that can be known without asking the routes.
std::optional<IpAddr> PrimaryAddress(const NodeInfo& node, Family family) {
  for (const std::vector<IpAddr>* addresses : {&node.node_port_addresses, &node.local_addresses}) {
    for (const IpAddr& addr : *addresses) {
      if (addr.family() == family && !addr.IsLoopback() && !addr.IsLinkLocal()) return addr;
    }
  }
  return std::nullopt;
}

bool IsOneOf(const std::vector<IpAddr>& addresses, const IpAddr& addr) {
  return std::find(addresses.begin(), addresses.end(), addr) != addresses.end();
}

const Cidr* Around(absl::Span<const Cidr> ranges, const IpAddr& addr) {
  const auto it = std::find_if(ranges.begin(), ranges.end(), [&](const Cidr& range) { return range.Contains(addr); });
  return it == ranges.end() ? nullptr : &*it;
}

void DescribeByInterface(const LocalDetector& pods, TraceReport& report) {
  const Packet& packet = report.packet;
  const bool pod = pods.IsPod(packet.source, packet.in_interface);
  report.sender = pod ? TraceReport::Sender::kPod : TraceReport::Sender::kOutside;
  report.sender_reason =
      absl::StrCat(packet.in_interface.empty() ? "nobody said through which interface it comes in (--in-interface)"
                                               : absl::StrCat("it comes in through ", packet.in_interface),
                   ", pods through ", pods.interface, pods.interface_prefix ? "*" : "");
}

void DescribeSender(const LocalDetector& pods, TraceReport& report) {
  const Packet& packet = report.packet;
  const std::string source = FormatIp(packet.source);
  const Cidr* range = pods.interface.empty() ? Around(pods.cidrs, packet.source) : nullptr;
  if (packet.from_node) {
    report.sender = TraceReport::Sender::kNode;
    report.sender_reason = absl::StrCat(source, " is an address of this node");
    if (range != nullptr) absl::StrAppend(&report.sender_reason, ", and counts as a pod's: ", FormatCidr(*range));
  } else if (!pods.interface.empty()) {
    DescribeByInterface(pods, report);
  } else if (range != nullptr) {
    report.sender = TraceReport::Sender::kPod;
    report.sender_reason = absl::StrCat(source, " is in ", FormatCidr(*range));
  } else if (!pods.Detects(packet.source.family())) {
    report.sender_reason = absl::StrCat(source, " is no address of this node, and nothing says where ",
                                        FormatFamily(packet.source.family()), " pods are (--cluster-cidr)");
  } else {
    std::vector<std::string> ranges;
    for (const Cidr& cidr : pods.cidrs) {
      if (cidr.family() == packet.source.family()) ranges.push_back(FormatCidr(cidr));
    }
    report.sender_reason = absl::StrCat(source, " is no address of this node and not in ", absl::StrJoin(ranges, ", "));
  }
}

std::string DescribeFrontend(const ServicePlan& plan, const Frontend& frontend) {
  std::string text = "an external or load-balancer address";
  if (frontend.node_port) text = "a NodePort";
  if (std::binary_search(plan.cluster_ips.begin(), plan.cluster_ips.end(), frontend.match.dest)) text = "its ClusterIP";
  if (frontend.action.affinity != absl::ZeroDuration()) {
    absl::StrAppend(&text, ", clients stay with their endpoint for ", absl::FormatDuration(frontend.action.affinity));
  }
  return text;
}

void DescribeService(absl::Span<const std::shared_ptr<const ServicePlan>> plans, const Surroundings& around,
                     TraceReport& report) {
  const Packet& packet = report.packet;
  const std::string dest = FormatIp(packet.dest);
  const Match match = {packet.dest, packet.protocol, packet.port};
  for (const auto& plan : plans) {
    for (const PortPlan& port : plan->ports) {
      for (const Frontend& frontend : port.frontends) {
        if (frontend.match != match) continue;
        report.service = FormatServicePort(port.name);
        report.service_detail = DescribeFrontend(*plan, frontend);
        return;
      }
    }
    if (std::binary_search(plan->cluster_ips.begin(), plan->cluster_ips.end(), packet.dest)) {
      report.service_detail = absl::StrCat(dest, " is the ClusterIP of ", plan->service.ns, "/", plan->service.name,
                                           ", which has no such port");
    }
  }
  if (!report.service_detail.empty() || IsOneOf(around.node_addresses, packet.dest)) return;
  if (const Cidr* range = Around(around.service_cidrs, packet.dest)) {
    report.service_detail = absl::StrCat(dest, " is in ", FormatCidr(*range), ", the Services' range, and in no use");
  }
}

}  // namespace

absl::StatusOr<TraceQuery> ParseTraceQuery(const std::string& source, const std::string& dest,
                                           const std::string& in_interface) {
  TraceQuery query{.in_interface = in_interface};
  PM_ASSIGN_OR_RETURN(query.source, ParseSource(source));
  const size_t slash = dest.find('/');
  PM_ASSIGN_OR_RETURN(query.dest, ParseDestAddr(dest, absl::string_view(dest).substr(0, slash)));
  if (slash != std::string::npos) {
    PM_ASSIGN_OR_RETURN(query.protocol, ParseDestProtocol(dest, dest.substr(slash + 1)));
  }
  if (query.source && query.source->family() != query.dest.addr.family()) {
    return absl::InvalidArgumentError(absl::StrCat(source, " is ", FormatFamily(query.source->family()), " and ", dest,
                                                   " is ", FormatFamily(query.dest.addr.family())));
  }
  return query;
}

absl::StatusOr<Packet> MakePacket(const TraceQuery& query, const NodeInfo& node) {
  Packet packet{
      .dest = query.dest.addr, .protocol = query.protocol, .port = query.dest.port, .in_interface = query.in_interface};
  const Family family = query.dest.addr.family();
  const std::optional<IpAddr> source = query.source ? query.source : PrimaryAddress(node, family);
  if (!source) {
    return absl::InvalidArgumentError(
        absl::StrCat("this node has no ", FormatFamily(family), " address to send from: name the source's"));
  }
  packet.source = *source;
  packet.from_node = IsOneOf(node.local_addresses, *source) || IsOneOf(node.node_port_addresses, *source);
  if (packet.from_node && !query.in_interface.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--in-interface ", query.in_interface, ": ", FormatIp(*source),
                     " is an address of this node, and what the node sends comes in through no interface"));
  }
  return packet;
}

absl::StatusOr<TraceReport> ExplainPacket(const Packet& packet,
                                          absl::Span<const std::shared_ptr<const ServicePlan>> plans,
                                          const Surroundings& around, const nft::Ruleset& program,
                                          const absl::StatusOr<nft::Ruleset>& kernel) {
  TraceReport report{.packet = packet};
  DescribeSender(around.policy.pods, report);
  DescribeService(plans, around, report);
  report.plan = Resolve(plans, around, packet);

  PM_ASSIGN_OR_RETURN(nft::Trace desired, nft::TracePacket(program, around.node_addresses, packet));
  report.path = std::move(desired.steps);
  if (!kernel.ok()) {
    report.kernel_state = TraceReport::Kernel::kUnreadable;
    report.kernel_error = std::string(kernel.status().message());
    return report;
  }
  if (kernel->tables.count(packet.dest.family()) == 0) {
    report.kernel_state = TraceReport::Kernel::kEmpty;
    return report;
  }
  nft::Ruleset forgetful = *kernel;
  for (auto& [family, table] : forgetful.tables) {
    for (auto& [name, set] : table.sets) {
      if (set.spec.dynamic) set.elements.clear();
    }
  }
  absl::StatusOr<nft::Trace> live = nft::TracePacket(forgetful, around.node_addresses, packet);
  if (!live.ok()) {
    report.kernel_state = TraceReport::Kernel::kNotUnderstood;
    report.kernel_error = std::string(live.status().message());
    return report;
  }
  report.kernel = live->outcome;
  report.path = std::move(live->steps);
  absl::StatusOr<nft::Trace> remembered = nft::TracePacket(*kernel, around.node_addresses, packet);
  if (remembered.ok() && remembered->outcome != report.kernel) {
    report.remembered = std::move(remembered->outcome);
    report.path = std::move(remembered->steps);
  }
  return report;
}

int ExitStatus(const TraceReport& report) {
  switch (report.kernel_state) {
    case TraceReport::Kernel::kTraced:
    case TraceReport::Kernel::kEmpty:
      return report.kernel == report.plan ? 0 : 1;
    case TraceReport::Kernel::kNotUnderstood:
      return 1;
    case TraceReport::Kernel::kUnreadable:
      break;
  }
  return 2;
}

}  // namespace pointsman
