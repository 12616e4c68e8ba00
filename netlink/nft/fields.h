// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "pointsman/nft.h"

namespace pointsman::nl {

// A key or data type as the kernel keeps it for user space (NFTA_SET_KEY_TYPE, NFTA_SET_DATA_TYPE): the datatypes of
// the fields, six bits each, the first one uppermost. So five fields are all there can be.
inline constexpr size_t kMaxFields = 5;
uint32_t TypeId(const std::vector<nft::Field>& fields);
// The reverse. Datatypes that nft.h does not name come back as their number.
std::vector<nft::Field> FieldsOf(uint32_t type_id);

// Length of a key or of data made of `fields`: in a concatenation each is padded to four bytes, alone it is not.
// Zero if there is a field of unknown length.
uint32_t FieldsBytes(const std::vector<nft::Field>& fields);

}  // namespace pointsman::nl
