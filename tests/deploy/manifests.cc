// SPDX-License-Identifier: Apache-2.0
#include "tests/deploy/manifests.h"

#include <filesystem>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include <yaml-cpp/yaml.h>

#include "tests/deploy/schema.h"
#include "tests/support/files.h"

namespace pointsman::deploy {
namespace {

constexpr char kDaemonSet[] = "deploy/daemon-set/daemon-set.yaml";
constexpr char kSetup[] = "deploy/components/node-setup/init-container.yaml";
constexpr char kConfigMap[] = "deploy/config-map.yaml";
constexpr char kBinding[] = "deploy/cluster-role-binding.yaml";
constexpr char kAccount[] = "deploy/service-account.yaml";

std::string Text(const YAML::Node& node) { return node && node.IsScalar() ? node.Scalar() : ""; }

class Check {
 public:
  Check(const Files& files, const std::string& version) : version_(version) {
    for (const auto& [path, text] : files) {
      if (absl::EndsWith(path, ".yaml")) objects_[path] = YAML::Load(text);
      files_.insert(path);
    }
  }

  std::vector<std::string> Run() {
    for (const char* path : {kDaemonSet, kSetup, kConfigMap, kBinding, kAccount}) {
      if (!objects_.contains(path)) Problem(path, "is missing");
    }
    if (!problems_.empty()) return problems_;  // what follows builds on it
    Schemas();
    References();
    Workload();
    Configuration();
    Rights();
    Security();
    return problems_;
  }

 private:
  void Problem(const std::string& path, const std::string& what) {
    problems_.push_back(absl::StrCat(path, ": ", what));
  }
  // Unless `a` is `b`.
  void Equal(const std::string& path, const std::string& what, const std::string& a, const std::string& b) {
    if (a != b) Problem(path, absl::StrCat(what, " is `", a, "`, not `", b, "`"));
  }

  void Schemas() {
    std::set<std::string> patches;
    for (const auto& [path, object] : objects_) {
      for (const auto& patch : object["patches"]) {
        if (patch["path"]) patches.insert(Resolve(path, Text(patch["path"])));
      }
    }
    for (const auto& [path, object] : objects_) {
      for (const std::string& problem : SchemaProblems(object, patches.contains(path))) Problem(path, problem);
    }
  }

  // Kustomizations name what is there, and nothing is there that none of them names.
  void References() {
    std::set<std::string> used = {"deploy/kustomization.yaml", "deploy/kubeadm/kustomization.yaml"};
    for (const auto& [path, object] : objects_) {
      std::vector<std::string> names;
      for (const auto& name : object["resources"]) names.push_back(Text(name));
      for (const auto& name : object["components"]) names.push_back(Text(name));
      for (const auto& patch : object["patches"]) {
        if (patch["path"]) names.push_back(Text(patch["path"]));
      }
      for (const auto& generator : object["configMapGenerator"]) {
        for (const auto& file : generator["files"]) {
          const std::string name = Text(file).substr(Text(file).find('=') + 1);
          if (!files_.contains(Resolve(path, name))) Problem(path, absl::StrCat("`", name, "` does not exist"));
        }
      }
      for (const std::string& name : names) {
        std::string target = Resolve(path, name);
        if (!objects_.contains(target)) target += "/kustomization.yaml";
        if (!objects_.contains(target)) Problem(path, absl::StrCat("`", name, "` does not exist"));
        used.insert(target);
      }
    }
    for (const auto& [path, object] : objects_) {
      const bool optional =
          absl::StartsWith(path, "deploy/components/") || absl::StartsWith(path, "deploy/monitoring/");
      if (!optional && !used.contains(path)) Problem(path, "no kustomization names it");
    }
  }

  void Workload() {
    const YAML::Node& spec = objects_[kDaemonSet]["spec"];
    for (const auto& label : spec["selector"]["matchLabels"]) {
      Equal(kDaemonSet, absl::StrCat("label ", Text(label.first)),
            Text(spec["template"]["metadata"]["labels"][Text(label.first)]), Text(label.second));
    }
    std::set<std::string> volumes;
    for (const auto& volume : Pod()["volumes"]) volumes.insert(Text(volume["name"]));
    const std::string version = absl::StrCat("pointsman:", version_);
    for (const auto& [path, container] : Containers()) {
      Equal(path, "the image", Text(container["image"]), version);
      for (const auto& mount : container["volumeMounts"]) {
        if (!volumes.contains(Text(mount["name"]))) {
          Problem(path, absl::StrCat("volume `", Text(mount["name"]), "` is mounted, but there is none"));
        }
      }
      std::set<std::string> variables;
      for (const auto& variable : container["env"]) variables.insert(Text(variable["name"]));
      for (const auto& word : container["command"]) {
        const std::string text = Text(word);
        const size_t begin = text.find("$(");
        if (begin == std::string::npos) continue;
        const std::string name = text.substr(begin + 2, text.find(')') - begin - 2);
        if (!variables.contains(name)) Problem(path, absl::StrCat("$(", name, ") is not in `env`"));
      }
    }
    // The objects of kubeadm are replaced, and the selector of a DaemonSet is for ever.
    Equal(kDaemonSet, "the name", Text(objects_[kDaemonSet]["metadata"]["name"]), "kube-proxy");
    Equal(kDaemonSet, "the namespace", Text(objects_[kDaemonSet]["metadata"]["namespace"]), "kube-system");
    Equal(kDaemonSet, "the selector", Text(spec["selector"]["matchLabels"]["k8s-app"]), "kube-proxy");
  }

  void Configuration() {
    const YAML::Node map = objects_[kConfigMap];
    const std::string name = Text(map["metadata"]["name"]);
    for (const auto& volume : Pod()["volumes"]) {
      if (volume["configMap"]) Equal(kDaemonSet, "the ConfigMap", Text(volume["configMap"]["name"]), name);
    }
    const YAML::Node data = map["data"];
    std::string config_text;
    for (const auto& [path, container] : Containers()) {
      const std::optional<std::string> config = Flag(container, "--config=");
      const std::optional<std::string> key = config ? Key(container, *config) : std::nullopt;
      if (!key || !data[*key]) {
        Problem(path, absl::StrCat("--config=", config.value_or(""), " is not in the ConfigMap"));
        continue;
      }
      config_text = Text(data[*key]);
      const std::string kubeconfig = Text(YAML::Load(config_text)["clientConnection"]["kubeconfig"]);
      const std::optional<std::string> kubeconfig_key = Key(container, kubeconfig);
      if (!kubeconfig_key || !data[*kubeconfig_key]) {
        Problem(kConfigMap, absl::StrCat("kubeconfig ", kubeconfig, " is not in the ConfigMap"));
      } else {
        Kubeconfig(YAML::Load(Text(data[*kubeconfig_key])));
      }
    }
    if (config_text.empty()) return;
    const YAML::Node config = YAML::Load(config_text);
    Equal(kConfigMap, "config.conf: kind", Text(config["kind"]), "KubeProxyConfiguration");
    Equal(kConfigMap, "config.conf: apiVersion", Text(config["apiVersion"]), "kubeproxy.config.k8s.io/v1alpha1");
    Equal(kConfigMap, "config.conf: mode", Text(config["mode"]), "nftables");
    const std::string port = PortOf(Text(config["healthzBindAddress"]));
    const YAML::Node container = Pod()["containers"][0];
    for (const auto& [probe, endpoint] : std::map<std::string, std::string>{
             {"startupProbe", "/livez"}, {"livenessProbe", "/livez"}, {"readinessProbe", "/readyz"}}) {
      const YAML::Node get = container[probe]["httpGet"];
      Equal(kDaemonSet, probe + "'s port", Text(get["port"]), port);
      Equal(kDaemonSet, probe + "'s path", Text(get["path"]), endpoint);
    }
    Equal(kDaemonSet, "containerPort", Text(container["ports"][0]["containerPort"]), port);
    // The kubelet asks at the node's address.
    if (!absl::StartsWith(Text(config["healthzBindAddress"]), "0.0.0.0:")) {
      Problem(kConfigMap, "healthzBindAddress is not where the kubelet asks");
    }
  }

  void Kubeconfig(const YAML::Node& config) {
    const YAML::Node context = config["contexts"][0];
    Equal(kConfigMap, "current-context", Text(config["current-context"]), Text(context["name"]));
    Equal(kConfigMap, "the context's cluster", Text(context["context"]["cluster"]),
          Text(config["clusters"][0]["name"]));
    Equal(kConfigMap, "the context's user", Text(context["context"]["user"]), Text(config["users"][0]["name"]));
    const std::string account = "/var/run/secrets/kubernetes.io/serviceaccount/";
    Equal(kConfigMap, "the CA", Text(config["clusters"][0]["cluster"]["certificate-authority"]), account + "ca.crt");
    Equal(kConfigMap, "the token", Text(config["users"][0]["user"]["tokenFile"]), account + "token");
  }

  // The account is bound to what kube-proxy has, and nothing is granted besides.
  void Rights() {
    for (const auto& [path, object] : objects_) {
      const std::string kind = Text(object["kind"]);
      if (absl::StrContains(kind, "Role") && path != kBinding) Problem(path, "grants rights");
    }
    const YAML::Node binding = objects_[kBinding];
    const YAML::Node account = objects_[kAccount]["metadata"];
    Equal(kBinding, "roleRef", Text(binding["roleRef"]["kind"]), "ClusterRole");
    Equal(kBinding, "the role", Text(binding["roleRef"]["name"]), "system:node-proxier");
    if (binding["subjects"].size() != 1) return Problem(kBinding, "must have one subject");
    const YAML::Node subject = binding["subjects"][0];
    Equal(kBinding, "the subject", Text(subject["kind"]), "ServiceAccount");
    Equal(kBinding, "the subject", Text(subject["name"]), Text(account["name"]));
    Equal(kBinding, "the subject's namespace", Text(subject["namespace"]), Text(account["namespace"]));
    Equal(kDaemonSet, "serviceAccountName", Text(Pod()["serviceAccountName"]), Text(account["name"]));
    Equal(kDaemonSet, "the namespace", Text(objects_[kDaemonSet]["metadata"]["namespace"]), Text(account["namespace"]));
  }

  void Security() {
    const YAML::Node container = Pod()["containers"][0];
    const YAML::Node context = container["securityContext"];
    Equal(kDaemonSet, "privileged", Text(context["privileged"]), "false");
    Equal(kDaemonSet, "allowPrivilegeEscalation", Text(context["allowPrivilegeEscalation"]), "false");
    Equal(kDaemonSet, "readOnlyRootFilesystem", Text(context["readOnlyRootFilesystem"]), "true");
    Equal(kDaemonSet, "seccompProfile", Text(context["seccompProfile"]["type"]), "RuntimeDefault");
    Equal(kDaemonSet, "capabilities dropped", YAML::Dump(context["capabilities"]["drop"]), "[ALL]");
    Equal(kDaemonSet, "capabilities added", YAML::Dump(context["capabilities"]["add"]), "[NET_ADMIN]");
    if (Pod()["containers"].size() != 1) Problem(kDaemonSet, "must have one container");
    for (const auto& [path, each] : Containers()) {
      const bool setup = Flag(each, "--init-only").has_value();
      if (!setup && Text(each["securityContext"]["privileged"]) == "true") Problem(path, "is privileged");
    }
  }

  YAML::Node Pod() { return objects_[kDaemonSet]["spec"]["template"]["spec"]; }

  // Of the DaemonSet and of what is put into it, with the files they are in.
  std::vector<std::pair<std::string, YAML::Node>> Containers() {
    std::vector<std::pair<std::string, YAML::Node>> found;
    for (const char* path : {kDaemonSet, kSetup}) {
      const YAML::Node pod = objects_[path]["spec"]["template"]["spec"];
      for (const char* list : {"initContainers", "containers"}) {
        for (const auto& container : pod[list]) found.emplace_back(path, container);
      }
    }
    return found;
  }

  // What follows `prefix` in a word of its command.
  static std::optional<std::string> Flag(const YAML::Node& container, const std::string& prefix) {
    for (const auto& word : container["command"]) {
      if (absl::StartsWith(Text(word), prefix)) return Text(word).substr(prefix.size());
    }
    return std::nullopt;
  }

  // Under which key of the mounted ConfigMap this container has the file.
  std::optional<std::string> Key(const YAML::Node& container, const std::string& file) {
    for (const auto& volume : Pod()["volumes"]) {
      if (!volume["configMap"]) continue;
      for (const auto& mount : container["volumeMounts"]) {
        const std::string directory = Text(mount["mountPath"]) + "/";
        if (Text(mount["name"]) == Text(volume["name"]) && absl::StartsWith(file, directory)) {
          return file.substr(directory.size());
        }
      }
    }
    return std::nullopt;
  }

  static std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }
  static std::string Resolve(const std::string& from, const std::string& name) {
    return (std::filesystem::path(from).parent_path() / name).lexically_normal().string();
  }

  const std::string version_;
  std::map<std::string, YAML::Node> objects_;
  std::set<std::string> files_;
  std::vector<std::string> problems_;
};

}  // namespace

Files ReadDeploy(const std::string& source_dir) {
  Files files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source_dir + "/deploy")) {
    if (entry.path().extension() != ".yaml" && entry.path().extension() != ".json") continue;
    files[entry.path().lexically_relative(source_dir).string()] = support::ReadFile(entry.path().string());
  }
  return files;
}

std::vector<std::string> Problems(const Files& files, const std::string& version) {
  return Check(files, version).Run();
}

}  // namespace pointsman::deploy
