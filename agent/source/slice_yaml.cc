// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "agent/source/api_names.h"
#include "agent/source/manifest_kinds.h"

namespace pointsman {
namespace {

constexpr char kSkipped[] = "this EndpointSlice is skipped";

// An API server stores a missing name as the empty one.
std::optional<SlicePort> ReadPort(const YamlField& entry) {
  const int errors = entry.report().errors();
  SlicePort port;
  port.name = ReadPortName(entry["name"]).value_or("");
  port.protocol = entry["protocol"].OneOf<Protocol>(kProtocolNames).value_or(Protocol::kTcp);
  if (const std::optional<int> number = entry["port"].Number(1, kMaxPort)) port.port = static_cast<uint16_t>(*number);
  return entry.report().errors() == errors ? std::optional(std::move(port)) : std::nullopt;
}

std::vector<std::string> ReadHints(const YamlField& list) {
  std::vector<std::string> names;
  for (const YamlField& item : list.Items()) {
    if (std::optional<std::string> name = item.Map()["name"].Required().Text()) names.push_back(*std::move(name));
  }
  return names;
}

std::optional<SliceEndpoint> ReadEndpoint(const YamlField& entry) {
  const int errors = entry.report().errors();
  SliceEndpoint endpoint;
  const YamlField addresses = entry["addresses"].Required();
  const std::vector<std::string> texts = addresses.Texts();
  endpoint.addresses.assign(texts.begin(), texts.end());
  if (entry.report().errors() == errors && endpoint.addresses.empty()) addresses.Error("is empty");
  const YamlField conditions = entry["conditions"].Map();
  endpoint.ready = conditions["ready"].Bool().value_or(true);
  endpoint.serving = conditions["serving"].Bool().value_or(true);
  endpoint.terminating = conditions["terminating"].Bool().value_or(false);
  if (entry.report().errors() != errors) return std::nullopt;
  endpoint.node_name = entry["nodeName"].Costing("this endpoint counts as remote").Text();
  const YamlField hints = entry["hints"].Costing("this hint is ignored").Map();
  endpoint.zone_hints = ReadHints(hints["forZones"]);
  endpoint.node_hints = ReadHints(hints["forNodes"]);
  return endpoint;
}

}  // namespace

std::optional<EndpointSlice> ReadEndpointSlice(const YamlField& root) {
  std::optional<ObjectMeta> meta = ReadMeta(root, Kind::kEndpointSlice);
  if (!meta) return std::nullopt;
  EndpointSlice slice;
  slice.meta = *std::move(meta);
  const auto type = root["addressType"].Costing(kSkipped).Required().OneOf<std::optional<Family>>(kAddressTypeNames);
  if (!type) return std::nullopt;
  slice.address_type = *type;

  const auto service = slice.meta.labels.find(kServiceNameLabel);
  if (service == slice.meta.labels.end() || service->second.empty()) {
    root["metadata"]["labels"]
        .Costing("no Service uses it")
        .Warn(absl::StrCat("there is no label ", kServiceNameLabel),
              absl::StrCat("name the Service: `", kServiceNameLabel, ": NAME`"));
  }
  for (const YamlField& item : root["ports"].Costing("this EndpointSlice has no ports").Items()) {
    const YamlField entry = item.Costing("this port is skipped").Required().Map();
    if (!entry.present()) continue;
    if (std::optional<SlicePort> port = ReadPort(entry)) slice.ports.push_back(*std::move(port));
  }
  for (const YamlField& item : root["endpoints"].Costing("this EndpointSlice has no endpoints").Items()) {
    const YamlField entry = item.Costing("this endpoint is skipped").Required().Map();
    if (!entry.present()) continue;
    if (std::optional<SliceEndpoint> endpoint = ReadEndpoint(entry)) slice.endpoints.push_back(*std::move(endpoint));
  }
  return slice;
}

}  // namespace pointsman
