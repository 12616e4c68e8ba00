// SPDX-License-Identifier: Apache-2.0
//
// Which API server to talk to, and as whom: from a kubeconfig, or from a pod's service account.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "pointsman/diagnostic.h"

namespace pointsman::kube {

// Text that was given, or the file it is in. Files are read again: others rotate them.
struct TextSource {
  std::string text;
  std::string path;  // absolute, or relative to the working directory

  bool empty() const { return text.empty() && path.empty(); }
  friend bool operator==(const TextSource&, const TextSource&) = default;
};

// A credential plug-in. Source: client.authentication.k8s.io/v1 ExecCredential; kubectl's user.exec.
struct ExecPlugin {
  std::string api_version;  // "client.authentication.k8s.io/v1" or ".../v1beta1"
  std::string command;      // a path, or a name to look up in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  // besides our own
  std::string install_hint;
  bool provide_cluster_info = false;

  friend bool operator==(const ExecPlugin&, const ExecPlugin&) = default;
};

struct Access {
  std::string origin;  // for messages: "context admin of /etc/kubeconfig", "service account of this pod"

  std::vector<std::string> servers;  // URLs, at least one; tried in turn; may have a path, no slash at the end
  TextSource ca;                     // PEM; empty: the system's
  std::string tls_server_name;       // to verify, instead of the host
  bool insecure_skip_tls_verify = false;
  std::string proxy_url;  // empty: as the environment says
  bool disable_compression = false;

  TextSource client_certificate;  // PEM
  TextSource client_key;          // PEM
  std::string token;
  std::string token_file;  // goes before `token` once it could be read
  std::string username;
  std::string password;
  std::optional<ExecPlugin> exec;
  // Impersonate-User, -Uid, -Group, -Extra-KEY: complete header lines.
  std::vector<std::string> impersonate;

  friend bool operator==(const Access&, const Access&) = default;
};

// What somebody wrote for a server, as a URL.
//
// Inputs:  "https://192.0.2.1:6443", or without scheme: then it is https if `access` speaks of TLS.
// Errors:  kInvalidArgument: one line that shows the text and says what to write.
absl::StatusOr<std::string> ServerUrl(absl::string_view text, const Access& access);

// Reads a kubeconfig, YAML or JSON.
//
// Inputs:  `file_name` is for messages; relative paths in the text are relative to `directory`.
// Returns: what the current context says. No `current-context`, or a cluster without a server: `servers` is empty.
// Errors:  kInvalidArgument, beginning with file:line:column, and saying what to do. A mistake in a part that is not
//          used is none.
// Source:  k8s.io/client-go tools/clientcmd/api/v1.
absl::StatusOr<Access> ParseKubeconfig(absl::string_view file_name, absl::string_view directory,
                                       absl::string_view text);

// The service account of the pod this runs in, or of a machine laid out like one.
//
// Inputs:  `environment` looks a variable up; nullopt when it is not set. Files are below `root`, which is "" but in
//          tests.
// Errors:  kFailedPrecondition: this is no pod.
absl::StatusOr<Access> AccessOfPod(absl::FunctionRef<std::optional<std::string>(const char*)> environment,
                                   absl::string_view root = "");

// As kube-proxy does: the kubeconfig if one is given, else the pod's service account; `masters`, if any, replace the
// kubeconfig's server, and alone are spoken to without credentials.
//
// Inputs:  `kubeconfig` is a path or empty.
// Errors:  kNotFound: no such file. kFailedPrecondition: nothing says which server; the message says what to give.
absl::StatusOr<Access> FindAccess(const std::string& kubeconfig, const std::vector<std::string>& masters);

}  // namespace pointsman::kube
