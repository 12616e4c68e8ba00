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

const char* FormatHook(Hook::Number number) {
  switch (number) {
    case Hook::Number::kPrerouting:
      return "prerouting";
    case Hook::Number::kInput:
      return "input";
    case Hook::Number::kForward:
      return "forward";
    case Hook::Number::kOutput:
      return "output";
    case Hook::Number::kPostrouting:
      return "postrouting";
  }
  return "unknown";
}

}  // namespace pointsman::nft
