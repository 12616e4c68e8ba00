// SPDX-License-Identifier: Apache-2.0
//
// The rows of the table, for the file that puts them together.
#pragma once

#include <vector>

#include "agent/options/fields.h"

namespace pointsman::options {

std::vector<Field> UsedFields();
std::vector<Field> IgnoredFields();

using Kpc = KubeProxyConfiguration;

// The member that a chain of member pointers leads to.
template <auto... Members>
constexpr auto kAt = +[](Settings& settings) -> auto& {
  return (settings.*....*Members);
};
template <auto... Members>
constexpr auto kProxy = kAt<&Settings::proxy, Members...>;
template <auto... Members>
constexpr auto kOwn = kAt<&Settings::own, Members...>;
template <auto... Members>
constexpr auto kStart = kAt<&Settings::invocation, Members...>;

}  // namespace pointsman::options
