// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/options/kube_proxy_configuration.h"

namespace pointsman::options {

// What kube-proxy has no word for. Flags only; `--pointsman.NAME` where the name could come to mean something else
// there.
struct OwnSettings {
  std::vector<std::string> manifests;  // --manifests: where the objects come from, instead of an API server
  std::string allocate_from;           // --allocate-from
  std::string service_cidr;            // --service-cidr
  bool close_unranged_vips = false;    // --pointsman.close-unranged-vips
  bool clean_tcp = false;              // --pointsman.clean-tcp
  uint32_t affinity_size = 262144;     // --pointsman.affinity-size
  bool take_over = false;              // --pointsman.take-over: remove what kube-proxy has left, once ours is in
                                       // place. The default on its own command lines
  bool ip_forward = false;             // --pointsman.ip-forward: turn forwarding on; without it, only warn
  bool strict_config = false;          // --pointsman.strict-config: unknown and duplicate fields end the start

  friend bool operator==(const OwnSettings&, const OwnSettings&) = default;
};

// Where a value came from.
enum class Origin { kDefault, kFile, kFlag };

// One thing the user should know about what was given: a flag that a file overrides, a field that has no meaning here,
// an unknown field. One line each in the log at the start.
struct Remark {
  enum class Kind {
    kIgnored,    // has no effect here, and why
    kOverruled,  // a flag beside --config
    kUnknown,    // unknown or duplicate field, unknown feature gate
  };
  Kind kind = Kind::kIgnored;
  std::string where;  // "FILE:LINE:COLUMN", or "--flag"
  std::string what;   // field path, or flag
  std::string why;

  friend bool operator==(const Remark&, const Remark&) = default;
};

// What is asked of this one start. No part of the configuration.
struct Invocation {
  bool cleanup = false;         // --cleanup
  bool init_only = false;       // --init-only
  std::string write_config_to;  // --write-config-to
  int32_t healthz_port = 10256;
  int32_t metrics_port = 10249;
  std::vector<std::string> machine_id_files;  // without use here
  std::vector<std::string> boot_id_files;

  friend bool operator==(const Invocation&, const Invocation&) = default;
};

// The effective configuration.
struct Settings {
  KubeProxyConfiguration proxy;
  OwnSettings own;
  Invocation invocation;
  std::vector<std::string> masters;       // --master
  std::string config_file;                // --config; empty: none
  std::map<std::string, Origin> origins;  // by field path ("conntrack.maxPerCore") or own flag's name; absent: default
  std::map<std::string, std::string> places;  // the same: "FILE:LINE:COLUMN" or "--flag"; items too ("a.b[1]")
  std::vector<Remark> remarks;

  Origin OriginOf(const std::string& path) const {
    const auto it = origins.find(path);
    return it == origins.end() ? Origin::kDefault : it->second;
  }
};

}  // namespace pointsman::options
