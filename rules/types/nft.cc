// SPDX-License-Identifier: Apache-2.0
#include "pointsman/nft.h"

namespace pointsman::nft {

uint32_t FieldLength(Field field) {
  switch (field) {
    case Field::kInteger:
    case Field::kIpv4Addr:
    case Field::kMark:
      return 4;
    case Field::kIpv6Addr:
      return 16;
    case Field::kInetProto:
      return 1;
    case Field::kInetService:
      return 2;
  }
  return 0;
}

}  // namespace pointsman::nft
