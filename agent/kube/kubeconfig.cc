// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

#include "agent/kube/access.h"
#include "agent/kube/key_pair.h"
#include "agent/kube/text_file.h"
#include "agent/source/yaml_reader.h"
#include "agent/source/yaml_syntax.h"
#include "agent/source/yaml_tree.h"
#include "pointsman/diagnostic.h"

namespace pointsman::kube {
namespace {

constexpr size_t kMostNamesListed = 8;
constexpr absl::string_view kSecrets[] = {"token", "password", "-data"};

bool IsHostByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

bool IsPort(absl::string_view text) {
  int port = 0;
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535;
}

// Returns: what is wrong with "host", "host:port" or "[address]:port"; empty: nothing.
std::string ProblemOfHost(absl::string_view text) {
  absl::string_view host = text;
  absl::string_view port;
  if (absl::ConsumePrefix(&host, "[")) {
    const size_t end = host.find(']');
    if (end == absl::string_view::npos) return "the bracket is not closed";
    port = host.substr(end + 1);
    host = host.substr(0, end);
    const bool is_address = absl::StrContains(host, ":") && std::all_of(host.begin(), host.end(), [](char c) {
                              return IsHostByte(c) || c == ':' || c == '%';
                            });
    if (!is_address) return "what is in brackets is no IPv6 address";
  } else {
    if (std::count(host.begin(), host.end(), ':') > 1)
      return "an IPv6 address goes in brackets, as in [2001:db8::1]:6443";
    const size_t colon = host.find(':');
    port = colon == absl::string_view::npos ? "" : host.substr(colon);
    host = host.substr(0, colon);
    if (host.empty()) return "there is no host in it";
    if (!std::all_of(host.begin(), host.end(), IsHostByte)) {
      return absl::StrCat(QuoteForUser(host), " is no host name");
    }
  }
  if (!port.empty() && (!absl::ConsumePrefix(&port, ":") || !IsPort(port))) {
    return "after the host comes a colon and a port from 1 to 65535, or nothing";
  }
  return "";
}

// Splits "scheme://rest"; the scheme in lower case, empty if there is none.
std::pair<std::string, absl::string_view> SplitScheme(absl::string_view url) {
  const size_t mark = url.find("://");
  if (mark == absl::string_view::npos) return {"", url};
  return {absl::AsciiStrToLower(url.substr(0, mark)), url.substr(mark + 3)};
}

// Returns: what is wrong with the URL of a proxy; empty: nothing. It never holds the URL, which may hold a password.
std::string ProblemOfProxy(absl::string_view url) {
  auto [scheme, rest] = SplitScheme(url);
  if (scheme != "http" && scheme != "https" && scheme != "socks5") {
    return "a proxy's URL begins with http://, https:// or socks5://";
  }
  if (HasControlCharacter(rest) || absl::StrContains(rest, " ")) return "there is a blank in it";
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const size_t at = rest.rfind('@');
  if (at != absl::string_view::npos) rest.remove_prefix(at + 1);
  return ProblemOfHost(rest);
}

std::string JoinPath(absl::string_view directory, absl::string_view file) {
  if (directory.empty() || absl::StartsWith(file, "/")) return std::string(file);
  return absl::StrCat(directory, absl::EndsWith(directory, "/") ? "" : "/", file);
}

// As Kubernetes escapes what cannot stand in a header's name. Source: client-go transport/round_trippers.go.
std::string HeaderKey(absl::string_view key) {
  std::string name;
  for (char c : key) {
    const bool legal = absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("!#$&'*+-.^_`|~", c);
    if (legal) {
      name.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    } else {
      absl::StrAppend(&name, "%", absl::AsciiStrToUpper(absl::BytesToHexString(absl::string_view(&c, 1))));
    }
  }
  return name;
}

const YamlNode* Member(const YamlNode* node, absl::string_view key) {
  if (node == nullptr || node->type != YamlNode::Type::kMap) return nullptr;
  const auto found = std::find_if(node->entries.rbegin(), node->entries.rend(),
                                  [&](const YamlEntry& entry) { return entry.key == key; });
  return found != node->entries.rend() ? found->value : nullptr;
}

// The text of a node, without a word about any other kind of node.
std::optional<std::string> QuietText(const YamlNode* node) {
  if (node == nullptr) return std::nullopt;
  YamlReport unread("", 2);
  return YamlField(*node, unread).Text();
}

// A map in the tree, and the same as something to read from and to complain about.
struct Section {
  const YamlNode* node = nullptr;
  std::optional<YamlField> field;

  YamlField operator[](absl::string_view key) const { return (*field)[key]; }
};

class KubeconfigReader {
 public:
  KubeconfigReader(absl::string_view file_name, absl::string_view directory)
      : file_name_(file_name), directory_(directory), report_(file_name, 100) {}

  void ReadDocument(const YamlNode& root) {
    if (root.type == YamlNode::Type::kNull) return;  // nothing between two `---`
    const YamlField field(root, report_);
    if (std::exchange(seen_, true)) {
      field.Error("a second document begins here", "a kubeconfig is one document: put the other in a file of its own");
    } else if (root.type != YamlNode::Type::kMap) {
      field.Error("this is no kubeconfig", "it begins with `apiVersion: v1` and `kind: Config`");
    } else {
      ReadConfig(Section{&root, field});
    }
  }

  void Fail(const SyntaxProblem& problem, bool with_hint) {
    report_ = YamlReport(file_name_, 100);
    report_.Add(Severity::kError, problem.position, "", problem.problem, "", with_hint ? problem.hint : "");
  }

  absl::StatusOr<Access> Take() && {
    for (const Diagnostic& diagnostic : std::move(report_).Take()) {
      if (diagnostic.severity == Severity::kError) return absl::InvalidArgumentError(FormatDiagnostic(diagnostic));
    }
    return std::move(access_);
  }

 private:
  void ReadConfig(const Section& root) {
    const std::string kind = root["kind"].Text().value_or("");
    const std::string version = root["apiVersion"].Text().value_or("");
    if (!kind.empty() && kind != "Config") {
      root["kind"].Error(absl::StrCat(QuoteForUser(kind), " is no kubeconfig"), "give a file of kind Config");
    }
    if (!version.empty() && version != "v1") {
      root["apiVersion"].Error(absl::StrCat("unknown version ", QuoteForUser(version)), "write it as v1");
    }
    const YamlField current = root["current-context"];
    const std::string name = current.Text().value_or("");
    access_.origin = absl::Utf8SafeCHexEscape(file_name_);
    if (name.empty()) return;
    access_.origin = absl::StrCat("context ", absl::Utf8SafeCHexEscape(name), " of ", access_.origin);
    const std::optional<Section> context = Find(root, "context", name, current);
    if (!context) return;
    // The user first: whether a server without scheme speaks TLS depends on it.
    if (const std::optional<Section> user = FindReferred(root, *context, "user")) ReadUser(*user);
    if (const std::optional<Section> cluster = FindReferred(root, *context, "cluster")) ReadCluster(*cluster);
  }

  std::optional<Section> FindReferred(const Section& root, const Section& context, absl::string_view kind) {
    const std::string name = context[kind].Text().value_or("");
    if (name.empty()) return std::nullopt;
    return Find(root, kind, name, context[kind]);
  }

  // The context, cluster or user of that name, which `reference` gives.
  std::optional<Section> Find(const Section& root, absl::string_view kind, absl::string_view name,
                              const YamlField& reference) {
    const std::string list = absl::StrCat(kind, "s");
    const YamlNode* const node = Member(root.node, list);
    const std::vector<YamlField> items = root[list].Items();
    std::optional<Section> found;
    std::vector<std::string> names;
    for (size_t i = 0; i < items.size(); ++i) {
      const YamlNode* const item = node->items[i];
      const std::optional<std::string> its_name = QuietText(Member(item, "name"));
      if (!its_name) continue;
      if (names.size() < kMostNamesListed) names.push_back(QuoteForUser(*its_name));
      if (*its_name != name) continue;
      if (found) {
        items[i]["name"].Error(absl::StrCat("a second ", kind, " ", QuoteForUser(name)), "remove one of them");
        return std::nullopt;
      }
      found = Section{Member(item, kind), items[i][kind]};
      // Not shown: where a blank is missing after `token:`, it is what should not be.
      if (found->node != nullptr && found->node->type == YamlNode::Type::kScalar) {
        found->field->Error("this is no map", "each key ends in a colon and a blank");
        return std::nullopt;
      }
      found->field = found->field->Map();
      if (found->node != nullptr) CheckKeys(*found->node, found->field->path());
    }
    if (!found) {
      reference.Error(absl::StrCat("there is no ", kind, " ", QuoteForUser(name)),
                      names.empty() ? absl::StrCat("add it to `", list, "`")
                                    : absl::StrCat("those in `", list, "`: ", absl::StrJoin(names, ", ")));
    }
    return found;
  }

  // `token:abc` is a key without a value, and the token would be missed much later.
  void CheckKeys(const YamlNode& map, absl::string_view path) {
    for (const YamlEntry& entry : map.entries) {
      const size_t colon = entry.key.find(':');
      if (colon == absl::string_view::npos || entry.value->type != YamlNode::Type::kNull) continue;
      const std::string key = absl::Utf8SafeCHexEscape(entry.key.substr(0, colon));
      report_.Add(Severity::kError, entry.position, path, absl::StrCat("there is no blank after `", key, ":`"), "",
                  "each key ends in a colon and a blank");
    }
  }

  // A text that no message may show.
  static std::string Secret(const Section& section, absl::string_view key) {
    const YamlField field = section[key];
    if (!field.present()) return "";
    std::optional<std::string> text = QuietText(Member(section.node, key));
    if (!text) field.Error("this is no text", "put it in quotes");
    return std::move(text).value_or("");
  }

  // Text in base64, or a file with it: PEM, with a block whose label ends so.
  TextSource ReadPem(const Section& section, absl::string_view key, absl::string_view label) {
    const std::string data_key = absl::StrCat(key, "-data");
    const std::string data = Secret(section, data_key);
    const std::string path = section[key].Text().value_or("");
    if (!data.empty() && !path.empty()) {
      section[data_key].Error(absl::StrCat("`", key, "` and `", data_key, "` are both given"), "remove one of them");
    }
    if (data.empty()) return {.text = "", .path = path.empty() ? "" : JoinPath(directory_, path)};
    TextSource source;
    if (!absl::Base64Unescape(data, &source.text)) {
      section[data_key].Error("this is not base64",
                              absl::StrCat("write it with `base64 -w0 FILE`, or name the file in `", key, "`"));
    } else if (!HasWholePem(source.text, label)) {
      section[data_key].Error(absl::StrCat("there is no ", label, " in PEM form in it"),
                              "it is the base64 form of a whole PEM file");
    }
    return source;
  }

  void ReadCluster(const Section& cluster) {
    access_.ca = ReadPem(cluster, "certificate-authority", "CERTIFICATE");
    const YamlField insecure = cluster["insecure-skip-tls-verify"];
    access_.insecure_skip_tls_verify = insecure.Bool().value_or(false);
    if (access_.insecure_skip_tls_verify && !access_.ca.empty()) {
      insecure.Error("there is a certificate authority to verify with", "remove this, or the certificate authority");
    }
    const YamlField name = cluster["tls-server-name"];
    access_.tls_server_name = name.Text().value_or("");
    const std::string& host = access_.tls_server_name;
    if (!std::all_of(host.begin(), host.end(), [](char c) { return IsHostByte(c) || c == ':'; })) {
      name.Error(absl::StrCat(QuoteForUser(host), " is no host name"));
    }
    access_.disable_compression = cluster["disable-compression"].Bool().value_or(false);
    const YamlField proxy = cluster["proxy-url"];
    access_.proxy_url = proxy.Text().value_or("");
    if (!access_.proxy_url.empty()) {
      if (const std::string problem = ProblemOfProxy(access_.proxy_url); !problem.empty()) proxy.Error(problem);
    }
    const YamlField server = cluster["server"];
    const std::string text = server.Text().value_or("");
    if (text.empty()) return;
    absl::StatusOr<std::string> url = ServerUrl(text, access_);
    if (url.ok()) {
      access_.servers.push_back(*std::move(url));
    } else {
      server.Error(std::string(url.status().message()));
    }
  }

  void ReadUser(const Section& user) {
    if (user["auth-provider"].present()) {
      user["auth-provider"].Error("credentials of an `auth-provider` are not supported",
                                  "Kubernetes has given them up: use `exec`, `tokenFile` or a client certificate");
    }
    access_.client_certificate = ReadPem(user, "client-certificate", "CERTIFICATE");
    access_.client_key = ReadPem(user, "client-key", "PRIVATE KEY");
    if (!access_.client_certificate.empty() && access_.client_key.empty()) {
      user[access_.client_certificate.path.empty() ? "client-certificate-data" : "client-certificate"].Error(
          "the certificate's key is missing", "add `client-key` or `client-key-data`");
    }
    if (access_.client_certificate.empty()) access_.client_key = {};  // kubectl passes over one, too
    access_.token = std::string(absl::StripAsciiWhitespace(Secret(user, "token")));
    if (HasControlCharacter(access_.token) || absl::StrContains(access_.token, " ")) {
      user["token"].Error("there is a blank or a line break in it", "write it in one line");
    }
    const std::string token_file = user["tokenFile"].Text().value_or("");
    if (!token_file.empty()) access_.token_file = JoinPath(directory_, token_file);
    ReadPassword(user);
    ReadImpersonation(user);
    if (const YamlField exec = user["exec"].Map(); exec.present()) ReadExec(exec);
  }

  void ReadPassword(const Section& user) {
    const YamlField name = user["username"];
    access_.username = name.Text().value_or("");
    access_.password = Secret(user, "password");
    if (access_.username.empty() && access_.password.empty()) return;
    if (!access_.token.empty() || !access_.token_file.empty()) {
      name.Error("a token and a password are both given", "remove one of them");
    }
    if (HasControlCharacter(access_.username) || absl::StrContains(access_.username, ":")) {
      name.Error("there is a colon or a control character in it", "HTTP has no way to send it");
    }
    if (HasControlCharacter(access_.password)) {
      user["password"].Error("there is a line break or a control character in it", "HTTP has no way to send it");
    }
  }

  void AddHeader(const YamlField& field, absl::string_view name, absl::string_view value) {
    if (HasControlCharacter(value)) {
      field.Error("there is a line break or a control character in it", "write it in one line");
      return;
    }
    access_.impersonate.push_back(absl::StrCat("Impersonate-", name, ": ", value));
  }

  void ReadImpersonation(const Section& user) {
    const YamlField as = user["as"];
    const std::string name = as.Text().value_or("");
    if (!name.empty()) AddHeader(as, "User", name);
    const std::string uid = user["as-uid"].Text().value_or("");
    if (!uid.empty()) AddHeader(user["as-uid"], "Uid", uid);
    for (const YamlField& group : user["as-groups"].Items()) {
      if (const std::optional<std::string> text = group.Required().Text()) AddHeader(group, "Group", *text);
    }
    for (const auto& [key, values] : user["as-user-extra"].Entries()) {
      for (const YamlField& value : values.Items()) {
        const std::optional<std::string> text = value.Required().Text();
        if (text) AddHeader(value, absl::StrCat("Extra-", HeaderKey(key)), *text);
      }
    }
    if (name.empty() && !access_.impersonate.empty()) {
      as.Error("is missing", "`as-uid`, `as-groups` and `as-user-extra` go with the name of a user in `as`");
    }
  }

  void ReadExec(const YamlField& exec) {
    static constexpr char kV1[] = "client.authentication.k8s.io/v1";
    static constexpr char kBeta[] = "client.authentication.k8s.io/v1beta1";
    ExecPlugin plugin;
    const std::optional<std::string> version =
        exec["apiVersion"].Required().OneOf<std::string>({{kV1, kV1}, {kBeta, kBeta}});
    plugin.api_version = version.value_or("");
    const YamlField command = exec["command"].Required();
    plugin.command = command.Text().value_or("");
    if (command.present() && plugin.command.empty()) command.Error("there is no command", "name a program");
    if (absl::StrContains(plugin.command, "/")) plugin.command = JoinPath(directory_, plugin.command);
    plugin.args = exec["args"].Texts();
    for (const YamlField& variable : exec["env"].Items()) {
      const std::string name = variable.Map()["name"].Required().Text().value_or("");
      const std::string value = variable["value"].Text().value_or("");
      if (name.empty() || absl::StrContains(name, "=")) {
        variable["name"].Error("this is no name of a variable");
      } else {
        plugin.env.emplace_back(name, value);
      }
    }
    plugin.install_hint = exec["installHint"].Text().value_or("");
    plugin.provide_cluster_info = exec["provideClusterInfo"].Bool().value_or(false);
    enum class Mode : uint8_t { kNever, kIfAvailable, kAlways };
    const YamlField mode_field = exec["interactiveMode"];
    if (version == kV1) std::ignore = mode_field.Required();
    const std::optional<Mode> mode = mode_field.OneOf<Mode>(
        {{"Never", Mode::kNever}, {"IfAvailable", Mode::kIfAvailable}, {"Always", Mode::kAlways}});
    if (mode == Mode::kAlways) {
      mode_field.Error("a plug-in that always asks somebody cannot be used: nobody is at the agent's terminal",
                       "use Never or IfAvailable, with a plug-in that can do without");
    }
    access_.exec = std::move(plugin);
  }

  const absl::string_view file_name_;
  const absl::string_view directory_;
  YamlReport report_;
  bool seen_ = false;
  Access access_;
};

// Whether a line has something in it that is not for the log.
bool LineHoldsSecret(absl::string_view text, int line) {
  for (int skipped = 1; skipped < line; ++skipped) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  return std::any_of(std::begin(kSecrets), std::end(kSecrets),
                     [&](absl::string_view word) { return absl::StrContains(text, word); });
}

}  // namespace

absl::StatusOr<std::string> ServerUrl(absl::string_view text, const Access& access) {
  const bool tls = !access.ca.empty() || !access.client_certificate.empty() || access.insecure_skip_tls_verify;
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  auto [scheme, rest] = SplitScheme(trimmed);
  if (scheme.empty()) scheme = tls ? "https" : "http";
  std::string problem;
  const absl::string_view host = rest.substr(0, rest.find('/'));
  if (scheme != "http" && scheme != "https") {
    problem = "a server's URL begins with https:// or http://";
  } else if (HasControlCharacter(rest) || rest.find_first_of(" \"\\") != absl::string_view::npos) {
    problem = "there is a blank, a quote or a backslash in it";
  } else if (absl::StrContains(host, "@")) {
    return absl::InvalidArgumentError(
        "the server's URL has a user in it; write it without, and give `username` and `password`");
  } else if (rest.find_first_of("?#") != absl::string_view::npos) {
    problem = "a server's URL ends with its path";
  } else {
    problem = ProblemOfHost(host);
  }
  if (!problem.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteForUser(text), " is no server: ", problem, "; for instance https://192.0.2.1:6443"));
  }
  while (absl::ConsumeSuffix(&rest, "/")) {
  }
  return absl::StrCat(scheme, "://", rest);
}

absl::StatusOr<Access> ParseKubeconfig(absl::string_view file_name, absl::string_view directory,
                                       absl::string_view text) {
  KubeconfigReader reader(file_name, directory);
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  if (const std::optional<SyntaxProblem> problem = CheckText(text)) {
    reader.Fail(*problem, true);
    return std::move(reader).Take();
  }
  std::string joined;
  if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{") && absl::StrContains(text, "\\u")) {
    joined = JoinSurrogates(text);
    text = joined;
  }
  if (const auto error = ParseYaml(text, [&](const YamlNode& root) { reader.ReadDocument(root); })) {
    const SyntaxProblem problem = ExplainYamlError(text, *error);
    reader.Fail(problem, !LineHoldsSecret(text, problem.position.line));
  }
  return std::move(reader).Take();
}

}  // namespace pointsman::kube
