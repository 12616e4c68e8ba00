// SPDX-License-Identifier: Apache-2.0
//
// pointsman_demo EXAMPLES: the real thing, in a small world of network namespaces that ends with this program.
// Every claim it prints is checked; the first that does not hold ends it with a line that says so.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "tests/support/agent_process.h"
#include "tests/support/files.h"
#include "tests/support/process.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace pointsman::support {
namespace {

const bool kTerminal = isatty(STDOUT_FILENO) != 0;

std::string Paint(const char* code, const std::string& text) {
  return kTerminal ? absl::StrCat("\033[", code, "m", text, "\033[0m") : text;
}
std::string Bold(const std::string& text) { return Paint("1", text); }
std::string Dim(const std::string& text) { return Paint("2", text); }
std::string Green(const std::string& text) { return Paint("32", text); }

void Say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}
void Chapter(const std::string& title) { Say(absl::StrCat("\n", Bold(title))); }
void Prompt(const std::string& command) { Say(absl::StrCat(Dim("$ "), command)); }

// Ends the program at once, from any thread. Namespaces and child processes end with it; the directory would not.
[[noreturn]] void Leave(const TempDir& manifests, int code) {
  std::fflush(stdout);
  std::error_code ignored;
  std::filesystem::remove_all(manifests.path(), ignored);
  std::_Exit(code);
}

void Quote(const std::string& text, size_t most_lines = 100) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  for (size_t i = 0; i < std::min(lines.size(), most_lines); ++i) {
    Say(absl::StrCat("  ", absl::StrReplaceAll(lines[i], {{"\t", "  "}})));
  }
}

void Chart(const std::map<std::string, int64_t>& counts) {
  int64_t most = 1;
  for (const auto& [name, count] : counts) most = std::max(most, count);
  for (const auto& [name, count] : counts) {
    std::string bar;
    for (int64_t i = 0; i < 40 * count / most; ++i) bar += "█";
    Say(absl::StrFormat("  %-14s %s %d", name, Green(bar), count));
  }
}

class Demo {
 public:
  Demo(const std::string& examples, const TempDir& manifests)
      : world_({.pods = 3, .pods4 = "10.244.1."}), manifests_(manifests) {
    CopyFiles(examples, manifests_.path(), ".yaml");
    for (int i = 0; i < world_.pods(); ++i) {
      const IpAddr ip = world_.pod_ip(i, Family::kIpv4);
      servers_.push_back(std::make_unique<NameServer>(world_.pod(i), FormatIp(ip)));
      for (const uint16_t port : {uint16_t{8080}, uint16_t{8761}}) servers_.back()->Listen(Protocol::kTcp, {ip, port});
    }
    const IpAddr dns = world_.pod_ip(2, Family::kIpv4);
    servers_.back()->Listen(Protocol::kUdp, {dns, 53});
    servers_.back()->Listen(Protocol::kTcp, {dns, 53});
  }

  void Go() {
    Chapter("A client, a node and three pods, each in a network namespace of its own");
    Say("  client 192.0.2.2 ── 192.0.2.1 node ─┬─ pod 10.244.1.11");
    Say("                                      ├─ pod 10.244.1.12");
    Say("                                      └─ pod 10.244.1.13");
    Start();
    Balance();
    Serve();
    Explain();
    TakeAway();
    Repair();
    Stop();
  }

 private:
  void Expect(bool holds, const std::string& claim) {
    if (holds) return;
    std::fprintf(stderr, "demo: this does not hold: %s\n", claim.c_str());
    Leave(manifests_, 1);
  }

  void Start() {
    Chapter("The agent programs the node's kernel from the manifests");
    Prompt("pointsman run --manifests examples/ &");
    const absl::Time begin = absl::Now();
    agent_ = std::make_unique<AgentProcess>(world_.node(), std::vector<std::string>{"--manifests", manifests_.path()});
    Expect(agent_->WaitReady(), "the agent gets ready\n" + agent_->log());
    const absl::Duration took = absl::Now() - begin;
    ShowLog(0);
    Say(absl::StrFormat("  ready %s after its start", absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1)))));
  }

  void Balance() {
    Chapter("Real HTTP through a ClusterIP and a NodePort reaches every endpoint");
    Prompt("curl http://10.96.0.80/            # shop/web, 600 times");
    ExpectSpread({Ip("10.96.0.80"), 80}, 600, 3);
    Prompt("curl http://192.0.2.1:30007/       # default/discovery-service by its NodePort, 400 times");
    ExpectSpread({world_.node_ip(Family::kIpv4), 30007}, 400, 2);
  }

  void Serve() {
    Chapter("One address and port in two protocols");
    for (const Protocol protocol : {Protocol::kUdp, Protocol::kTcp}) {
      const Reply reply = Ask(world_.client(), protocol, {Ip("10.96.0.10"), 53});
      Say(absl::StrFormat("  10.96.0.10:53/%s  %s", FormatProtocol(protocol), reply.Text()));
      Expect(reply.name == "10.244.1.13", "kube-dns answers over UDP and TCP");
    }
  }

  void Explain() {
    Chapter("Where a packet goes, and by which rules");
    Prompt("pointsman trace --manifests examples/ 192.0.2.2 10.96.0.80:80");
    const ProcessResult trace = Pointsman(
        {"trace", "--manifests", manifests_.path(), FormatIp(world_.client_ip(Family::kIpv4)), "10.96.0.80:80"});
    Quote(trace.out);
    Expect(trace.exit_code == 0, absl::StrCat("plan and kernel agree: ", trace.out, trace.err));
  }

  void TakeAway() {
    Chapter("An endpoint leaves while requests run");
    const std::string file = manifests_.File("web.yaml");
    const std::string line = "  - addresses: [\"10.244.1.12\"]\n";
    const std::string yaml = ReadFile(file);
    const size_t at = yaml.find(line);
    Expect(at != std::string::npos, "web.yaml has the endpoint 10.244.1.12");

    Load load(world_.client(), {Ip("10.96.0.80"), 80}, 500);
    absl::SleepFor(absl::Seconds(2));
    Prompt("sed -i '/10.244.1.12/d' web.yaml   # 500 requests a second are on their way");
    const size_t mark = agent_->Mark();
    ReplaceFile(file, std::string(yaml).erase(at, line.size()));
    Expect(agent_->WaitForEvent("reconciled", absl::Seconds(5), mark), "the agent follows the file");
    ShowLog(mark);
    absl::SleepFor(absl::Milliseconds(100));  // those already on their way
    const LoadReport before = load.Snapshot();
    absl::SleepFor(absl::Seconds(2));
    const LoadReport all = load.Stop();

    std::map<std::string, int64_t> after = all.by_name;
    for (const auto& [name, count] : before.by_name) after[name] -= count;
    Say("  before");
    Chart(before.by_name);
    Say("  after");
    Chart(after);
    Say(absl::StrFormat("  %d requests, %d failed, the slowest took %s", all.started, all.failed,
                        absl::FormatDuration(absl::Trunc(all.slowest, absl::Microseconds(10)))));
    Expect(all.failed == 0 && all.answered == all.started, "no request failed: " + all.Text());
    Expect(before.by_name.count("10.244.1.12") == 1, "10.244.1.12 had its share before");
    Expect(after["10.244.1.12"] == 0, "no new request reached 10.244.1.12 once it had left");
    Expect(after["10.244.1.11"] > 0 && after["10.244.1.13"] > 0, "the other two went on");
  }

  void Repair() {
    Chapter("What is in the kernel, and what should be");
    Prompt("pointsman dump --manifests examples/ | grep -A 6 'map frontends'");
    const ProcessResult dump = Pointsman({"dump", "--manifests", manifests_.path()});
    Expect(dump.exit_code == 0, "dump succeeds: " + dump.err);
    const size_t at = dump.out.find("\tmap frontends");
    Expect(at != std::string::npos, "dump shows the map of frontends");
    Quote(dump.out.substr(at), 7);
    Prompt("pointsman diff --manifests examples/");
    ExpectDiff(0, "no differences");

    // Stopped, so that it cannot heal what is to be shown.
    agent_->process().Signal(SIGSTOP);
    Prompt("nft delete element ip pointsman frontends '{ 10.96.0.80 . tcp . 80 }'   # behind the agent's back");
    const ProcessResult nft = RunProcess(
        world_.node(), {"nft", "delete", "element", "ip", "pointsman", "frontends", "{ 10.96.0.80 . tcp . 80 }"});
    Expect(nft.exit_code == 0, "nft deletes the element: " + nft.err);
    Prompt("pointsman diff --manifests examples/");
    ExpectDiff(1, "10.96.0.80 . tcp . 80");
    agent_->process().Signal(SIGCONT);
    const absl::Time begin = absl::Now();
    const bool healed = Eventually(absl::Seconds(5), [&] {
      return Ask(world_.client(), Protocol::kTcp, {Ip("10.96.0.80"), 80}, absl::Milliseconds(100)).outcome ==
             Outcome::kAnswered;
    });
    Expect(healed, "the agent puts the element back");
    Say(absl::StrFormat("  the agent has put it back, %s later",
                        absl::FormatDuration(absl::Trunc(absl::Now() - begin, absl::Milliseconds(10)))));
  }

  void Stop() {
    Chapter("Stopping leaves the rules; cleanup takes them away");
    Prompt("kill %1");
    Expect(agent_->Terminate().exit_code == 0, "the agent stops when it is told");
    const Reply reply = Ask(world_.client(), Protocol::kTcp, {Ip("10.96.0.80"), 80});
    Say(absl::StrCat("  http://10.96.0.80/ is still ", reply.Text()));
    Expect(reply.outcome == Outcome::kAnswered, "the Service works without the agent");
    Prompt("pointsman cleanup");
    const ProcessResult cleanup = Pointsman({"cleanup"});
    Quote(cleanup.out);
    Expect(cleanup.exit_code == 0, "cleanup succeeds: " + cleanup.err);
    Expect(RunProcess(world_.node(), {"nft", "list", "ruleset"}).out.empty(), "nothing is left in the kernel");
    Say(Green("\nEverything above was checked as it happened; the namespaces are gone with this program."));
  }

  ProcessResult Pointsman(const std::vector<std::string>& args) { return RunPointsman(world_.node(), args); }

  void ShowLog(size_t since) {
    for (const LogLine& line : ParseLog(agent_->log().substr(since))) Say(absl::StrCat("  ", Dim(line.text)));
  }

  void ExpectDiff(int exit_code, const std::string& part) {
    const ProcessResult diff = Pointsman({"diff", "--manifests", manifests_.path()});
    Quote(diff.out);
    Expect(diff.exit_code == exit_code, absl::StrCat("diff exits with ", exit_code, ": ", diff.err));
    Expect(absl::StrContains(diff.out, part), "diff says " + part);
  }

  void ExpectSpread(const SocketAddr& at, int times, size_t endpoints) {
    std::map<std::string, int64_t> counts;
    for (int i = 0; i < times; ++i) {
      const Reply reply = Ask(world_.client(), Protocol::kTcp, at);
      Expect(reply.outcome == Outcome::kAnswered, absl::StrCat(FormatSocketAddr(at), " answers: ", reply.Text()));
      ++counts[reply.name];
    }
    Chart(counts);
    Expect(counts.size() == endpoints, absl::StrCat(endpoints, " endpoints answer"));
    // Six standard deviations: an even draw fails here once in a billion demos.
    const double even = static_cast<double>(times) / static_cast<double>(endpoints);
    for (const auto& [name, count] : counts) {
      Expect(std::abs(static_cast<double>(count) - even) < 6 * std::sqrt(even), name + " gets its share");
    }
  }

  World world_;
  const TempDir& manifests_;
  std::vector<std::unique_ptr<NameServer>> servers_;
  std::unique_ptr<AgentProcess> agent_;
};

}  // namespace
}  // namespace pointsman::support

int main(int argc, char** argv) {
  using pointsman::support::Demo;
  using pointsman::support::TempDir;
  if (argc != 2) {
    std::fprintf(stderr, "usage: pointsman_demo EXAMPLES\n");
    return 2;
  }
  const TempDir manifests;
  // Blocked before there are other threads, so that only this one gets them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([&] {
    int signal = 0;
    sigwait(&signals, &signal);
    pointsman::support::Leave(manifests, 128 + signal);
  }).detach();

  Demo(argv[1], manifests).Go();
  return 0;
}
