#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang_format.sh ROOT: fails, naming the places, if a C++ file is not formatted as .clang-format says.
set -eu
cd "$1"
find agent bench examples include netlink rules tests \( -name '*.h' -o -name '*.cc' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
