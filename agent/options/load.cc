// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/options/command_line.h"
#include "agent/options/config_file.h"
#include "agent/options/effective.h"
#include "agent/options/fields.h"
#include "agent/options/validate.h"
#include "agent/options/value.h"

namespace pointsman::options {
namespace {

class Loader {
 public:
  explicit Loader(const CommandLine& line) : line_(line) {}

  Loaded Load(absl::FunctionRef<absl::StatusOr<std::string>(const std::string&)> read) && {
    for (const Given& given : line_.given) {
      if (given.flag->name == "config") Apply(given);
    }
    if (settings_.config_file.empty()) {
      FlagDefaults();
    } else {
      ReadFile(read);
    }
    // Whoever puts this in kube-proxy's place wants it to work: rules of the old one would be met first, and are kept
    // up to date by nobody.
    settings_.own.take_over = line_.of_kube_proxy;
    ApplyFlags();
    Complete();
    for (const Diagnostic& error : Validate(settings_)) loaded_.errors.push_back(error);
    for (Remark& remark : RemarksOn(settings_)) settings_.remarks.push_back(std::move(remark));
    if (settings_.own.strict_config) RefuseUnknown();
    return std::move(loaded_);
  }

 private:
  void Fail(const std::string& where, const std::string& field, const std::string& problem, const std::string& hint) {
    loaded_.errors.push_back({Severity::kError, where, "", field, problem, "", hint});
  }

  void ReadFile(absl::FunctionRef<absl::StatusOr<std::string>(const std::string&)> read) {
    const absl::StatusOr<std::string> text = read(settings_.config_file);
    if (!text.ok()) {
      Fail("--config", "", std::string(text.status().message()), "");
      return;
    }
    for (Diagnostic& error : ReadConfigFile(settings_.config_file, *text, settings_)) {
      loaded_.errors.push_back(std::move(error));
    }
  }

  // Those that differ from the file's.
  void FlagDefaults() {
    for (const Field& field : Fields()) {
      if (!field.flag_default.empty()) SetFromText(field.slot, settings_, field.flag_default);
    }
    // kube-proxy's own default, iptables, is for kube-proxy's command lines.
    if (!line_.of_kube_proxy) settings_.proxy.mode = "nftables";
  }

  void Apply(const Given& given) {
    const std::string where = absl::StrCat("--", given.flag->name);
    // An empty address means nothing, but that of a server: there it means none.
    if (given.value.empty() && (given.flag->name == "bind-address" || given.flag->name == "hostname-override" ||
                                given.flag->name == "node-name")) {
      return;
    }
    for (const Field* field : given.flag->fields) {
      const std::string name = NameOf(*field);
      if (settings_.OriginOf(name) != Origin::kFlag && given.flag->name != "config") Clear(field->slot, settings_);
      if (!field->commas) {
        std::get<Place<Texts>>(field->slot)(settings_).push_back(given.value);
      } else if (const auto problem = SetFromText(field->slot, settings_, given.value)) {
        Fail(where, "", *problem, "");
        return;
      }
      settings_.origins[name] = Origin::kFlag;
      settings_.places[name] = where;
    }
  }

  void ApplyFlags() {
    std::vector<std::string> overruled;
    const Vmodules of_file = settings_.proxy.logging.vmodule;
    for (const Given& given : line_.given) {
      if (given.flag->name == "config") continue;
      const std::string name = absl::StrCat("--", given.flag->name);
      const bool ports = given.flag->name == "healthz-port" || given.flag->name == "metrics-port";
      if (settings_.config_file.empty() || (given.flag->BeatsFile() && !ports)) {
        Apply(given);
      } else if (std::find(overruled.begin(), overruled.end(), name) == overruled.end()) {
        overruled.push_back(name);
      }
    }
    if (settings_.OriginOf("logging.vmodule") == Origin::kFlag) {
      Vmodules& all = settings_.proxy.logging.vmodule;
      all.insert(all.end(), of_file.begin(), of_file.end());
    }
    if (overruled.empty()) return;
    settings_.remarks.push_back(
        {Remark::Kind::kOverruled, "--config", absl::StrJoin(overruled, " "),
         absl::StrCat("has no effect: ", settings_.config_file, " says it, or its defaults do")});
  }

  // An address without a port gets the one of the flag for it; port 0 turns the server off.
  void CompleteAddress(std::string& address, const char* path, int32_t port, int default_port, const char* flag) {
    const bool ports_count = settings_.config_file.empty() && settings_.invocation.write_config_to.empty();
    if (!ports_count) {
      address = WithPort(address, default_port);
      return;
    }
    if (port == 0) {
      address.clear();
      settings_.origins[path] = Origin::kFlag;
      settings_.places[path] = flag;
      return;
    }
    if (port < 0 || port > 65535) {
      Fail(flag, "", absl::StrCat(port, " is out of range"), "write 1 to 65535, or 0 for no server");
      return;
    }
    const std::string with_port = WithPort(address, port);
    if (with_port == address && !address.empty() && port != default_port) {
      settings_.remarks.push_back({Remark::Kind::kIgnored, flag, flag,
                                   absl::StrCat("has no effect: ", path, " is ", address, ", with a port of its own")});
    }
    address = with_port;
  }

  void Complete() {
    KubeProxyConfiguration& proxy = settings_.proxy;
    CompleteAddress(proxy.healthz_bind_address, "healthzBindAddress", settings_.invocation.healthz_port, kHealthzPort,
                    "--healthz-port");
    CompleteAddress(proxy.metrics_bind_address, "metricsBindAddress", settings_.invocation.metrics_port, kMetricsPort,
                    "--metrics-port");
    if (!proxy.hostname_override.empty()) {
      proxy.hostname_override = NormaliseNodeName(proxy.hostname_override);
      if (proxy.hostname_override.empty()) {
        Fail(PlaceOf(settings_, "hostnameOverride"), "hostnameOverride", "there are only blanks",
             "give a name, or leave it out");
      }
    }
    if (proxy.detect_local_mode.empty()) proxy.detect_local_mode = "ClusterCIDR";
    if (proxy.mode == "nftables" && proxy.node_port_addresses.empty()) proxy.node_port_addresses = {"primary"};
  }

  void RefuseUnknown() {
    for (const Remark& remark : settings_.remarks) {
      if (remark.kind == Remark::Kind::kUnknown) {
        Fail(remark.where, remark.what, remark.why, "--pointsman.strict-config does not allow it");
      }
    }
  }

  const CommandLine& line_;
  Loaded loaded_;
  Settings& settings_ = loaded_.settings;
};

}  // namespace

Loaded LoadSettings(const CommandLine& line,
                    absl::FunctionRef<absl::StatusOr<std::string>(const std::string& path)> read) {
  return Loader(line).Load(read);
}

}  // namespace pointsman::options
