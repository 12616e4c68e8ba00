// SPDX-License-Identifier: Apache-2.0
#include "tests/deploy/schema.h"

#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace pointsman::deploy {
namespace {

// A line for each type: its fields. `!` must be there; `[]` a list. What is not here is not used, or does not exist:
// look it up in the API's reference before it is added. Kinds are those of Kubernetes 1.36 and kustomize 5.
constexpr char kTypes[] = R"(
ServiceAccount: apiVersion!=string kind!=string metadata!=Meta
ClusterRoleBinding: apiVersion!=string kind!=string metadata!=Meta roleRef!=RoleRef subjects=Subject[]
ConfigMap: apiVersion!=string kind!=string metadata!=Meta data=map immutable=bool
DaemonSet: apiVersion!=string kind!=string metadata!=Meta spec!=DaemonSetSpec
Kustomization: apiVersion!=string kind!=string resources=string[] components=string[] images=Image[] patches=Patch[] \
  configMapGenerator=Generator[]
Component: apiVersion!=string kind!=string patches=Patch[]
PrometheusRule: apiVersion!=string kind!=string metadata!=Meta spec!=RuleSpec
Meta: name!=string namespace=string labels=map annotations=map
RoleRef: apiGroup!=string kind!=string name!=string
Subject: apiGroup=string kind!=string name!=string namespace=string
Generator: name!=string namespace=string files=string[] options=GeneratorOptions
GeneratorOptions: disableNameSuffixHash=bool labels=map annotations=map
Generator: name!=string namespace=string files=string[] literals=string[] options=GeneratorOptions
GeneratorOptions: disableNameSuffixHash=bool immutable=bool labels=map annotations=map
Image: name!=string newName=string newTag=string digest=string
Patch: path=string patch=string target=Target
Target: group=string version=string kind=string name=string namespace=string
RuleSpec: groups!=RuleGroup[]
RuleGroup: name!=string interval=string limit=int labels=map rules=Rule[]
Rule: record=string alert=string expr!=string for=string keep_firing_for=string labels=map annotations=map
DaemonSetSpec: selector!=Selector template!=Template updateStrategy=Strategy minReadySeconds=int revisionHistoryLimit=int
Selector: matchLabels=map
Strategy: type=string rollingUpdate=RollingUpdate
RollingUpdate: maxUnavailable=intOrString maxSurge=intOrString
Template: metadata=TemplateMeta spec!=PodSpec
TemplateMeta: labels=map annotations=map
PodSpec: priorityClassName=string serviceAccountName=string hostNetwork=bool dnsPolicy=string \
  terminationGracePeriodSeconds=int tolerations=Toleration[] nodeSelector=map affinity=Affinity \
  initContainers=Container[] containers!=Container[] volumes=Volume[]
Toleration: key=string operator=string value=string effect=string
Affinity: nodeAffinity=NodeAffinity
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution=NodeSelector
NodeSelector: nodeSelectorTerms!=NodeSelectorTerm[]
NodeSelectorTerm: matchExpressions=Requirement[]
Requirement: key!=string operator!=string values=string[]
Container: name!=string image!=string imagePullPolicy=string command=string[] args=string[] env=Env[] ports=Port[] \
  startupProbe=Probe livenessProbe=Probe readinessProbe=Probe resources=Resources securityContext=SecurityContext \
  volumeMounts=VolumeMount[]
Env: name!=string value=string valueFrom=EnvSource
EnvSource: fieldRef=FieldRef
FieldRef: apiVersion=string fieldPath!=string
Port: name=string containerPort!=int hostPort=int hostIP=string protocol=string
Probe: httpGet=HttpGet initialDelaySeconds=int periodSeconds=int timeoutSeconds=int successThreshold=int \
  failureThreshold=int terminationGracePeriodSeconds=int
HttpGet: path=string port!=intOrString host=string scheme=string
Resources: requests=map limits=map
SecurityContext: privileged=bool allowPrivilegeEscalation=bool readOnlyRootFilesystem=bool runAsUser=int \
  runAsGroup=int runAsNonRoot=bool capabilities=Capabilities seccompProfile=Seccomp
Capabilities: add=string[] drop=string[]
Seccomp: type!=string localhostProfile=string
VolumeMount: name!=string mountPath!=string readOnly=bool subPath=string
Volume: name!=string configMap=ConfigMapVolume hostPath=HostPath
ConfigMapVolume: name!=string defaultMode=int optional=bool
HostPath: path!=string type=string
)";

const std::map<std::string, std::string>& ApiVersions() {
  static const auto& versions = *new std::map<std::string, std::string>{
      {"ServiceAccount", "v1"},
      {"ClusterRoleBinding", "rbac.authorization.k8s.io/v1"},
      {"ConfigMap", "v1"},
      {"DaemonSet", "apps/v1"},
      {"Kustomization", "kustomize.config.k8s.io/v1beta1"},
      {"Component", "kustomize.config.k8s.io/v1alpha1"},
      {"PrometheusRule", "monitoring.coreos.com/v1"},
  };
  return versions;
}

struct Field {
  std::string type;
  bool list = false;
  bool required = false;
};
using Type = std::map<std::string, Field>;

const std::map<std::string, Type>& Types() {
  static const auto& types = *[] {
    auto* result = new std::map<std::string, Type>;
    const std::string text = kTypes;
    std::string joined;
    for (const absl::string_view line : absl::StrSplit(text, "\\\n")) absl::StrAppend(&joined, line);
    for (const absl::string_view line : absl::StrSplit(joined, '\n', absl::SkipEmpty())) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits(": ", 1));
      Type& type = (*result)[parts.first];
      for (const absl::string_view word : absl::StrSplit(parts.second, ' ', absl::SkipEmpty())) {
        const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(word, '=');
        absl::string_view name = field.first;
        absl::string_view of = field.second;
        const bool required = absl::ConsumeSuffix(&name, "!");
        const bool list = absl::ConsumeSuffix(&of, "[]");
        type[std::string(name)] = {.type = std::string(of), .list = list, .required = required};
      }
    }
    return result;
  }();
  return types;
}

class Check {
 public:
  explicit Check(bool patch) : patch_(patch) {}

  void Object(const YAML::Node& node, const Type& type, const std::string& path) {
    if (!node.IsMap()) return Problem(path, "is no object");
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const auto name = entry.first.as<std::string>();
      const std::string inner = path.empty() ? name : absl::StrCat(path, ".", name);
      if (!seen.insert(name).second) Problem(inner, "is there twice");
      const auto field = type.find(name);
      if (field == type.end()) {
        Problem(inner, "unknown field");
      } else if (!field->second.list) {
        Value(entry.second, field->second.type, inner);
      } else if (!entry.second.IsSequence()) {
        Problem(inner, "is no list");
      } else {
        for (size_t i = 0; i < entry.second.size(); ++i) {
          Value(entry.second[i], field->second.type, absl::StrCat(inner, "[", i, "]"));
        }
      }
    }
    for (const auto& [name, field] : type) {
      if (field.required && !patch_ && !seen.contains(name)) Problem(path, absl::StrCat("`", name, "` is missing"));
    }
  }

  std::vector<std::string> problems;

 private:
  void Problem(const std::string& path, const std::string& what) {
    problems.push_back(absl::StrCat(path.empty() ? "the object" : path, ": ", what));
  }

  void Value(const YAML::Node& node, const std::string& type, const std::string& path) {
    if (const auto known = Types().find(type); known != Types().end()) return Object(node, known->second, path);
    if (type == "map") {
      if (!node.IsMap()) return Problem(path, "is no map");
      for (const auto& entry : node) {
        Value(entry.second, "string", absl::StrCat(path, ".", entry.first.as<std::string>()));
      }
      return;
    }
    if (!node.IsScalar()) return Problem(path, absl::StrCat("is no ", type));
    const std::string& text = node.Scalar();
    const bool quoted = node.Tag() == "!";  // what yaml-cpp calls a scalar in quotes
    int64_t number = 0;
    const bool integer = !quoted && absl::SimpleAtoi(text, &number);
    const bool boolean = !quoted && (text == "true" || text == "false");
    const bool fits = type == "int"      ? integer
                      : type == "bool"   ? boolean
                      : type == "string" ? !integer && !boolean
                                         : true;
    if (!fits) Problem(path, absl::StrCat("`", text, "` is no ", type));
  }

  const bool patch_;
};

}  // namespace

std::vector<std::string> SchemaProblems(const YAML::Node& object, bool patch) {
  Check check(patch);
  const std::string kind = object.IsMap() && object["kind"] ? object["kind"].as<std::string>() : "";
  const auto version = ApiVersions().find(kind);
  if (version == ApiVersions().end()) return {absl::StrCat("kind: `", kind, "` is not in the table")};
  if (!object["apiVersion"] || object["apiVersion"].as<std::string>() != version->second) {
    check.problems.push_back(absl::StrCat("apiVersion: must be ", version->second));
  }
  check.Object(object, Types().at(kind), "");
  return check.problems;
}

}  // namespace pointsman::deploy
