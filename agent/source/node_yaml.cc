// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "agent/source/manifest_kinds.h"

namespace pointsman {
namespace {

// A Node that was asked to go has the time of that.
bool IsDeleting(const YamlField& root) {
  const YamlField deletion = root["metadata"]["deletionTimestamp"].Costing("the Node counts as staying");
  const std::optional<std::string> text = deletion.Text();
  if (!text) return false;
  absl::Time ignored;
  if (absl::ParseTime(absl::RFC3339_full, *text, &ignored, nullptr)) return true;
  deletion.Error(absl::StrCat(QuoteForUser(*text), " is no time"), "write it like 2024-01-31T12:00:00Z");
  return false;
}

}  // namespace

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
  for (const YamlField& item : spec["taints"].Costing("this Node has no taints").Items()) {
    const YamlField entry = item.Costing("this taint is skipped").Required().Map();
    if (!entry.present()) continue;
    if (std::optional<std::string> key = entry["key"].Required().Text()) node.taints.push_back(*std::move(key));
  }
  node.deleting = IsDeleting(root);
  const YamlField status = root["status"].Costing("this Node has no addresses").Map();
  for (const YamlField& item : status["addresses"].Items()) {
    const YamlField entry = item.Costing("this address is skipped").Required().Map();
    const std::optional<std::string> type = entry["type"].Text();
    if (type != "InternalIP" && type != "ExternalIP") continue;
    std::vector<std::string>& ips = type == "InternalIP" ? node.internal_ips : node.external_ips;
    if (std::optional<std::string> ip = entry["address"].Required().Text()) ips.push_back(*std::move(ip));
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
