// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "pointsman/net.h"
#include "pointsman/nft.h"

struct nftnl_rule;

namespace pointsman::nl {

// More than any one expression takes as attributes; the largest hold a name.
inline constexpr size_t kExprReserve = 768;

// kInternal unless `name` can be the name of a `kind`: not empty, not too long for the kernel, without NUL.
absl::Status CheckName(absl::string_view kind, const std::string& name);

// Appends `expr` to `rule`:
//
//   NFTA_RULE_EXPRESSIONS { NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA { NFTA_<name>_* } } ... }
//
// Errors:  kInternal for what the kernel would refuse or misunderstand; the rule is of no use then.
absl::Status EncodeExpr(Family family, const nft::Expr& expr, nftnl_rule& rule);

}  // namespace pointsman::nl
