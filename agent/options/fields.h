// SPDX-License-Identifier: Apache-2.0
//
// The one table of all settings: every field of KubeProxyConfiguration, every flag of kube-proxy, and our own flags.
// Command line, file, help and listings are made from it.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "agent/options/settings.h"
#include "agent/options/value.h"

namespace pointsman::options {

// As the help arranges the flags.
enum class Group { kSources, kProgram, kNode, kServing, kIgnored };

struct Field {
  absl::string_view path;                // in the file: "conntrack.maxPerCore"; empty: there are only flags
  std::vector<absl::string_view> flags;  // without dashes, the usual one first; one flag may set several fields
  Slot slot;
  Group group = Group::kProgram;
  absl::string_view type;     // as the help calls a value: "CIDR,..."
  absl::string_view help;     // of the flag; empty where another field of the same flag has it
  absl::string_view ignored;  // why it has no effect here; empty: it has one
  // A zero in the file is the same as nothing, as with kube-proxy; kubeadm writes such zeros.
  bool zero_is_default = false;
  absl::string_view flag_default;  // without --config, where that is not the file's default
  bool commas = true;              // a list: one flag may give several
};

// In the order of the help.
const std::vector<Field>& Fields();

// Null: there is none.
const Field* FindField(absl::string_view path);

struct Flag {
  absl::string_view name;
  std::vector<const Field*> fields;  // at least one

  bool IsBool() const { return std::holds_alternative<Place<bool>>(fields.front()->slot); }
  // It counts beside --config too: what the file has no word for, the node's name and what concerns the log.
  bool BeatsFile() const;
};

const std::vector<Flag>& AllFlags();
const Flag* FindFlag(absl::string_view name);

// Where a value was given, "FILE:LINE:COLUMN" or "--flag"; of what is inside one, the place of that if need be.
std::string PlaceOf(const Settings& settings, absl::string_view path);

// "conntrack.min" or, of what is not in the file, "--take-over".
std::string NameOf(const Field& field);

}  // namespace pointsman::options
