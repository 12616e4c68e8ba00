// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/endpoints.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "agent/loop/clock.h"
#include "agent/serve/gzip.h"
#include "agent/serve/proxy_health.h"
#include "agent/serve/state_json.h"

namespace pointsman::serve {
namespace {

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kNotForMachines[] =
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only.\n\n";

std::string Decode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool code = text[i] == '%' && i + 2 < text.size() &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]));
    if (code) {
      out += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// Values of all "name=value" in a query; empty for a bare "name".
std::vector<std::string> Values(const std::string& query, absl::string_view name) {
  std::vector<std::string> values;
  for (const absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (Decode(pair.first) == name) values.push_back(Decode(pair.second));
  }
  return values;
}

// The check that is always well, as Kubernetes components show it: who answers is alive.
Response Ping(const std::string& name, const Request& request) {
  std::vector<std::string> excluded;
  for (const std::string& value : Values(request.query, "exclude")) {
    for (const absl::string_view check : absl::StrSplit(value, ',', absl::SkipEmpty())) excluded.emplace_back(check);
  }
  if (Values(request.query, "verbose").empty()) return Text(200, "ok");
  const bool without = std::erase(excluded, "ping") > 0;
  std::string text = without ? "[+]ping excluded: ok\n" : "[+]ping ok\n";
  if (!excluded.empty()) {
    std::sort(excluded.begin(), excluded.end());
    const auto quote = [](std::string* out, const std::string& check) { absl::StrAppend(out, "\"", check, "\""); };
    absl::StrAppend(&text, "warn: some health checks cannot be excluded: no matches for ",
                    absl::StrJoin(excluded, ",", quote), "\n");
  }
  return Text(200, absl::StrCat(text, name, " check passed\n"));
}

Response Packed(std::string text, const Request& request) {
  Response response = {.status = 200, .headers = {{"Content-Type", kMetricsType}}, .body = std::move(text)};
  if (AcceptsGzip(request.Header("accept-encoding"))) {
    if (std::optional<std::string> packed = Gzip(response.body)) {
      response.headers.emplace_back("Content-Encoding", "gzip");
      response.headers.emplace_back("Vary", "Accept-Encoding");
      response.body = *std::move(packed);
    }
  }
  return response;
}

bool Reads(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

Response NotAllowed(std::string allowed) {
  Response response = Text(405, "Method Not Allowed\n");
  response.headers.emplace_back("Allow", std::move(allowed));
  return response;
}

Response Slis(Metrics& metrics, const Request& request) {
  if (request.method == "DELETE") {
    metrics.ResetPings();
    return Text(200, "metrics reset\n");
  }
  return Reads(request) ? Packed(metrics.SliText(), request) : NotAllowed("GET, HEAD, DELETE");
}

}  // namespace

Response MetricsEndpoints::operator()(const Request& request) const {
  const std::string& path = request.path;
  if (path == "/metrics") return Reads(request) ? Packed(metrics->Text(), request) : NotAllowed("GET, HEAD");
  if (path == "/metrics/slis") return Slis(*metrics, request);
  if (path == "/healthz") metrics->CountPing();
  if (path == "/healthz" || path == "/livez") return Ping(path.substr(1), request);
  if (path == "/healthz/ping" || path == "/livez/ping") return Text(200, "ok");
  if (path == "/proxyMode") return Text(200, proxy_mode);
  if (path == "/configz") return Json(200, configz ? configz() : "{}");
  if (path == "/debug/state") return Json(200, FormatState(board->Get(), source ? source() : "", SteadyNow()));
  if (path == "/flagz") {
    std::string text = absl::StrCat("\nkube-proxy flagz\n", kNotForMachines);
    for (const auto& [name, value] : flags) absl::StrAppend(&text, name, "=", value, "\n");
    return Text(200, text);
  }
  if (path == "/statusz") {
    const absl::Time now = absl::Now();
    return Text(
        200, absl::StrCat(
                 "\nkube-proxy statusz\n", kNotForMachines,
                 "Started: ", absl::FormatTime("%a %b %e %H:%M:%S UTC %Y", started, absl::UTCTimeZone()),
                 "\nUp: ", absl::FormatDuration(absl::Trunc(now - started, absl::Seconds(1))),
                 "\nBinary version: pointsman ", version, "\nEmulation version: 1.36",
                 "\nPaths: /configz /debug/state /flagz /healthz /livez /metrics /metrics/slis /proxyMode /statusz\n"));
  }
  return NotFound();
}

Response HealthEndpoints::operator()(const Request& request) const {
  const bool healthz = request.path == "/healthz";
  const bool livez = request.path == "/livez";
  if (!healthz && !livez && request.path != "/readyz") return NotFound();
  const ProxyHealth health =
      board->Read([&](const Standing& standing) { return Assess(standing, limit, SteadyNow()); });
  if (!healthz && !livez) return Readyz(health);
  const auto answer = healthz ? Healthz : Livez;
  Response response = answer(health, absl::Now(), absl::LocalTimeZone());
  if (metrics != nullptr) healthz ? metrics->CountHealthz(response.status) : metrics->CountLivez(response.status);
  return response;
}

}  // namespace pointsman::serve
