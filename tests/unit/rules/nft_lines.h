// SPDX-License-Identifier: Apache-2.0
//
// Elements and ops as short lines, for comparison in tests. Of the layout of this directory's subject only; nothing
// here depends on the formatter proper.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "pointsman/nft_program.h"

namespace pointsman::support {

// Takes a key apart from the front.
class KeyReader {
 public:
  KeyReader(Family family, const nft::Bytes& key) : length_(family == Family::kIpv4 ? 4 : 16), key_(key) {}

  IpAddr Addr() { return IpAddr::FromBytes(Next(length_)); }
  Match Frontend() {
    Match match{.dest = Addr()};
    match.protocol = static_cast<Protocol>(Next(4)[0]);
    match.port = Port();
    return match;
  }
  uint16_t Port() {
    const absl::Span<const uint8_t> bytes = Next(4);
    return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
  }
  uint32_t Slot() {
    uint32_t slot = 0;
    std::memcpy(&slot, Next(4).data(), 4);
    return slot;
  }

 private:
  absl::Span<const uint8_t> Next(size_t n) {
    const absl::Span<const uint8_t> bytes = absl::MakeConstSpan(key_).subspan(at_, n);
    at_ += n;
    return bytes;
  }
  const size_t length_;
  const nft::Bytes& key_;
  size_t at_ = 0;
};

// "192.0.2.1:80/tcp #0 = 203.0.113.1:8080", `192.0.2.1:80/tcp > pick_2 "ns/web"`, "192.0.2.1:80/tcp
// from 10.0.0.0-10.0.0.255".
inline std::string ElementLine(Family family, const std::string& set, const nft::Element& element) {
  KeyReader key(family, element.key);
  std::string line;
  if (set == "hairpin" || set == "pod_cidrs" || set == "service_cidrs") {
    line = FormatIp(key.Addr());
    if (!element.value.end->empty())
      absl::StrAppend(&line, "-", FormatIp(KeyReader(family, *element.value.end).Addr()));
  } else {
    line = FormatMatch(key.Frontend());
    if (set == "endpoints" || set == "endpoints_local") absl::StrAppend(&line, " #", key.Slot());
    if (set == "fw_sources") {
      KeyReader end(family, *element.value.end);
      end.Frontend();
      absl::StrAppend(&line, " from ", FormatIp(key.Addr()), "-", FormatIp(end.Addr()));
    }
  }
  if (const auto* verdict = std::get_if<nft::Verdict>(&element.value.data))
    absl::StrAppend(&line, " > ", *verdict->chain);
  if (const auto* data = std::get_if<nft::Bytes>(&element.value.data)) {
    KeyReader target(family, *data);
    const IpAddr addr = target.Addr();
    absl::StrAppend(&line, " = ", FormatSocketAddr({addr, target.Port()}));
  }
  if (!element.value.comment->empty()) absl::StrAppend(&line, " \"", *element.value.comment, "\"");
  return line;
}

inline std::vector<std::string> ElementLines(const std::vector<nft::SetElement>& elements) {
  std::vector<std::string> lines;
  for (const nft::SetElement& e : elements)
    lines.push_back(absl::StrCat(e.set, " ", ElementLine(e.family, e.set, e.element)));
  return lines;
}

// One line an op, one more an element: "add chain pick_2", "add rule pick_2 (3)" with the number of its expressions,
// "delete endpoints …". The family is left out of IPv4's.
inline std::vector<std::string> OpLines(const nft::ChangeSet& changes) {
  struct Lines {
    std::vector<std::string> out;
    void Add(Family family, std::string line) {
      out.push_back(family == Family::kIpv4 ? std::move(line) : absl::StrCat("ip6 ", line));
    }
    void operator()(const nft::AddTable& op) { Add(op.family, "add table"); }
    void operator()(const nft::DeleteTable& op) { Add(op.family, "delete table"); }
    void operator()(const nft::AddChain& op) { Add(op.family, absl::StrCat("add chain ", op.name)); }
    void operator()(const nft::FlushChain& op) { Add(op.family, absl::StrCat("flush chain ", op.name)); }
    void operator()(const nft::DeleteChain& op) { Add(op.family, absl::StrCat("delete chain ", op.name)); }
    void operator()(const nft::AddRule& op) {
      Add(op.family, absl::StrCat("add rule ", op.chain, " (", op.rule.exprs.size(), ")"));
    }
    void operator()(const nft::AddSet& op) { Add(op.family, absl::StrCat("add set ", op.name)); }
    void operator()(const nft::FlushSet& op) { Add(op.family, absl::StrCat("flush set ", op.name)); }
    void operator()(const nft::DeleteSet& op) { Add(op.family, absl::StrCat("delete set ", op.name)); }
    void operator()(const nft::AddElements& op) {
      for (const nft::Element& e : op.elements) {
        Add(op.family, absl::StrCat("add ", op.set, " ", ElementLine(op.family, op.set, e)));
      }
    }
    void operator()(const nft::DeleteElements& op) {
      for (const nft::Element& e : op.elements) {
        Add(op.family, absl::StrCat("delete ", op.set, " ", ElementLine(op.family, op.set, e)));
      }
    }
  };
  Lines lines;
  for (const nft::Op& op : changes) std::visit(lines, op);
  return std::move(lines.out);
}

}  // namespace pointsman::support
