// SPDX-License-Identifier: Apache-2.0
#include "rules/nft/element_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pointsman::nft {
namespace {

struct FieldInfo {
  Field field;
  absl::string_view type;
  absl::string_view type_of;
};

constexpr FieldInfo kFields[] = {
    // The modulus says nothing about the type; nft's own listing keeps whatever was written, and we write 2.
    {Field::kInteger, "integer", "numgen random mod 2"}, {Field::kIpv4Addr, "ipv4_addr", "ip daddr"},
    {Field::kIpv6Addr, "ipv6_addr", "ip6 daddr"},        {Field::kInetProto, "inet_proto", "meta l4proto"},
    {Field::kInetService, "inet_service", "th dport"},   {Field::kMark, "mark", "meta mark"},
};

const FieldInfo* FindField(Field field) {
  const auto* it = std::ranges::find(kFields, field, &FieldInfo::field);
  return it == std::end(kFields) ? nullptr : it;
}

bool IsAddress(Field field) { return field == Field::kIpv4Addr || field == Field::kIpv6Addr; }

// Length of the prefix that low..high is, if it is one.
std::optional<int> PrefixLength(absl::Span<const uint8_t> low, absl::Span<const uint8_t> high) {
  int length = 0;
  size_t i = 0;
  for (; i < low.size() && low[i] == high[i]; ++i) length += 8;
  for (bool first = true; i < low.size(); ++i, first = false) {
    // Past the common part low has only zeros and high only ones; within the first byte, after some equal bits.
    const uint8_t host = low[i] ^ high[i];
    if ((low[i] & host) != 0 || (host & (host + 1)) != 0 || (!first && host != 0xff)) return std::nullopt;
    length += std::countl_zero(host);
  }
  return length;
}

}  // namespace

absl::string_view FamilyWord(Family family) { return family == Family::kIpv4 ? "ip" : "ip6"; }

absl::string_view FieldType(Field field) {
  const FieldInfo* info = FindField(field);
  return info == nullptr ? "unknown" : info->type;
}

absl::string_view FieldTypeof(Field field) {
  const FieldInfo* info = FindField(field);
  return info == nullptr ? "unknown" : info->type_of;
}

absl::string_view VerdictWord(Verdict::Code code) {
  switch (code) {
    case Verdict::Code::kDrop:
      return "drop";
    case Verdict::Code::kAccept:
      return "accept";
    case Verdict::Code::kContinue:
      return "continue";
    case Verdict::Code::kJump:
      return "jump";
    case Verdict::Code::kGoto:
      return "goto";
    case Verdict::Code::kReturn:
      return "return";
  }
  return "";
}

absl::string_view DynsetWord(Dynset::Op op) {
  switch (op) {
    case Dynset::Op::kAdd:
      return "add";
    case Dynset::Op::kUpdate:
      return "update";
    case Dynset::Op::kDelete:
      return "delete";
  }
  return "unknown";
}

bool HasTarget(Verdict::Code code) { return code == Verdict::Code::kJump || code == Verdict::Code::kGoto; }

bool NeedsTypeof(const SetSpec& spec) {
  return std::ranges::count(spec.key, Field::kInteger) + std::ranges::count(spec.data, Field::kInteger) > 0;
}

std::string TypeList(absl::Span<const Field> fields, bool typeof_form) {
  return absl::StrJoin(fields, " . ", [typeof_form](std::string* out, Field field) {
    absl::StrAppend(out, typeof_form ? FieldTypeof(field) : FieldType(field));
  });
}

std::optional<FieldRanges> SplitFields(absl::Span<const Field> fields, absl::Span<const uint8_t> low,
                                       absl::Span<const uint8_t> high) {
  if (high.empty()) high = low;
  if (fields.empty() || high.size() != low.size()) return std::nullopt;
  const bool padded = fields.size() > 1;  // a key of one field has its bare length
  const auto is_zero = [](uint8_t byte) { return byte == 0; };
  FieldRanges out;
  for (const Field field : fields) {
    const size_t length = FieldLength(field);
    if (length == 0) return std::nullopt;  // a datatype we do not know
    const size_t width = padded ? (length + 3) / 4 * 4 : length;
    if (low.size() < width) return std::nullopt;
    if (!std::ranges::all_of(low.first(width).subspan(length), is_zero) ||
        !std::ranges::all_of(high.first(width).subspan(length), is_zero)) {
      return std::nullopt;
    }
    FieldRange range{.field = field, .low = low.first(length), .high = high.first(length)};
    if (IsAddress(field) && !range.single()) range.prefix_length = PrefixLength(range.low, range.high);
    out.push_back(range);
    low.remove_prefix(width);
    high.remove_prefix(width);
  }
  if (!low.empty()) return std::nullopt;
  return out;
}

std::optional<uint32_t> NumberOf(Field field, absl::Span<const uint8_t> bytes, bool numeric) {
  switch (field) {
    case Field::kInteger:
    case Field::kMark: {
      uint32_t value = 0;
      std::memcpy(&value, bytes.data(), sizeof value);
      return value;
    }
    case Field::kInetService:
      return static_cast<uint32_t>(bytes[0] << 8 | bytes[1]);
    case Field::kInetProto:
      // Other names depend on the reader's /etc/protocols.
      if (!numeric && FormatProtocol(static_cast<Protocol>(bytes[0])) != "?") return std::nullopt;
      return bytes[0];
    case Field::kIpv4Addr:
    case Field::kIpv6Addr:
      break;
  }
  return std::nullopt;
}

void AppendValue(Field field, absl::Span<const uint8_t> bytes, bool numeric, std::string& out) {
  if (field == Field::kIpv4Addr) {
    absl::StrAppend(&out, bytes[0], ".", bytes[1], ".");
    absl::StrAppend(&out, bytes[2], ".", bytes[3]);
  } else if (field == Field::kIpv6Addr) {
    // Not FormatIp: here an IPv4-mapped address is an IPv6 address, "::ffff:192.0.2.1".
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    out += text;
  } else if (field == Field::kMark) {
    absl::StrAppend(&out, "0x", absl::Hex(*NumberOf(field, bytes, numeric), absl::kZeroPad8));
  } else if (const std::optional<uint32_t> number = NumberOf(field, bytes, numeric)) {
    absl::StrAppend(&out, *number);
  } else {
    absl::StrAppend(&out, FormatProtocol(static_cast<Protocol>(bytes[0])));
  }
}

std::string DurationText(absl::Duration duration) {
  int64_t left = absl::ToInt64Milliseconds(duration);
  std::string out;
  const auto take = [&](int64_t unit, absl::string_view name) {
    if (left >= unit) absl::StrAppend(&out, left / unit, name);
    left %= unit;
  };
  take(86'400'000, "d");
  take(3'600'000, "h");
  take(60'000, "m");
  take(1'000, "s");
  take(1, "ms");
  return out.empty() ? "0s" : out;
}

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    out += control ? '?' : c == '"' ? '\'' : c;
  }
  return out += '"';
}

std::string HexText(absl::Span<const uint8_t> bytes) {
  return absl::StrCat(
      "0x", absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
}

// Source: std_prios and prio2str() of nft.
std::string PriorityText(const Hook& hook) {
  struct Named {
    int32_t priority;
    absl::string_view name;
    std::optional<Hook::Number> only;  // the one hook the name is used in
  };
  static constexpr Named kNamed[] = {
      {-300, "raw", {}}, {-150, "mangle", {}}, {-100, "dstnat", Hook::Number::kPrerouting},
      {0, "filter", {}}, {50, "security", {}}, {100, "srcnat", Hook::Number::kPostrouting},
  };
  for (const Named& named : kNamed) {
    const int64_t offset = int64_t{hook.priority} - named.priority;
    if (std::abs(offset) > 10 || (named.only && *named.only != hook.number)) continue;
    if (offset == 0) return std::string(named.name);
    return absl::StrCat(named.name, offset > 0 ? " + " : " - ", std::abs(offset));
  }
  return absl::StrCat(hook.priority);
}

}  // namespace pointsman::nft
