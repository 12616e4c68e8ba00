// SPDX-License-Identifier: Apache-2.0
#include "tests/check/layering.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

#include "tests/check/tree.h"

namespace pointsman::check {
namespace {

// A pattern is the beginning of what stands after #include, bracket or quote included, or one of these classes.
constexpr char kStd[] = "std";      // <vector>
constexpr char kPosix[] = "posix";  // <unistd.h>, <sys/epoll.h>; not the kernel's own <linux/...>

struct Row {
  std::string files;  // beginning of a path; the first row that fits is the one that counts
  std::vector<std::string> may;
  std::vector<std::string> may_not;  // exceptions from `may`
  std::string why;
};

std::vector<std::string> Join(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const std::vector<Row>& Table() {
  static const auto& table = *[] {
    // What code that only turns values into values has no use for.
    const std::vector<std::string> impure = {"<thread>",
                                             "<mutex>",
                                             "<shared_mutex>",
                                             "<condition_variable>",
                                             "<future>",
                                             "<atomic>",
                                             "<fstream>",
                                             "<iostream>",
                                             "<filesystem>",
                                             "<chrono>",
                                             "<random>",
                                             "<cstdio>",
                                             "\"absl/synchronization/",
                                             "\"absl/random/",
                                             "\"absl/time/clock.h\"",
                                             "\"pointsman/log.h",
                                             "\"pointsman/netlink.h"};
    const std::vector<std::string> kubernetes = {
        "\"pointsman/api.h",    "\"pointsman/store.h",       "\"pointsman/model.h",       "\"pointsman/plan.h",
        "\"pointsman/packet.h", "\"pointsman/nft_program.h", "\"pointsman/nft_simulate.h"};
    // <arpa/inet.h> is byte order and address text.
    const std::vector<std::string> pure = {kStd, "<arpa/inet.h>", "\"absl/", "\"pointsman/"};
    const std::vector<std::string> kernel = {kStd,         kPosix,     "\"absl/",    "\"pointsman/",
                                             "\"netlink/", "<libmnl/", "<libnftnl/", "<netlink/"};
    const std::vector<std::string> tests = {kStd,           kPosix,       "\"absl/",    "\"pointsman/", "\"tests/",
                                            "\"gtest/",     "\"gmock/",   "<gtest/",    "<gmock/",      "<rapidcheck",
                                            "\"rapidcheck", "<nlohmann/", "\"nlohmann/"};
    const std::string pure_why = "rules/ is values in, values out: no files, clocks, threads, sockets or logs";
    return new std::vector<Row>{
        {"include/",
         {kStd, "\"absl/", "\"pointsman/"},
         {},
         "the shared vocabulary knows the standard library and abseil"},
        {"rules/types/status.cc", Join(pure, {"<cstdio>"}), {}, "PM_CHECK has the last word on standard error"},
        {"rules/nft/format_json", Join(pure, {"\"rules/", "\"nlohmann/", "<nlohmann/"}), impure, pure_why},
        {"rules/", Join(pure, {"\"rules/"}), impure, pure_why},

        {"netlink/core/uapi.h", Join(kernel, {"<linux/"}), kubernetes, "the one door to the kernel's headers"},
        {"netlink/leftovers/uapi.h", Join(kernel, {"<linux/"}), kubernetes, "headers nobody else needs"},
        {"netlink/leftovers/xtables.h", Join(kernel, {"<linux/", "<libiptc/"}), kubernetes,
         "libiptc does not go with the other door"},
        {"netlink/core/", kernel, kubernetes,
         "the kernel's headers come through netlink/core/uapi.h; no Kubernetes words"},
        {"netlink/", kernel, Join(kubernetes, {"\"pointsman/log.h"}),
         "the kernel's headers come through netlink/core/uapi.h; no Kubernetes words; only netlink/core logs"},

        {"agent/kube/",
         {kStd, kPosix, "\"absl/", "\"pointsman/", "\"agent/", "<curl/", "<google/protobuf/", "\"nlohmann/",
          "<nlohmann/"},
         {},
         "the API server's protocol; no kernel"},
        {"agent/serve/http_",
         {kStd, kPosix, "\"absl/", "\"pointsman/", "\"agent/", "<event2/"},
         {},
         "the one place that knows how HTTP is served; no kernel"},
        {"agent/metrics/",
         {kStd, kPosix, "\"absl/", "\"pointsman/", "\"agent/", "<prometheus/"},
         {},
         "the one place that knows how metrics are kept; no kernel"},
        {"agent/",
         {kStd, kPosix, "\"absl/", "\"pointsman/", "\"agent/", "\"yaml-cpp/", "<yaml-cpp/", "\"CLI/", "<CLI/",
          "\"nlohmann/", "<nlohmann/"},
         {},
         "agent/ knows the public headers of the other two, and no kernel headers"},

        {"tests/support/tsan_mutex.cc", {"<sanitizer/", "\"absl/"}, {}, "the sanitizer's side of abseil"},
        {"tests/unit/rules/", Join(tests, {"\"rules/"}), {}, "a private header only from its mirror path"},
        {"tests/unit/netlink/",
         Join(tests, {"\"netlink/", "<libmnl/", "<libnftnl/"}),
         {},
         "a private header only from its mirror path"},
        {"tests/support/fake_api/",
         Join(tests, {"\"agent/kube/api.pb.h", "<google/protobuf/", "<nghttp2/", "<openssl/", "<zlib.h>"}),
         {},
         "an API server of our own, that shares the messages and nothing else with the client"},
        {"tests/unit/agent/kube/fake_api_",
         Join(tests, {"\"agent/kube/api.pb.h", "<google/protobuf/", "<curl/"}),
         {},
         "our own API server is tried with somebody else's client"},
        {"tests/unit/agent/",
         Join(tests, {"\"agent/", "\"yaml-cpp/", "<google/protobuf/"}),
         {},
         "a private header only from its mirror path"},
        // These bring the parts together, or feed them bytes no public header takes.
        {"tests/fuzz/", Join(tests, {"\"rules/", "\"netlink/", "\"agent/"}), {}, "fuzzing reaches into all three"},
        {"tests/golden/",
         Join(tests, {"\"agent/source/", "\"agent/config.h", "\"agent/cmd/trace.h"}),
         {},
         "golden cases are read as the agent reads them"},
        {"tests/scenario/",
         Join(tests, {"\"agent/source/", "\"agent/config.h"}),
         {},
         "scenario cases are read as the agent reads them"},
        {"tests/support/settings",
         Join(tests, {"\"agent/source/allocate.h", "\"agent/config.h"}),
         {},
         "settings of cases are understood as the agent understands them"},
        {"tests/deploy/", Join(tests, {"<yaml-cpp/"}), {}, "what is deployed is read with a reader that is not ours"},
        {"tests/netns/netlink/", Join(tests, {"\"netlink/"}), {}, "the codec meets the kernel"},
        {"tests/", tests, {}, "tests see what the public sees"},
        {"bench/",
         Join(tests, {"\"benchmark/", "<benchmark/", "\"bench/", "\"rules/", "\"netlink/", "\"agent/", "<nftables/",
                      "<valgrind/"}),
         {},
         "benchmarks time every stage"},
    };
  }();
  return table;
}

bool Fits(absl::string_view pattern, absl::string_view include) {
  const absl::string_view name = include.substr(1, include.size() - 2);
  const bool angled = absl::StartsWith(include, "<");
  if (pattern == kStd) return angled && !absl::StrContains(name, "/") && !absl::EndsWith(name, ".h");
  if (pattern == kPosix) {
    if (!angled || !absl::EndsWith(name, ".h")) return false;
    if (!absl::StrContains(name, "/")) return true;
    for (const char* directory : {"sys/", "net/", "netinet/", "arpa/"}) {
      if (absl::StartsWith(name, directory)) return true;
    }
    return false;
  }
  return absl::StartsWith(include, pattern);
}

bool FitsAny(const std::vector<std::string>& patterns, absl::string_view include) {
  for (const std::string& pattern : patterns) {
    if (Fits(pattern, include)) return true;
  }
  return false;
}

// "<vector>" of `#include <vector>  // for Foo`; empty if `line` is another one.
absl::string_view IncludeOf(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return {};
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "include")) return {};
  line = absl::StripLeadingAsciiWhitespace(line);
  if (line.empty()) return {};
  const size_t end = line.find(line[0] == '<' ? '>' : '"', 1);
  return end == absl::string_view::npos ? line : line.substr(0, end + 1);
}

}  // namespace

std::vector<std::string> LayeringViolations(const Tree& tree) {
  std::vector<std::string> violations;
  for (const auto& [path, text] : tree) {
    const Row* row = nullptr;
    for (const Row& candidate : Table()) {
      if (row == nullptr && absl::StartsWith(path, candidate.files)) row = &candidate;
    }
    ForEachLine(text, [&, &file = path](int number, absl::string_view line) {
      const absl::string_view include = IncludeOf(line);
      if (include.empty()) return;
      const std::string place = absl::StrCat(file, ":", number, ": ", include);
      if (row == nullptr) {
        violations.push_back(place + ": the table has no row for this file");
      } else if (!FitsAny(row->may, include) || FitsAny(row->may_not, include)) {
        violations.push_back(absl::StrCat(place, ": ", row->why));
      }
    });
  }
  return violations;
}

}  // namespace pointsman::check
