// SPDX-License-Identifier: Apache-2.0
//
// The bytes of keys and data, and the small words of nft's language, as text. Shared by the text and the JSON form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "pointsman/nft.h"

namespace pointsman::nft {

absl::string_view FamilyWord(Family family);        // "ip" | "ip6"
absl::string_view FieldType(Field field);           // "inet_service", as `type` names it
absl::string_view FieldTypeof(Field field);         // "th dport": an expression of that type, as `typeof` wants it
absl::string_view VerdictWord(Verdict::Code code);  // empty for a code we do not know
bool HasTarget(Verdict::Code code);                 // jump and goto
absl::string_view DynsetWord(Dynset::Op op);

// Whether nft can only be told this type with `typeof`: the width of an integer is not in its name.
bool NeedsTypeof(const SetSpec& spec);

// "ipv4_addr . inet_proto", or with `typeof_form` "ip daddr . meta l4proto".
std::string TypeList(absl::Span<const Field> fields, bool typeof_form = false);

// One field of a key: a value, or the values from `low` to `high`.
struct FieldRange {
  Field field;
  absl::Span<const uint8_t> low;
  absl::Span<const uint8_t> high;    // equal to `low` for a single value
  std::optional<int> prefix_length;  // set when low..high is a prefix of addresses, shorter than a whole address

  bool single() const { return low == high; }
};
using FieldRanges = absl::InlinedVector<FieldRange, 6>;

// Splits `low`, and `high` unless it is empty, into fields. The spans point into the arguments.
// Returns: nullopt if the bytes do not fit `fields`; padding that is not zero does not fit.
std::optional<FieldRanges> SplitFields(absl::Span<const Field> fields, absl::Span<const uint8_t> low,
                                       absl::Span<const uint8_t> high = {});

// Bytes of one field, unpadded. `numeric` prints protocols as numbers, as nft does at the ends of a range.
void AppendValue(Field field, absl::Span<const uint8_t> bytes, bool numeric, std::string& out);
// The same as a number, where nft's JSON has a number.
std::optional<uint32_t> NumberOf(Field field, absl::Span<const uint8_t> bytes, bool numeric);

// "1d2h3m4s500ms"
std::string DurationText(absl::Duration duration);

// `text` between quotes, fit to be read again: nft has no escapes, so a quote becomes an apostrophe and a control
// character a question mark. Comments we write hold neither.
std::string Quoted(absl::string_view text);

// "0x0a000001", for what cannot be shown better.
std::string HexText(absl::Span<const uint8_t> bytes);

// Priority as nft prints it for `ip` and `ip6`: "dstnat", "filter + 5", "-100".
std::string PriorityText(const Hook& hook);

}  // namespace pointsman::nft
