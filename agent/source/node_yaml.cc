// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "agent/source/manifest_kinds.h"

namespace pointsman {

std::optional<Node> ReadNode(const YamlField& root) {
  std::optional<ObjectMeta> meta = ReadMeta(root, Kind::kNode);
  if (!meta) return std::nullopt;
  Node node;
  node.meta = *std::move(meta);
  const YamlField spec = root["spec"].Costing("this Node has no pod ranges").Map();
  node.pod_cidrs = spec["podCIDRs"].Texts();
  if (node.pod_cidrs.empty()) {
    if (std::optional<std::string> single = spec["podCIDR"].Text(); single && !single->empty()) {
      node.pod_cidrs.push_back(*std::move(single));
    }
  }
  const YamlField status = root["status"].Costing("this Node has no addresses").Map();
  for (const YamlField& item : status["addresses"].Items()) {
    const YamlField entry = item.Costing("this address is skipped").Required().Map();
    if (entry["type"].Text() != "InternalIP") continue;
    if (std::optional<std::string> ip = entry["address"].Required().Text()) node.internal_ips.push_back(*std::move(ip));
  }
  return node;
}

std::optional<ServiceCidr> ReadServiceCidr(const YamlField& root) {
  std::optional<ObjectMeta> meta = ReadMeta(root, Kind::kServiceCidr);
  if (!meta) return std::nullopt;
  ServiceCidr cidr;
  cidr.meta = *std::move(meta);
  cidr.cidrs = root["spec"].Costing("this range is ignored").Map()["cidrs"].Required().Texts();
  return cidr;
}

}  // namespace pointsman
