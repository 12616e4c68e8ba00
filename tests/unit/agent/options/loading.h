// SPDX-License-Identifier: Apache-2.0
//
// Settings of a command line, and files that are not on disk.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#include "agent/options/command_line.h"
#include "agent/options/render.h"
#include "pointsman/diagnostic.h"

namespace pointsman::options {

inline constexpr char kHeader[] = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

// "f.conf" has nothing but its header.
inline Loaded Load(const std::vector<std::string>& args, std::map<std::string, std::string> files = {}) {
  files.emplace("f.conf", kHeader);
  const absl::StatusOr<CommandLine> line = SplitCommandLine(args);
  if (!line.ok()) return {.settings = {}, .errors = {{.problem = std::string(line.status().message())}}};
  return LoadSettings(*line, [&](const std::string& path) -> absl::StatusOr<std::string> {
    const auto file = files.find(path);
    if (file == files.end()) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    return file->second;
  });
}

// With this behind the header of f.conf.
inline Loaded LoadFile(const std::string& text, std::vector<std::string> flags = {}) {
  std::vector<std::string> args = {"kube-proxy", "--config=f.conf"};
  args.insert(args.end(), flags.begin(), flags.end());
  return Load(args, {{"f.conf", kHeader + text}});
}

inline std::vector<std::string> Lines(const Diagnostics& diagnostics) {
  std::vector<std::string> lines;
  for (const Diagnostic& d : diagnostics) lines.push_back(FormatDiagnostic(d));
  return lines;
}

// But what is said of every mode other than nftables.
inline std::vector<std::string> Lines(const std::vector<Remark>& remarks) {
  std::vector<std::string> lines;
  for (const Remark& remark : remarks) {
    if (!remark.what.starts_with("mode ")) lines.push_back(FormatRemark(remark));
  }
  return lines;
}

}  // namespace pointsman::options
