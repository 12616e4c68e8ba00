// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "pointsman/status.h"
#include "tests/scenario/scenario.h"
#include "tests/support/txtar.h"

namespace pointsman::scenario {
namespace {

using Words = std::vector<std::string>;

absl::Status Wrong(absl::string_view text) { return absl::InvalidArgumentError(text); }

// A line without its comment, in words, and the comment.
struct Line {
  int number = 0;
  Words words;
  std::string comment;
};

// The lines of `section` that say something. Numbers are those of the whole file.
std::vector<Line> LinesOf(const std::string& text, const std::string& section) {
  std::vector<Line> lines;
  std::string current;
  int number = 0;
  for (absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StartsWith(raw, "-- ") && absl::EndsWith(raw, " --")) {
      current = std::string(raw.substr(3, raw.size() - 6));
      continue;
    }
    if (current != section) continue;
    Line line{.number = number};
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(raw, absl::MaxSplits('#', 1));
    line.words = absl::StrSplit(parts.first, absl::ByAnyChar(" \t"), absl::SkipWhitespace());
    line.comment = std::string(absl::StripAsciiWhitespace(parts.second));
    if (!line.words.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

IpAddr Next(const IpAddr& addr) {
  std::vector<uint8_t> bytes(addr.bytes().begin(), addr.bytes().end());
  for (size_t i = bytes.size(); i-- > 0;) {
    if (++bytes[i] != 0) break;
  }
  return IpAddr::FromBytes(bytes);
}

// "192.0.2.1", "192.0.2.1+40" (that many, one after the other), "-" (none).
absl::StatusOr<std::vector<IpAddr>> ParseAddresses(const std::string& text, Family family) {
  if (text == "-") return std::vector<IpAddr>();
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('+', 1));
  int count = 1;
  if (absl::StrContains(text, '+') && (!absl::SimpleAtoi(parts.second, &count) || count < 1 || count > 200)) {
    return Wrong(absl::StrCat("\"", parts.second, "\" is not a number of addresses from 1 to 200"));
  }
  const std::optional<IpAddr> first = IpAddr::Parse(parts.first);
  if (!first || first->family() != family) {
    return Wrong(absl::StrCat("\"", parts.first, "\" is not an ", FormatFamily(family), " address"));
  }
  std::vector<IpAddr> addresses = {*first};
  while (addresses.size() < static_cast<size_t>(count)) addresses.push_back(Next(addresses.back()));
  return addresses;
}

absl::StatusOr<absl::btree_map<Family, std::vector<IpAddr>>> ParsePair(const std::string& v4, const std::string& v6) {
  absl::btree_map<Family, std::vector<IpAddr>> pair;
  for (const Family family : kFamilies) {
    PM_ASSIGN_OR_RETURN(std::vector<IpAddr> addresses, ParseAddresses(family == Family::kIpv4 ? v4 : v6, family));
    if (!addresses.empty()) pair[family] = std::move(addresses);
  }
  if (pair.empty()) return Wrong("neither an IPv4 nor an IPv6 address");
  return pair;
}

absl::StatusOr<absl::btree_map<Family, IpAddr>> ParseSinglePair(const std::string& v4, const std::string& v6) {
  PM_ASSIGN_OR_RETURN(const auto pair, ParsePair(v4, v6));
  absl::btree_map<Family, IpAddr> single;
  for (const auto& [family, addresses] : pair) {
    if (addresses.size() != 1) return Wrong("one address is enough here");
    single[family] = addresses.front();
  }
  return single;
}

absl::Status Arguments(const Words& words, size_t count, absl::string_view form) {
  if (words.size() != count + 1) return Wrong(absl::StrCat("write: ", words[0], " ", form));
  return absl::OkStatus();
}

absl::Status NewName(const BedPlan& bed, const std::string& name) {
  const bool alias =
      std::any_of(bed.aliases.begin(), bed.aliases.end(), [&](const Alias& a) { return a.name == name; });
  if (name == "localhost" || bed.Find(name) != nullptr || alias) return Wrong(absl::StrCat(name, " is taken"));
  return absl::OkStatus();
}

absl::Status ParseBedLine(const Words& words, BedPlan& bed) {
  static const auto& kinds = *new std::map<std::string, HostKind>{{"node", HostKind::kNode},
                                                                  {"router", HostKind::kRouter},
                                                                  {"client", HostKind::kClient},
                                                                  {"world", HostKind::kWorld}};
  const std::string& verb = words[0];
  if (const auto kind = kinds.find(verb); kind != kinds.end()) {
    PM_RETURN_IF_ERROR(Arguments(words, 3, "NAME ADDR4 ADDR6"));
    PM_RETURN_IF_ERROR(NewName(bed, words[1]));
    Host host{.name = words[1], .kind = kind->second};
    PM_ASSIGN_OR_RETURN(host.addresses, ParsePair(words[2], words[3]));
    for (const auto& [family, addresses] : host.addresses) {
      if (addresses.size() != 1 && host.kind != HostKind::kClient) return Wrong("only clients have several addresses");
    }
    bed.hosts.push_back(std::move(host));
    return absl::OkStatus();
  }
  if (verb == "pod") {
    PM_RETURN_IF_ERROR(Arguments(words, 4, "NAME NODE ADDR4 ADDR6"));
    PM_RETURN_IF_ERROR(NewName(bed, words[1]));
    const Host* on = bed.Find(words[2]);
    if (on == nullptr || (on->kind != HostKind::kNode && on->kind != HostKind::kRouter)) {
      return Wrong(absl::StrCat(words[2], " is neither the node nor a router"));
    }
    Host host{.name = words[1], .kind = HostKind::kPod, .on = words[2]};
    PM_ASSIGN_OR_RETURN(host.addresses, ParsePair(words[3], words[4]));
    bed.hosts.push_back(std::move(host));
    return absl::OkStatus();
  }
  if (verb == "second" || verb == "loopback") {
    PM_RETURN_IF_ERROR(Arguments(words, 3, "NAME ADDR4 ADDR6"));
    PM_RETURN_IF_ERROR(NewName(bed, words[1]));
    Alias alias{.name = words[1], .loopback = verb == "loopback"};
    PM_ASSIGN_OR_RETURN(alias.addresses, ParseSinglePair(words[2], words[3]));
    bed.aliases.push_back(std::move(alias));
    return absl::OkStatus();
  }
  if (verb == "gateway") {
    PM_RETURN_IF_ERROR(Arguments(words, 2, "ADDR4 ADDR6"));
    PM_ASSIGN_OR_RETURN(bed.gateway, ParseSinglePair(words[1], words[2]));
    return absl::OkStatus();
  }
  if (verb == "bridge") {
    PM_RETURN_IF_ERROR(Arguments(words, 1, "NAME"));
    bed.bridge = words[1];
    return absl::OkStatus();
  }
  if (verb == "sysctl") {
    PM_RETURN_IF_ERROR(Arguments(words, 3, "HOST NAME VALUE"));
    if (bed.Find(words[1]) == nullptr) return Wrong(absl::StrCat("there is no host ", words[1]));
    bed.sysctls.push_back({words[1], words[2], words[3]});
    return absl::OkStatus();
  }
  return Wrong(absl::StrCat("\"", verb, "\" is no word of a bed"));
}

absl::Status CheckBed(const BedPlan& bed) {
  const auto count = [&](HostKind kind) {
    return std::count_if(bed.hosts.begin(), bed.hosts.end(), [&](const Host& h) { return h.kind == kind; });
  };
  if (count(HostKind::kNode) != 1) return Wrong("a bed has exactly one node");
  if (count(HostKind::kWorld) != 1) return Wrong("a bed has exactly one world");
  for (const Host& host : bed.hosts) {
    for (const auto& [family, addresses] : host.addresses) {
      if (bed.node().Address(family) == nullptr) {
        return Wrong(absl::StrCat(host.name, " has an ", FormatFamily(family), " address, the node has none"));
      }
      if (host.on == bed.node().name && bed.gateway.count(family) == 0) return Wrong("pods of the node need a gateway");
    }
  }
  return absl::OkStatus();
}

const std::array<absl::string_view, 4> kWires = {"tcp", "udp", "sctp", "icmp"};
const std::array<absl::string_view, 5> kPlaces = {"cluster", "external", "vip", "nodeport", "health"};

absl::StatusOr<uint16_t> ParsePort(absl::string_view text) {
  int port = 0;
  if (!absl::SimpleAtoi(text, &port) || port < 1 || port > 65535)
    return Wrong(absl::StrCat("\"", text, "\" is no port"));
  return static_cast<uint16_t>(port);
}

absl::StatusOr<Address> ParseAddress(const std::string& text) {
  Address address{.text = text};
  std::string rest = text;
  // The protocols, if the last part names some.
  if (const size_t slash = rest.rfind('/'); slash != std::string::npos) {
    const std::vector<std::string> names = absl::StrSplit(rest.substr(slash + 1), '+');
    if (std::all_of(names.begin(), names.end(),
                    [](const std::string& n) { return std::count(kWires.begin(), kWires.end(), n) != 0; })) {
      address.protocols = names;
      rest = rest.substr(0, slash);
    }
  }
  // The port. IPv6 addresses are in brackets when they have one.
  const size_t bracket = rest.rfind(']');
  const size_t colon = rest.rfind(':');
  const bool bare_ipv6 = bracket == std::string::npos && std::count(rest.begin(), rest.end(), ':') > 1;
  if (colon != std::string::npos && !bare_ipv6 && (bracket == std::string::npos || colon > bracket)) {
    PM_ASSIGN_OR_RETURN(address.port, ParsePort(absl::string_view(rest).substr(colon + 1)));
    rest = rest.substr(0, colon);
  }
  if (absl::StartsWith(rest, "[") && absl::EndsWith(rest, "]")) rest = rest.substr(1, rest.size() - 2);
  // The place.
  if (const size_t slash = rest.find('/'); slash != std::string::npos) {
    std::string place = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (const size_t at = place.find('@'); at != std::string::npos) {
      address.at = place.substr(at + 1);
      place = place.substr(0, at);
    }
    if (!place.empty() && place.back() >= '2' && place.back() <= '9') {
      address.index = place.back() - '1';
      place.pop_back();
    }
    if (std::count(kPlaces.begin(), kPlaces.end(), place) == 0) {
      return Wrong(absl::StrCat("\"", place, "\" in ", text, " is none of ", absl::StrJoin(kPlaces, " ")));
    }
    if (!address.at.empty() && place != "nodeport" && place != "health") return Wrong(absl::StrCat("no @ in ", text));
    if (address.index != 0 && place != "external" && place != "vip") return Wrong(absl::StrCat("no number in ", text));
    address.kind = place;
  }
  address.object = rest;
  if (rest.empty()) return Wrong(absl::StrCat("\"", text, "\" is no address"));
  return address;
}

absl::StatusOr<Sender> ParseSender(const BedPlan& bed, const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('@', 1));
  Sender sender{.host = parts.first};
  if (bed.Find(sender.host) == nullptr) return Wrong(absl::StrCat("there is no host ", sender.host));
  if (!parts.second.empty()) {
    PM_ASSIGN_OR_RETURN(sender.as, ParseAddress(parts.second));
  }
  return sender;
}

std::optional<Source> ParseSource(absl::string_view text) {
  if (text == "kept") return Source::kKept;
  if (text == "masq") return Source::kMasq;
  if (text == "primary") return Source::kPrimary;
  return std::nullopt;
}

absl::StatusOr<std::vector<EndpointText>> ParseSet(const BedPlan& bed, absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "{") || !absl::ConsumeSuffix(&text, "}")) {
    return Wrong(absl::StrCat("\"", text, "\" is no set; no blanks inside the braces"));
  }
  std::vector<EndpointText> endpoints;
  for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    EndpointText endpoint;
    if (const size_t equals = item.find('='); equals != absl::string_view::npos) {
      endpoint.source = ParseSource(item.substr(equals + 1));
      if (!endpoint.source)
        return Wrong(absl::StrCat("\"", item.substr(equals + 1), "\" is not kept, masq or primary"));
      item = item.substr(0, equals);
    }
    endpoint.lost = absl::ConsumeSuffix(&item, "~");
    if (const size_t colon = item.find(':'); colon != absl::string_view::npos) {
      PM_ASSIGN_OR_RETURN(endpoint.port, ParsePort(item.substr(colon + 1)));
      item = item.substr(0, colon);
    }
    endpoint.host = std::string(item);
    if (bed.Find(endpoint.host) == nullptr) return Wrong(absl::StrCat("there is no host ", endpoint.host));
    endpoints.push_back(std::move(endpoint));
  }
  if (endpoints.empty()) return Wrong("an empty set: write reject or drop");
  return endpoints;
}

absl::StatusOr<Expectation> ParseExpectation(const BedPlan& bed, const Line& line, size_t begin) {
  static const auto& verdicts = *new std::map<std::string, Verdict>{
      {"reject", Verdict::kReject}, {"drop", Verdict::kDrop}, {"routed", Verdict::kRouted}, {"host", Verdict::kHost}};
  static const auto& asks = *new std::map<std::string, Ask>{
      {"sticky", Ask::kSticky}, {"fresh", Ask::kFresh}, {"changed", Ask::kChanged}, {"spread", Ask::kSpread}};
  Expectation expect{.why = line.comment};
  if (begin >= line.words.size()) return Wrong("nothing is expected");
  const std::string& first = line.words[begin];
  if (const auto verdict = verdicts.find(first); verdict != verdicts.end()) {
    expect.verdict = verdict->second;
  } else if (absl::StartsWith(first, "local=")) {
    expect.verdict = Verdict::kHealth;
    if (!absl::SimpleAtoi(first.substr(6), &expect.count)) return Wrong(absl::StrCat("\"", first, "\" is no number"));
  } else {
    PM_ASSIGN_OR_RETURN(expect.endpoints, ParseSet(bed, first));
  }
  for (size_t i = begin + 1; i < line.words.size(); ++i) {
    const std::string& word = line.words[i];
    const auto ask = asks.find(word);
    if (ParseSource(word)) {
      expect.source = ParseSource(word);
    } else if (ask != asks.end()) {
      expect.ask = ask->second;
    } else if (word == "v4") {
      expect.family = Family::kIpv4;
    } else if (word == "v6") {
      expect.family = Family::kIpv6;
    } else if (word == "soon") {
      expect.soon = true;
    } else if (word == "plan-only") {
      expect.where = Where::kPlanOnly;
    } else if (word == "packets-only") {
      expect.where = Where::kPacketsOnly;
    } else if (word.size() > 1 && word[0] == 'x' && absl::SimpleAtoi(word.substr(1), &expect.times) &&
               expect.times > 1 && expect.verdict != Verdict::kDeliver) {
    } else {
      return Wrong(absl::StrCat("\"", word, "\" is no word after an expectation"));
    }
  }
  if (expect.where != Where::kEverywhere && expect.why.empty()) return Wrong("say why, after a #");
  if (expect.verdict != Verdict::kDeliver && (expect.source || expect.ask != Ask::kEvery)) {
    return Wrong("only a set has a source, or a way of asking");
  }
  for (const EndpointText& endpoint : expect.endpoints) {
    if (!endpoint.source && !expect.source) return Wrong("kept or masq?");
  }
  return expect;
}

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  absl::Duration time;
  if (!absl::ParseDuration(text, &time) || time <= absl::ZeroDuration() || time > absl::Seconds(10)) {
    return Wrong(absl::StrCat("\"", text, "\" is no time up to 10s"));
  }
  return time;
}

using What = decltype(Step::what);

absl::StatusOr<What> ParseFlow(const BedPlan& bed, const Words& words) {
  if (words.size() < 5 || words[3] != "->") return Wrong("write: flow NAME FROM -> TO [v4|v6]");
  Flow flow{.name = words[1]};
  PM_ASSIGN_OR_RETURN(flow.from, ParseSender(bed, words[2]));
  PM_ASSIGN_OR_RETURN(flow.to, ParseAddress(words[4]));
  if (words.size() == 6 && (words[5] == "v4" || words[5] == "v6")) {
    flow.family = words[5] == "v4" ? Family::kIpv4 : Family::kIpv6;
  } else if (words.size() > 5) {
    return Wrong(absl::StrCat("\"", words[5], "\" is no word after a flow"));
  }
  return flow;
}

absl::StatusOr<What> ParseRow(const BedPlan& bed, const Line& line) {
  const Words& words = line.words;
  if (words.size() < 5 || words[2] != "->") {
    return Wrong(absl::StrCat("\"", words[0], "\" is no verb, and this is no row: ID FROM -> TO EXPECTED"));
  }
  Row row{.id = words[0]};
  for (absl::string_view text : absl::StrSplit(words[1], ',')) {
    PM_ASSIGN_OR_RETURN(Sender sender, ParseSender(bed, std::string(text)));
    row.from.push_back(std::move(sender));
  }
  for (absl::string_view text : absl::StrSplit(words[3], ',')) {
    PM_ASSIGN_OR_RETURN(Address to, ParseAddress(std::string(text)));
    row.to.push_back(std::move(to));
  }
  PM_ASSIGN_OR_RETURN(row.expect, ParseExpectation(bed, line, 4));
  if (row.expect.soon) return Wrong("soon is for flows; new connections follow the rules at once");
  return row;
}

absl::StatusOr<What> ParseStep(const Case& scenario, const Line& line, std::set<std::string>& flows) {
  const Words& words = line.words;
  const std::string& verb = words[0];
  if (verb == "apply") {
    PM_RETURN_IF_ERROR(Arguments(words, 1, "FILE"));
    if (!scenario.clusters.contains(words[1])) return Wrong(absl::StrCat("there is no ", words[1]));
    return Apply{words[1]};
  }
  if (verb == "wait") {
    PM_RETURN_IF_ERROR(Arguments(words, 1, "TIME"));
    PM_ASSIGN_OR_RETURN(const absl::Duration time, ParseDuration(words[1]));
    return Wait{time};
  }
  if (verb == "restart" || verb == "stop" || verb == "start" || verb == "firewall") {
    PM_RETURN_IF_ERROR(Arguments(words, 0, ""));
    if (verb == "restart") return Restart{};
    if (verb == "stop") return Stop{};
    if (verb == "start") return Start{};
    return Firewall{};
  }
  if (verb == "flow") {
    if (words.size() > 1 && !flows.insert(words[1]).second) return Wrong(absl::StrCat("flow ", words[1], " is there"));
    return ParseFlow(scenario.bed, words);
  }
  if (verb == "ask") {
    if (words.size() < 4) return Wrong("write: ask ID FLOW EXPECTED");
    if (!flows.contains(words[2])) return Wrong(absl::StrCat("there is no flow ", words[2]));
    AskFlow ask{.id = words[1], .flow = words[2]};
    PM_ASSIGN_OR_RETURN(ask.expect, ParseExpectation(scenario.bed, line, 3));
    if (ask.expect.ask != Ask::kEvery || ask.expect.where != Where::kEverywhere || ask.expect.times != 1) {
      return Wrong("a flow is asked once, with packets only, without further words");
    }
    return ask;
  }
  if (verb == "notrun") {
    PM_RETURN_IF_ERROR(Arguments(words, 1, "ID  # WHY"));
    if (line.comment.empty()) return Wrong("say why, after a #");
    return NotRun{words[1], line.comment};
  }
  return ParseRow(scenario.bed, line);
}

}  // namespace

absl::StatusOr<Case> ParseCase(const std::string& path, const std::string& text) {
  const support::Txtar archive = support::ParseTxtar(text);
  Case scenario{.path = path, .description = archive.description};
  scenario.name = std::string(absl::StripSuffix(path.substr(path.rfind('/') + 1), ".txtar"));
  const auto at = [&](int line, const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", status.message()));
  };
  for (const auto& [name, content] : archive.files) {
    if (absl::StartsWith(name, "cluster") && absl::EndsWith(name, ".yaml")) {
      scenario.clusters[name] = content;
    } else if (name != "bed" && name != "settings" && name != "rows") {
      return at(1, Wrong(absl::StrCat("\"", name, "\" is no section")));
    }
  }
  if (!scenario.clusters.contains("cluster.yaml")) return at(1, Wrong("there is no section cluster.yaml"));

  for (const Line& line : LinesOf(text, "bed")) {
    if (const absl::Status status = ParseBedLine(line.words, scenario.bed); !status.ok())
      return at(line.number, status);
  }
  if (const absl::Status status = CheckBed(scenario.bed); !status.ok()) return at(1, status);
  scenario.settings = archive.file("settings");
  scenario.flags = support::FlagsOf(scenario.settings);
  std::set<std::string> flows;
  for (const Line& line : LinesOf(text, "rows")) {
    absl::StatusOr<What> what = ParseStep(scenario, line, flows);
    if (!what.ok()) return at(line.number, what.status());
    scenario.steps.push_back({line.number, *std::move(what)});
  }
  if (scenario.steps.empty()) return at(1, Wrong("there are no rows"));
  return scenario;
}

}  // namespace pointsman::scenario
