// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pointsman/nft_program.h"

namespace pointsman::nft {

// The history of a Service that held `fragment`, which must outlive it.
class FragmentHistory final : public History {
 public:
  explicit FragmentHistory(const Fragment& fragment) : fragment_(fragment) {}
  const ElementValue* Find(Family family, const char* set, const Bytes& key) const override;

 private:
  const Fragment& fragment_;
};

}  // namespace pointsman::nft
