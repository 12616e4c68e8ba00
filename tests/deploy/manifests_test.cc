// SPDX-License-Identifier: Apache-2.0
//
// The files of deploy/ fit the API, and each other. No cluster is asked.
#include "tests/deploy/manifests.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pointsman::deploy {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ManifestsTest, FitTheApiAndEachOther) {
  const Files files = ReadDeploy(PM_SOURCE_DIR);
  ASSERT_GE(files.size(), 8U) << "read the wrong directory?";
  EXPECT_THAT(Problems(files, PM_VERSION), IsEmpty());
}

struct Mistake {
  const char* name;
  const char* file;
  const char* right;
  const char* wrong;
  const char* problem;
};
std::ostream& operator<<(std::ostream& out, const Mistake& mistake) { return out << mistake.name; }

class MistakeTest : public ::testing::TestWithParam<Mistake> {};

TEST_P(MistakeTest, IsSeen) {
  const Mistake& mistake = GetParam();
  Files files = ReadDeploy(PM_SOURCE_DIR);
  std::string& text = files[absl::StrCat("deploy/", mistake.file)];
  ASSERT_THAT(text, HasSubstr(mistake.right));
  text = absl::StrReplaceAll(text, {{mistake.right, mistake.wrong}});
  EXPECT_THAT(Problems(files, PM_VERSION), Contains(HasSubstr(mistake.problem)));
}

constexpr char kDaemonSet[] = "daemon-set/daemon-set.yaml";
constexpr char kSetup[] = "components/node-setup/init-container.yaml";
constexpr char kConfig[] = "config-map.yaml";
constexpr char kBinding[] = "cluster-role-binding.yaml";

INSTANTIATE_TEST_SUITE_P(
    , MistakeTest,
    ::testing::Values(
        Mistake{"UnknownField", kDaemonSet, "hostNetwork:", "hostNetworks:", "hostNetworks: unknown field"},
        Mistake{"FieldOfAnotherKind", kDaemonSet, "minReadySeconds: 5", "replicas: 3", "spec.replicas: unknown field"},
        Mistake{"UnknownFieldInAPatch", kSetup, "privileged:", "privilege:", "privilege: unknown field"},
        Mistake{"TextForANumber", kDaemonSet, "runAsUser: 0", "runAsUser: root", "`root` is no int"},
        Mistake{"NumberForAText", kDaemonSet, "fieldPath: spec.nodeName", "fieldPath: 7", "`7` is no string"},
        Mistake{"RequiredFieldMissing", kDaemonSet, "          image: pointsman", "          #mage: pointsman",
                "`image` is missing"},
        Mistake{"WrongApiVersion", kDaemonSet, "apps/v1", "extensions/v1beta1", "must be apps/v1"},
        Mistake{"UnknownKind", kConfig, "kind: ConfigMap", "kind: Secrets", "not in the table"},
        Mistake{"ResourceMissing", "kustomization.yaml", "- service-account.yaml", "- account.yaml",
                "`account.yaml` does not exist"},
        Mistake{"DashboardMissing", "monitoring/kustomization.yaml", "=dashboard.json", "=board.json",
                "`board.json` does not exist"},
        Mistake{"AlertWithoutExpression", "monitoring/prometheus-rule.yaml",
                "expr:", "expression:", "`expr` is missing"},
        Mistake{"FileForgotten", "kustomization.yaml", "  - config-map.yaml\n", "", "no kustomization names it"},
        Mistake{"SelectorMissesLabel", kDaemonSet, "      labels:\n        k8s-app: kube-proxy",
                "      labels:\n        k8s-app: pointsman", "label k8s-app"},
        Mistake{"MountWithoutVolume", kDaemonSet, "        - name: lib-modules\n          hostPath",
                "        - name: modules\n          hostPath", "`lib-modules` is mounted"},
        Mistake{"MountWithoutVolumeInAPatch", kSetup, "- name: kube-proxy\n", "- name: config\n",
                "`config` is mounted"},
        Mistake{"OldImage", kSetup, "image: pointsman:", "image: pointsman:0.0.", "the image is"},
        Mistake{"VariableMissing", kDaemonSet, "- name: NODE_NAME", "- name: NODE", "$(NODE_NAME)"},
        Mistake{"OtherConfigMap", kConfig, "  name: kube-proxy\n", "  name: proxy\n", "the ConfigMap is"},
        Mistake{"ConfigFileNotMounted", kDaemonSet, "mountPath: /var/lib/kube-proxy", "mountPath: /etc/kube-proxy",
                "--config=/var/lib/kube-proxy/config.conf is not"},
        Mistake{"ConfigKeyMissing", kConfig, "  config.conf:", "  proxy.conf:", "--config=/var/lib"},
        Mistake{"KubeconfigNotMounted", kConfig, "kubeconfig: /var/lib/kube-proxy/", "kubeconfig: /etc/",
                "kubeconfig /etc/"},
        Mistake{"ContextMissing", kConfig, "current-context: default", "current-context: other", "current-context is"},
        Mistake{"TokenElsewhere", kConfig, "tokenFile: /var/run/", "tokenFile: /run/", "the token is"},
        Mistake{"OtherMode", kConfig, "mode: nftables", "mode: ipvs", "mode is `ipvs`"},
        Mistake{"ProbeAtAnotherPort", kConfig, "0.0.0.0:10256", "0.0.0.0:10257", "livenessProbe's port"},
        Mistake{"HealthOnLoopbackOnly", kConfig, "0.0.0.0:10256", "127.0.0.1:10256", "where the kubelet asks"},
        Mistake{"LivenessOfTheNode", kDaemonSet, "path: /livez", "path: /healthz", "livenessProbe's path"},
        Mistake{"WiderRole", kBinding, "name: system:node-proxier", "name: cluster-admin",
                "the role is `cluster-admin`"},
        Mistake{"AnotherSubject", kBinding, "    namespace: kube-system", "    namespace: default",
                "subject's namespace"},
        Mistake{"Privileged", kDaemonSet, "privileged: false", "privileged: true", "privileged is `true`"},
        Mistake{"MoreCapabilities", kDaemonSet, "[NET_ADMIN]", "[NET_ADMIN, SYS_ADMIN]", "capabilities added"},
        Mistake{"WritableRoot", kDaemonSet, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false",
                "readOnlyRootFilesystem is"}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace pointsman::deploy
