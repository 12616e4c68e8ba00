// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/access.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/support/files.h"
#include "tests/unit/agent/kube/pem_samples.h"

namespace pointsman::kube {
namespace {

using support::TempDir;
using support::WriteFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A kubeconfig whose only context has this cluster and this user, in flow style.
std::string Kubeconfig(absl::string_view cluster, absl::string_view user = "{}") {
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
      "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
      "clusters:\n- name: k\n  cluster: ",
      cluster, "\nusers:\n- name: u\n  user: ", user, "\n");
}

std::string WithUser(absl::string_view user) { return Kubeconfig("{server: 'https://192.0.2.1:6443'}", user); }

absl::StatusOr<Access> Parse(absl::string_view text) { return ParseKubeconfig("kube.conf", "/etc/kube", text); }

Access Good(absl::string_view text) {
  const absl::StatusOr<Access> access = Parse(text);
  EXPECT_TRUE(access.ok()) << access.status() << "\n" << text;
  return access.value_or(Access());
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// --- Whole files, as tools write them ---

// What kubeadm puts into the ConfigMap kube-system/kube-proxy.
constexpr char kKubeadm[] = R"(apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://192.0.2.10:6443
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
)";

TEST(Kubeconfig, ThatOfKubeadmsKubeProxyIsUnderstood) {
  const Access access = Good(kKubeadm);

  EXPECT_EQ(access.origin, "context default of kube.conf");
  EXPECT_THAT(access.servers, ElementsAre("https://192.0.2.10:6443"));
  EXPECT_EQ(access.ca.path, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
  EXPECT_EQ(access.token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
  EXPECT_TRUE(access.client_certificate.empty());
}

TEST(Kubeconfig, ThatOfMinikubeIsUnderstood) {
  const Access access = Good(R"(apiVersion: v1
clusters:
- cluster:
    certificate-authority: /home/user/.minikube/ca.crt
    extensions:
    - extension:
        last-update: Mon, 23 Nov 2026 09:00:00 UTC
        provider: minikube.sigs.k8s.io
        version: v1.38.0
      name: cluster_info
    server: https://192.0.2.49:8443
  name: minikube
contexts:
- context:
    cluster: minikube
    extensions:
    - extension:
        last-update: Mon, 23 Nov 2026 09:00:00 UTC
        provider: minikube.sigs.k8s.io
        version: v1.38.0
      name: context_info
    namespace: default
    user: minikube
  name: minikube
current-context: minikube
kind: Config
preferences: {}
users:
- name: minikube
  user:
    client-certificate: /home/user/.minikube/profiles/minikube/client.crt
    client-key: /home/user/.minikube/profiles/minikube/client.key
)");

  EXPECT_THAT(access.servers, ElementsAre("https://192.0.2.49:8443"));
  EXPECT_EQ(access.client_certificate.path, "/home/user/.minikube/profiles/minikube/client.crt");
  EXPECT_EQ(access.client_key.path, "/home/user/.minikube/profiles/minikube/client.key");
}

TEST(Kubeconfig, JsonIsUnderstoodAndSoIsAByteOrderMark) {
  const Access access = Good(
      "\xef\xbb\xbf"
      R"({"apiVersion": "v1", "kind": "Config", "current-context": "c", "future": {"x": [1]},
 "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
 "clusters": [{"name": "k", "cluster": {"server": "https://api.example.com/k8s/clusters/x/", "future": 1}}],
 "users": [{"name": "u", "user": {"token": "abc", "as": "\ud83d\ude00"}}]})");

  EXPECT_THAT(access.servers, ElementsAre("https://api.example.com/k8s/clusters/x"));
  EXPECT_EQ(access.token, "abc");
  EXPECT_THAT(access.impersonate, ElementsAre("Impersonate-User: \xf0\x9f\x98\x80"));
}

// --- What is understood ---

struct GoodRow {
  const char* name;
  std::string text;
  std::function<void(const Access&)> check;
};

class GoodKubeconfig : public ::testing::TestWithParam<GoodRow> {};

TEST_P(GoodKubeconfig, IsUnderstood) { GetParam().check(Good(GetParam().text)); }

std::string Base64Of(absl::string_view text) { return absl::Base64Escape(text); }

std::string BrokenIntoLines(absl::string_view text) {
  std::string lines = "|\n";
  for (; !text.empty(); text.remove_prefix(std::min<size_t>(text.size(), 64))) {
    absl::StrAppend(&lines, "        ", text.substr(0, 64), "\n");
  }
  return lines;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, GoodKubeconfig,
    ::testing::Values(
        GoodRow{"AnEmptyFileHasNoServer", "", [](const Access& a) { EXPECT_EQ(a.servers.size(), 0U); }},
        GoodRow{"WithoutCurrentContextThereIsNoServer",
                absl::StrReplaceAll(kKubeadm, {{"current-context: default", "current-context: ''"}}),
                [](const Access& a) {
                  EXPECT_THAT(a.servers, IsEmpty());
                  EXPECT_EQ(a.token_file, "");
                }},
        GoodRow{"AClusterWithoutServerLeavesTheUser", Kubeconfig("{}", "{token: t}"),
                [](const Access& a) {
                  EXPECT_THAT(a.servers, IsEmpty());
                  EXPECT_EQ(a.token, "t");
                }},
        GoodRow{"MistakesInPartsNotUsedAreNone",
                absl::StrCat(WithUser("{}"), "- name: v\n  user: {token: [1], exec: 5}\n- 7\n- name: 9\n"),
                [](const Access& a) { EXPECT_EQ(a.servers.size(), 1U); }},
        GoodRow{"RelativePathsAreRelativeToTheFile",
                Kubeconfig("{server: 'https://h', certificate-authority: ca.crt}",
                           "{client-certificate: pki/c.crt, client-key: ./c.key, tokenFile: ../token}"),
                [](const Access& a) {
                  EXPECT_EQ(a.ca.path, "/etc/kube/ca.crt");
                  EXPECT_EQ(a.client_certificate.path, "/etc/kube/pki/c.crt");
                  EXPECT_EQ(a.client_key.path, "/etc/kube/./c.key");
                  EXPECT_EQ(a.token_file, "/etc/kube/../token");
                }},
        GoodRow{"DataIsDecoded",
                Kubeconfig(absl::StrCat("{server: 'https://h', certificate-authority-data: ", Base64Of(kEcCertificateA),
                                        "}"),
                           absl::StrCat("{client-certificate-data: ", Base64Of(kEcCertificateA), ", client-key-data: '",
                                        Base64Of(kEcKeyA), "'}")),
                [](const Access& a) {
                  EXPECT_EQ(a.ca.text, kEcCertificateA);
                  EXPECT_EQ(a.client_certificate.text, kEcCertificateA);
                  EXPECT_EQ(a.client_key.text, kEcKeyA);
                }},
        GoodRow{"DataMayBeBrokenIntoLines",
                Kubeconfig(absl::StrCat("\n      server: https://h\n      certificate-authority-data: ",
                                        BrokenIntoLines(Base64Of(kRsaCertificate)))),
                [](const Access& a) { EXPECT_EQ(a.ca.text, kRsaCertificate); }},
        GoodRow{"TokenAndTokenFileMayBothBeThere", WithUser("{token: first, tokenFile: /t}"),
                [](const Access& a) {
                  EXPECT_EQ(a.token, "first");
                  EXPECT_EQ(a.token_file, "/t");
                }},
        GoodRow{"ATokenInABlockHasItsLineBreakTrimmed", WithUser("\n      token: |\n        abc.def\n"),
                [](const Access& a) { EXPECT_EQ(a.token, "abc.def"); }},
        GoodRow{"UserAndPassword", WithUser("{username: admin, password: 'a b:c'}"),
                [](const Access& a) {
                  EXPECT_EQ(a.username, "admin");
                  EXPECT_EQ(a.password, "a b:c");
                }},
        GoodRow{"AKeyWithoutCertificateIsPassedOver", WithUser("{client-key: /k}"),
                [](const Access& a) { EXPECT_TRUE(a.client_key.empty()); }},
        GoodRow{"WithoutSchemeAndWithoutTlsItIsHttp", Kubeconfig("{server: '192.0.2.1:8080'}"),
                [](const Access& a) { EXPECT_THAT(a.servers, ElementsAre("http://192.0.2.1:8080")); }},
        GoodRow{"WithoutSchemeButWithCaItIsHttps", Kubeconfig("{server: api.example.com, certificate-authority: c}"),
                [](const Access& a) { EXPECT_THAT(a.servers, ElementsAre("https://api.example.com")); }},
        GoodRow{"WithoutSchemeButInsecureItIsHttps", Kubeconfig("{server: 'h:1', insecure-skip-tls-verify: true}"),
                [](const Access& a) { EXPECT_THAT(a.servers, ElementsAre("https://h:1")); }},
        GoodRow{"WithoutSchemeButWithClientCertificateItIsHttps",
                Kubeconfig("{server: 'h:1'}", "{client-certificate: c, client-key: k}"),
                [](const Access& a) { EXPECT_THAT(a.servers, ElementsAre("https://h:1")); }},
        GoodRow{"AnIpv6Server", Kubeconfig("{server: 'HTTPS://[2001:db8::1]:6443//'}"),
                [](const Access& a) { EXPECT_THAT(a.servers, ElementsAre("https://[2001:db8::1]:6443")); }},
        GoodRow{"TheRestOfTheCluster",
                Kubeconfig("{server: 'https://h', tls-server-name: kubernetes, disable-compression: true, "
                           "insecure-skip-tls-verify: true, proxy-url: 'socks5://user:pass@192.0.2.3:1080'}"),
                [](const Access& a) {
                  EXPECT_EQ(a.tls_server_name, "kubernetes");
                  EXPECT_TRUE(a.disable_compression);
                  EXPECT_TRUE(a.insecure_skip_tls_verify);
                  EXPECT_EQ(a.proxy_url, "socks5://user:pass@192.0.2.3:1080");
                }},
        GoodRow{"ImpersonationEscapesWhatIsNoHeaderName",
                WithUser("{as: jane, as-uid: '7', as-groups: [dev, 'ops x'], "
                         "as-user-extra: {Reason: [a, b], 'example.com/scopes%': [v]}}"),
                [](const Access& a) {
                  EXPECT_THAT(a.impersonate, ElementsAre("Impersonate-User: jane", "Impersonate-Uid: 7",
                                                         "Impersonate-Group: dev", "Impersonate-Group: ops x",
                                                         "Impersonate-Extra-reason: a", "Impersonate-Extra-reason: b",
                                                         "Impersonate-Extra-example.com%2Fscopes%25: v"));
                }},
        GoodRow{"AProgramInPath",
                WithUser("{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks, get-token], "
                         "env: [{name: A, value: b}, {name: E}], installHint: get it, provideClusterInfo: true, "
                         "interactiveMode: IfAvailable}}"),
                [](const Access& a) {
                  ASSERT_TRUE(a.exec);
                  EXPECT_EQ(*a.exec, (ExecPlugin{.api_version = "client.authentication.k8s.io/v1",
                                                 .command = "aws",
                                                 .args = {"eks", "get-token"},
                                                 .env = {{"A", "b"}, {"E", ""}},
                                                 .install_hint = "get it",
                                                 .provide_cluster_info = true}));
                }},
        GoodRow{"AProgramBesideTheFile",
                WithUser("{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./bin/login}}"),
                [](const Access& a) {
                  ASSERT_TRUE(a.exec);
                  EXPECT_EQ(a.exec->command, "/etc/kube/./bin/login");
                }}),
    [](const auto& param) { return param.param.name; });

// --- What is refused ---

struct BadRow {
  const char* name;
  std::string text;
  const char* where;  // line and column
  const char* part;   // of the message
};

class BadKubeconfig : public ::testing::TestWithParam<BadRow> {};

TEST_P(BadKubeconfig, IsRefusedInOneLineThatSaysWhere) {
  const absl::StatusOr<Access> access = Parse(GetParam().text);

  ASSERT_FALSE(access.ok());
  EXPECT_EQ(access.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(access.status()), StartsWith(absl::StrCat("kube.conf:", GetParam().where, ": ")));
  EXPECT_THAT(Message(access.status()), HasSubstr(GetParam().part));
  EXPECT_THAT(Message(access.status()), Not(HasSubstr("\n")));
  EXPECT_THAT(Message(access.status()), Not(HasSubstr("53cr3t")));
}

constexpr char kExec[] = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}}";

std::string ExecWith(absl::string_view what, absl::string_view instead) {
  return WithUser(absl::StrReplaceAll(kExec, {{what, instead}}));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, BadKubeconfig,
    ::testing::Values(
        BadRow{"NoYaml", "apiVersion: v1\nclusters: [", "2:1", "a `[` is not closed"},
        BadRow{"AControlCharacter", "kind: \x01", "1:7", ""},
        BadRow{"AWord", "hello", "1:1", "this is no kubeconfig (it begins with `apiVersion: v1` and `kind: Config`)"},
        BadRow{"AnotherKind", "apiVersion: v1\nkind: Service\n", "2:7", "kind: \"Service\" is no kubeconfig"},
        BadRow{"AnotherVersion", "apiVersion: v2\nkind: Config\n", "1:13", "unknown version \"v2\" (write it as v1)"},
        BadRow{"TwoDocuments", absl::StrCat(WithUser("{}"), "---\nkind: Config\n"), "12:1",
               "a second document begins here"},
        BadRow{"AContextThatIsNotThere", "current-context: x\ncontexts: [{name: a}, {name: b}]\n", "1:18",
               "there is no context \"x\" (those in `contexts`: \"a\", \"b\")"},
        BadRow{"NoContexts", "current-context: x\n", "1:18", "there is no context \"x\" (add it to `contexts`)"},
        BadRow{"AClusterThatIsNotThere",
               "current-context: c\ncontexts:\n- {name: c, context: {cluster: x}}\nclusters: [{name: k}]\n", "3:32",
               "there is no cluster \"x\" (those in `clusters`: \"k\")"},
        BadRow{"AUserThatIsNotThere", absl::StrReplaceAll(WithUser("{}"), {{"user: u}", "user: x}"}}), "4:50",
               "there is no user \"x\" (those in `users`: \"u\")"},
        BadRow{"AUserTwice", absl::StrCat(WithUser("{}"), "- name: u\n  user: {}\n"), "11:9", "a second user \"u\""},
        BadRow{"ANumberForAName", "current-context: 7\n", "1:18", "the number \"7\" where a text is needed"},
        BadRow{"CaTwice",
               Kubeconfig("{server: 'https://h', certificate-authority: a, certificate-authority-data: MA==}"), "7:88",
               "`certificate-authority` and `certificate-authority-data` are both given (remove one of them)"},
        BadRow{"CertificateTwice", WithUser("{client-certificate: a, client-certificate-data: MA==, client-key: k}"),
               "10:58", "are both given"},
        BadRow{"KeyTwice", WithUser("{client-certificate: a, client-key-data: MA==, client-key: k}"), "10:50",
               "are both given"},
        BadRow{"ACertificateWithoutKey", WithUser("{client-certificate: a}"), "10:30",
               "the certificate's key is missing"},
        BadRow{"NoBase64", Kubeconfig("{server: 'https://h', certificate-authority-data: '53cr3t!'}"), "7:62",
               "this is not base64 (write it with `base64 -w0 FILE`, or name the file in `certificate-authority`)"},
        BadRow{"Base64OfNoPem", Kubeconfig("{server: 'https://h', certificate-authority-data: MA==}"), "7:62",
               "there is no CERTIFICATE in PEM form in it"},
        BadRow{"InsecureWithCa",
               Kubeconfig("{server: 'https://h', certificate-authority: a, insecure-skip-tls-verify: true}"), "7:86",
               "there is a certificate authority to verify with"},
        BadRow{"AnUnknownScheme", Kubeconfig("{server: 'ftp://h'}"), "7:21", "begins with https:// or http://"},
        BadRow{"APortThatIsNone", Kubeconfig("{server: 'https://h:99999'}"), "7:21", "a port from 1 to 65535"},
        BadRow{"AServerWithABlank", Kubeconfig("{server: 'https://h /x'}"), "7:21", "there is a blank"},
        BadRow{"ABareIpv6Server", Kubeconfig("{server: 'https://2001:db8::1'}"), "7:21", "goes in brackets"},
        BadRow{"AServerWithoutHost", Kubeconfig("{server: 'https:///x'}"), "7:21", "there is no host in it"},
        BadRow{"AServerWithAPassword", Kubeconfig("{server: 'https://u:53cr3t@h'}"), "7:21", "has a user in it"},
        BadRow{"AServerWithAQuery", Kubeconfig("{server: 'https://h/?a'}"), "7:21", "ends with its path"},
        BadRow{"AnUnknownProxy", Kubeconfig("{server: 'https://h', proxy-url: 'ftp://u:53cr3t@h'}"), "7:45",
               "begins with http://, https:// or socks5://"},
        BadRow{"AProxyWithoutHost", Kubeconfig("{server: 'https://h', proxy-url: 'http://'}"), "7:45",
               "there is no host"},
        BadRow{"ATlsNameWithALineBreak", Kubeconfig("{server: 'https://h', tls-server-name: \"a\\nb\"}"), "7:51",
               "is no host name"},
        BadRow{"ABoolInQuotes", Kubeconfig("{server: 'https://h', disable-compression: 'true'}"), "7:55",
               "where true or false is needed (remove the quotes)"},
        BadRow{"TokenAndPassword", WithUser("{token: 53cr3t, username: a, password: b}"), "10:35",
               "a token and a password are both given"},
        BadRow{"TokenFileAndPassword", WithUser("{tokenFile: t, password: b}"), "10:9",
               "a token and a password are both given"},
        BadRow{"ATokenOfTwoLines", WithUser("{token: \"53cr3t\\nX-Evil: 1\"}"), "10:17",
               "there is a blank or a line break"},
        BadRow{"ATokenThatIsAList", WithUser("{token: [53cr3t]}"), "10:17", "this is no text"},
        BadRow{"APasswordThatIsANumber", WithUser("{username: a, password: 1234}"), "10:33",
               "users[0].user.password: this is no text (put it in quotes)"},
        BadRow{"APasswordWithALineBreak", WithUser("{username: a, password: \"5\\n\"}"), "10:33",
               "there is a line break"},
        BadRow{"AUserNameWithAColon", WithUser("{username: 'a:b', password: c}"), "10:20", "there is a colon"},
        BadRow{"ATokenWithoutABlankBefore", WithUser("\n    token:53cr3t\n"), "11:5",
               "users[0].user: this is no map (each key ends in a colon and a blank)"},
        BadRow{"ATokenWithoutABlankAtTheEnd", WithUser("\n    username: a\n    token:53cr3t\n"), "12:5",
               "users[0].user: there is no blank after `token:`"},
        BadRow{"ATokenWithoutABlankInTheMiddle", WithUser("\n    token:53cr3t\n    username: a\n"), "11:11",
               "there is no blank after `token:`"},
        BadRow{"ImpersonationOfAForgedHeader", WithUser("{as: \"a\\r\\nX-Evil: 1\"}"), "10:14",
               "there is a line break"},
        BadRow{"GroupsWithoutUser", WithUser("{as-groups: [a]}"), "10:9", "users[0].user.as: is missing"},
        BadRow{"AuthProvider", WithUser("{auth-provider: {name: gcp}}"), "10:25",
               "credentials of an `auth-provider` are not supported"},
        BadRow{"ExecWithoutVersion", ExecWith("apiVersion: client.authentication.k8s.io/v1, ", ""), "10:16",
               "exec.apiVersion: is missing"},
        BadRow{"ExecOfAnOldVersion", ExecWith("/v1,", "/v1alpha1,"), "10:29",
               "(use client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1)"},
        BadRow{"ExecWithoutCommand", ExecWith("command: x, ", ""), "10:16", "exec.command: is missing"},
        BadRow{"ExecWithoutMode", ExecWith(", interactiveMode: Never", ""), "10:16",
               "exec.interactiveMode: is missing"},
        BadRow{"ExecThatAsks", ExecWith("Never", "Always"), "10:91", "nobody is at the agent's terminal"},
        BadRow{"ExecWithABadVariable", ExecWith("Never", "Never, env: [{name: 'a=b', value: c}]"), "10:111",
               "this is no name of a variable"}),
    [](const auto& param) { return param.param.name; });

TEST(Kubeconfig, TheFirstMistakeIsTheOneTold) {
  const absl::StatusOr<Access> access = Parse("kind: 1\napiVersion: 2\n");

  EXPECT_THAT(Message(access.status()), StartsWith("kube.conf:1:7: error: kind: "));
}

// --- Pods ---

class PodAccess : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(Secrets());
    WriteFile(Secrets() + "/token", "abc\n");
    WriteFile(Secrets() + "/ca.crt", kEcCertificateA);
  }

  std::string Secrets() const { return root_.File("var/run/secrets/kubernetes.io/serviceaccount"); }

  absl::StatusOr<Access> Find() const {
    return AccessOfPod(
        [&](const char* name) -> std::optional<std::string> {
          const auto found = environment_.find(name);
          if (found == environment_.end()) return std::nullopt;
          return found->second;
        },
        root_.path());
  }

  const TempDir root_;
  std::map<std::string, std::string> environment_ = {{"KUBERNETES_SERVICE_HOST", "192.0.2.1"},
                                                     {"KUBERNETES_SERVICE_PORT", "443"}};
};

TEST_F(PodAccess, EnvironmentAndSecretsSayWhereAndWho) {
  const absl::StatusOr<Access> access = Find();

  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_THAT(access->servers, ElementsAre("https://192.0.2.1:443"));
  EXPECT_EQ(access->token_file, Secrets() + "/token");
  EXPECT_EQ(access->ca.path, Secrets() + "/ca.crt");
  EXPECT_EQ(access->origin, "service account of this pod");
}

TEST_F(PodAccess, AnIpv6HostIsPutInBrackets) {
  environment_["KUBERNETES_SERVICE_HOST"] = "2001:db8::1";

  EXPECT_THAT(Find()->servers, ElementsAre("https://[2001:db8::1]:443"));
}

TEST_F(PodAccess, WithoutEitherVariableThisIsNoPod) {
  for (const char* missing : {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}) {
    const auto all = environment_;
    environment_.erase(missing);

    const absl::Status status = Find().status();

    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr(absl::StrCat(missing, " is not set")));
    environment_ = all;
  }
}

TEST_F(PodAccess, WithoutATokenThereIsNoAccess) {
  std::filesystem::remove(Secrets() + "/token");

  const absl::Status status = Find().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("serviceaccount/token: No such file or directory"));
}

TEST_F(PodAccess, WithoutACaTheSystemIsTrusted) {
  std::filesystem::remove(Secrets() + "/ca.crt");

  ::testing::internal::CaptureStderr();
  const absl::StatusOr<Access> access = Find();

  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("system_trust_used"));
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_TRUE(access->ca.empty());
}

TEST_F(PodAccess, AnEnvironmentThatNamesNoServerIsRefused) {
  environment_["KUBERNETES_SERVICE_PORT"] = "http";

  EXPECT_EQ(Find().status().code(), absl::StatusCode::kFailedPrecondition);
}

// --- Which of them ---

class FoundAccess : public ::testing::Test {
 protected:
  void SetUp() override {
    // These tests are about machines that are no pods, wherever they run.
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
  }

  std::string Written(const std::string& text) const {
    WriteFile(dir_.File("kube.conf"), text);
    return dir_.File("kube.conf");
  }

  const TempDir dir_;
};

TEST_F(FoundAccess, PathsInAKubeconfigAreRelativeToItsDirectory) {
  const auto access = FindAccess(Written(WithUser("{tokenFile: token}")), {});

  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->token_file, dir_.File("token"));
  EXPECT_EQ(access->origin, absl::StrCat("context c of ", dir_.File("kube.conf")));
}

TEST_F(FoundAccess, MastersReplaceTheServerAndKeepTheCredentials) {
  const auto access = FindAccess(Written(Kubeconfig("{certificate-authority: /ca}", "{token: t}")),
                                 {"192.0.2.7:6443", "https://192.0.2.8:6443/"});

  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_THAT(access->servers, ElementsAre("https://192.0.2.7:6443", "https://192.0.2.8:6443"));
  EXPECT_EQ(access->token, "t");
}

TEST_F(FoundAccess, MastersAloneAreSpokenToWithoutCredentials) {
  const auto access = FindAccess("", {"192.0.2.7:8080"});

  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_THAT(access->servers, ElementsAre("http://192.0.2.7:8080"));
  EXPECT_EQ(access->token, "");
  EXPECT_TRUE(access->ca.empty());
}

TEST_F(FoundAccess, AMasterThatIsNoServerIsRefused) {
  const absl::Status status = FindAccess("", {"http//x y"}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("\"http//x y\" is no server"));
}

TEST_F(FoundAccess, CredentialsAreNotForPlainHttp) {
  const std::string user =
      "{token: t, tokenFile: f, as: jane, client-certificate: c, client-key: k, exec: {command: x, "
      "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}";

  ::testing::internal::CaptureStderr();
  const auto access = FindAccess(Written(Kubeconfig("{server: 'http://h:8080'}", user)), {});

  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(*access, (Access{.origin = access->origin, .servers = {"http://h:8080"}}));
  EXPECT_THAT(log, HasSubstr("credentials_not_sent"));
}

TEST_F(FoundAccess, CredentialsAreKeptWhereOneServerSpeaksTls) {
  const auto access = FindAccess(Written(WithUser("{token: t}")), {"http://h", "https://h"});

  EXPECT_EQ(access->token, "t");
}

TEST_F(FoundAccess, AFileThatIsNotThereIsSaidToBeMissing) {
  const absl::Status status = FindAccess(dir_.File("none"), {}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("/none: No such file or directory"));
}

TEST_F(FoundAccess, ADirectoryOrAPipeIsNoKubeconfig) {
  EXPECT_THAT(Message(FindAccess(dir_.path(), {}).status()), HasSubstr("it is a directory"));

  ASSERT_EQ(mkfifo(dir_.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(Message(FindAccess(dir_.File("pipe"), {}).status()), HasSubstr("it is no regular file"));
}

TEST_F(FoundAccess, ABrokenFileIsToldWithItsPlace) {
  const absl::Status status = FindAccess(Written("kind: Config\ncurrent-context: x\n"), {}).status();

  EXPECT_THAT(Message(status), StartsWith(absl::StrCat(dir_.File("kube.conf"), ":2:18: error: ")));
}

TEST_F(FoundAccess, WithoutAnythingItSaysWhatToGive) {
  const absl::Status status = FindAccess("", {}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("give a kubeconfig"));
}

TEST_F(FoundAccess, AnEmptyKubeconfigOutsideAPodIsAnError) {
  const absl::Status status = FindAccess(Written("kind: Config\n"), {}).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("`current-context`"));
}

}  // namespace
}  // namespace pointsman::kube
