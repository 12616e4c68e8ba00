// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/access.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/kube/text_file.h"
#include "pointsman/log.h"
#include "pointsman/status.h"

namespace pointsman::kube {
namespace {

constexpr char kHost[] = "KUBERNETES_SERVICE_HOST";
constexpr char kPort[] = "KUBERNETES_SERVICE_PORT";
constexpr char kAccountDirectory[] = "/var/run/secrets/kubernetes.io/serviceaccount";

std::optional<std::string> FromEnvironment(const char* name) {
  const char* const value = getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

absl::StatusOr<Access> ReadKubeconfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (!text.ok()) {
    return Annotate(text.status(), absl::StrCat("kubeconfig ", absl::Utf8SafeCHexEscape(path)));
  }
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, std::max<size_t>(slash, 1));
  return ParseKubeconfig(path, directory, *text);
}

// Kubernetes' own clients do not say who they are where everybody could listen.
void DropCredentialsUnlessTls(Access& access) {
  const auto is_tls = [](const std::string& url) { return absl::StartsWith(url, "https://"); };
  if (std::any_of(access.servers.begin(), access.servers.end(), is_tls)) return;
  Access bare = access;
  bare.client_certificate = bare.client_key = {};
  bare.token.clear();
  bare.token_file.clear();
  bare.username.clear();
  bare.password.clear();
  bare.exec.reset();
  bare.impersonate.clear();
  if (bare == access) return;
  Log(LogLevel::kWarning, "credentials_not_sent",
      {{"access", access.origin},
       {"server", access.servers.front()},
       {"reason", "plain http; use an https:// server"}});
  access = std::move(bare);
}

}  // namespace

absl::StatusOr<Access> AccessOfPod(absl::FunctionRef<std::optional<std::string>(const char*)> environment,
                                   absl::string_view root) {
  const std::string host = environment(kHost).value_or("");
  const std::string port = environment(kPort).value_or("");
  if (host.empty() || port.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this is no pod: ", host.empty() ? kHost : kPort, " is not set in the environment"));
  }
  Access access;
  access.origin = "service account of this pod";
  access.token_file = absl::StrCat(root, kAccountDirectory, "/token");
  access.ca.path = absl::StrCat(root, kAccountDirectory, "/ca.crt");
  const bool is_bare_ipv6 = absl::StrContains(host, ":") && !absl::StartsWith(host, "[");
  const absl::StatusOr<std::string> url =
      ServerUrl(absl::StrCat("https://", is_bare_ipv6 ? "[" : "", host, is_bare_ipv6 ? "]" : "", ":", port), access);
  if (!url.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(kHost, " and ", kPort, ": ", url.status().message()));
  }
  access.servers = {*url};
  if (const auto token = ReadTextFile(access.token_file); !token.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("this pod has no service account: ", token.status().message()));
  }
  if (const auto ca = ReadTextFile(access.ca.path); !ca.ok()) {
    Log(LogLevel::kWarning, "system_trust_used", {{"access", access.origin}, {"reason", ca.status().message()}});
    access.ca = {};
  }
  return access;
}

absl::StatusOr<Access> FindAccess(const std::string& kubeconfig, const std::vector<std::string>& masters) {
  if (kubeconfig.empty() && masters.empty()) {
    absl::StatusOr<Access> pod = AccessOfPod(FromEnvironment);
    if (pod.ok()) return pod;
    return absl::FailedPreconditionError(absl::StrCat(
        "nothing says where the API server is: give a kubeconfig, or run in a pod with a service account (",
        pod.status().message(), ")"));
  }
  Access access;
  access.origin = "the servers given, without credentials";
  if (!kubeconfig.empty()) {
    PM_ASSIGN_OR_RETURN(access, ReadKubeconfig(kubeconfig));
  }
  std::vector<std::string> servers;
  for (const std::string& master : masters) {
    PM_ASSIGN_OR_RETURN(std::string url, ServerUrl(master, access));
    servers.push_back(std::move(url));
  }
  if (!servers.empty()) access.servers = std::move(servers);
  if (access.servers.empty()) {
    absl::StatusOr<Access> pod = AccessOfPod(FromEnvironment);
    if (!pod.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("no server in ", access.origin,
                       ": give it a `current-context` whose cluster has a `server`, or run in a pod with a service "
                       "account (",
                       pod.status().message(), ")"));
    }
    Log(LogLevel::kWarning, "kubeconfig_empty", {{"file", kubeconfig}, {"used", pod->origin}});
    return pod;
  }
  DropCredentialsUnlessTls(access);
  return access;
}

}  // namespace pointsman::kube
