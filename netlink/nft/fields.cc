// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/fields.h"

#include <algorithm>

namespace pointsman::nl {
namespace {

// `concat_subtype_id` in nft's include/datatype.h.
constexpr uint32_t kBitsPerField = 6;
constexpr uint32_t kFieldMask = (1 << kBitsPerField) - 1;

}  // namespace

uint32_t TypeId(const std::vector<nft::Field>& fields) {
  uint32_t id = 0;
  for (const nft::Field field : fields) id = id << kBitsPerField | (static_cast<uint32_t>(field) & kFieldMask);
  return id;
}

std::vector<nft::Field> FieldsOf(uint32_t type_id) {
  std::vector<nft::Field> fields;
  for (; type_id != 0; type_id >>= kBitsPerField) fields.push_back(static_cast<nft::Field>(type_id & kFieldMask));
  std::reverse(fields.begin(), fields.end());
  return fields;
}

uint32_t FieldsBytes(const std::vector<nft::Field>& fields) {
  if (fields.size() == 1) return nft::FieldLength(fields.front());
  uint32_t length = 0;
  for (const nft::Field field : fields) {
    const uint32_t bytes = nft::FieldLength(field);
    if (bytes == 0) return 0;
    length += (bytes + 3) / 4 * 4;
  }
  return length;
}

}  // namespace pointsman::nl
