// SPDX-License-Identifier: Apache-2.0
//
// From the API server to a model, and to a full kernel: time, memory and bytes, with 10,000 Services of 10 endpoints
// each. The server runs here, each measured client in a process of its own. Needs root, or user namespaces.
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "agent/config.h"
#include "agent/kube/kube_source.h"
#include "agent/loop/inbox.h"
#include "agent/reconcile/driver.h"
#include "bench/cluster.h"
#include "pointsman/netlink.h"
#include "pointsman/status.h"
#include "pointsman/store.h"
#include "tests/support/fake_api/certificates.h"
#include "tests/support/fake_api/fake_api.h"
#include "tests/support/files.h"
#include "tests/support/netns.h"
#include "tests/support/process.h"

namespace pointsman::bench {
namespace {

constexpr int kServices = 10'000;
constexpr int kEndpoints = 10;
constexpr absl::Duration kSettling = absl::Seconds(2);
constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr char kChild[] = "--child";

// What a client does.
constexpr char kIdle[] = "idle";    // nothing
constexpr char kModel[] = "model";  // fills a Store
constexpr char kAgent[] = "agent";  // what `pointsman run` does, with the kernel

struct Setup {
  const char* name;
  const char* content_type;
  bool watch_list;
};
constexpr Setup kSetups[] = {
    {"protobuf, WatchList", kube::kProtobufType, true},
    {"protobuf, LIST in pages", kube::kProtobufType, false},
    {"JSON, WatchList", kube::kJsonType, true},
    {"JSON, LIST in pages", kube::kJsonType, false},
};

// What the client says of itself, on one line of numbers in this order.
struct Figures {
  double seconds = 0;  // from the start of the source to the work done
  int64_t peak_kb = 0;
  int64_t steady_kb = 0;
  int64_t used_kb = 0;  // of the heap, without what only malloc holds
  int64_t bytes = 0;    // of answers, as they came
};

// --- the client

// A line of /proc/self/status.
int64_t StatusKb(const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(support::ReadFile("/proc/self/status"), '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t kb = 0;
    if (words.size() == 3 && words[0] == name && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  support::Fatal(absl::StrCat("no ", name, " in /proc/self/status"));
}

void WaitFor(int fd, absl::Duration longest) {
  pollfd p = {fd, POLLIN, 0};
  poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(longest)));
}

[[noreturn]] void GiveUp() { support::Fatal("the client was not done in time"); }

void FillStore(Inbox& inbox, Store& store) {
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
    WaitFor(inbox.fd(), absl::Seconds(1));
    const Inbox::Delivery delivery = inbox.Take();
    store.Apply(delivery.batch);
    if (!delivery.synced) continue;
    PM_CHECK(store.size() >= 2 * kServices);
    return;
  }
  GiveUp();
}

// The reconciling half of the agent, as `pointsman run` puts it together.
struct Agent {
  std::unique_ptr<Dataplane> dataplane = OpenNftDataplane().value();
  Driver driver;

  explicit Agent(Inbox& inbox)
      : driver({.node_name = "node-0", .cluster_cidrs = {*Cidr::Parse("10.0.0.0/8")}}, inbox, *dataplane,
               {.diagnostic = [](const Diagnostic&) {},
                .pass = [](const PassReport&) {},
                .error = [](const absl::Status& error, const char*) { support::Fatal(std::string(error.message())); },
                .clean = [](const std::vector<FlowCheck>&) {},
                .not_remembered = [](uint64_t) {}}) {
    driver.SetAddresses(ReadAddresses().value());
  }

  void FillKernel(Inbox& inbox) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      const absl::Time next = driver.Step(absl::Now());
      if (inbox.synced() && driver.idle()) return;
      WaitFor(inbox.fd(), std::clamp(next - absl::Now(), absl::ZeroDuration(), absl::Seconds(1)));
      driver.Wake();
    }
    GiveUp();
  }
};

// Arguments: work, URL, content type. The CA is standard input.
int RunClient(const std::vector<std::string>& args) {
  const std::string& work = args.at(0);
  Figures figures;
  Inbox inbox;
  Store store;
  std::optional<Agent> agent;
  std::optional<kube::KubeSource> source;
  if (work != kIdle) {
    kube::SourceOptions options;
    options.access.origin = "kube_bench";
    options.access.servers = {args.at(1)};
    options.access.ca.text.assign(std::istreambuf_iterator<char>(std::cin), {});
    options.node_name = "node-0";
    options.content_type = args.at(2);
    if (work == kAgent) agent.emplace(inbox);
    const absl::Time start = absl::Now();
    source.emplace(std::move(options), inbox, [](const Diagnostic& d) { support::Fatal(FormatDiagnostic(d)); });
    if (agent) {
      agent->FillKernel(inbox);
    } else {
      FillStore(inbox, store);
    }
    figures.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  }
  absl::SleepFor(kSettling);
  figures.peak_kb = StatusKb("VmHWM");
  figures.steady_kb = StatusKb("VmRSS");
  const struct mallinfo2 heap = mallinfo2();
  figures.used_kb = static_cast<int64_t>((heap.uordblks + heap.hblkhd) / 1024);
  if (source) figures.bytes = source->status().http.bytes_received;
  absl::PrintF("%.3f %d %d %d %d\n", figures.seconds, figures.peak_kb, figures.steady_kb, figures.used_kb,
               figures.bytes);
  return 0;
}

// --- the server

kube::ObjectMeta MetaOf(const ObjectMeta& meta) {
  kube::ObjectMeta message;
  message.set_namespace_(meta.name.ns);
  message.set_name(meta.name.name);
  for (const auto& [key, value] : meta.labels) (*message.mutable_labels())[key] = value;
  return message;
}

kube::Service MessageOf(const Service& service) {
  kube::Service message;
  *message.mutable_metadata() = MetaOf(service.meta);
  message.mutable_spec()->set_type("ClusterIP");
  message.mutable_spec()->set_session_affinity("None");
  message.mutable_spec()->set_internal_traffic_policy("Cluster");
  message.mutable_spec()->set_cluster_ip(service.cluster_ips.front());
  message.mutable_spec()->add_cluster_ips(service.cluster_ips.front());
  message.mutable_spec()->add_ip_families("IPv4");
  for (const ServicePortSpec& from : service.ports) {
    kube::ServicePort* port = message.mutable_spec()->add_ports();
    port->set_name(from.name);
    port->set_protocol("TCP");
    port->set_port(from.port);
  }
  return message;
}

kube::EndpointSlice MessageOf(const EndpointSlice& slice) {
  kube::EndpointSlice message;
  *message.mutable_metadata() = MetaOf(slice.meta);
  message.set_address_type("IPv4");
  for (const SlicePort& from : slice.ports) {
    kube::EndpointPort* port = message.add_ports();
    port->set_name(*from.name);
    port->set_protocol("TCP");
    port->set_port(*from.port);
  }
  for (const SliceEndpoint& from : slice.endpoints) {
    kube::Endpoint* endpoint = message.add_endpoints();
    for (const std::string& address : from.addresses) endpoint->add_addresses(address);
    endpoint->mutable_conditions()->set_ready(true);
    endpoint->mutable_conditions()->set_serving(true);
    endpoint->mutable_conditions()->set_terminating(false);
    endpoint->set_node_name(*from.node_name);
  }
  return message;
}

void Fill(support::FakeApi& api) {
  const ObjectBatch cluster = MakeCluster(kServices, kEndpoints);
  api.Edit([&] {
    for (const ObjectChange& change : cluster.changes) {
      if (change.key.kind == Kind::kService) {
        api.Put(MessageOf(std::get<Service>(*change.object)));
      } else {
        api.Put(MessageOf(std::get<EndpointSlice>(*change.object)));
      }
    }
    kube::Node node;
    node.mutable_metadata()->set_name("node-0");
    kube::NodeAddress* address = node.mutable_status()->add_addresses();
    address->set_type("InternalIP");
    address->set_address("192.0.2.10");
    api.Put(node);
    kube::ServiceCIDR cidr;
    cidr.mutable_metadata()->set_name("kubernetes");
    cidr.mutable_spec()->add_cidrs("172.16.0.0/12");
    api.Put(cidr);
  });
}

// A full API server in a network namespace whose kernel is empty.
class Server {
 public:
  explicit Server(const Setup& setup) : setup_(setup) {
    ns_.Ip("link set lo up");
    api_ = ns_.Call([&] {
      return std::make_unique<support::FakeApi>(ca_, support::FakeApi::Options{.watch_list = setup.watch_list});
    });
    Fill(*api_);
  }

  Figures Measure(const char* work) {
    const support::ProcessResult result =
        support::RunProcess(ns_, {"/proc/self/exe", kChild, work, api_->url(), setup_.content_type},
                            {.stdin_text = ca_.pem(), .timeout = 2 * kPatience});
    const std::vector<std::string> words = absl::StrSplit(result.out, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    Figures f;
    if (result.exit_code != 0 || words.size() != 5 || !absl::SimpleAtod(words[0], &f.seconds) ||
        !absl::SimpleAtoi(words[1], &f.peak_kb) || !absl::SimpleAtoi(words[2], &f.steady_kb) ||
        !absl::SimpleAtoi(words[3], &f.used_kb) || !absl::SimpleAtoi(words[4], &f.bytes)) {
      support::Fatal(absl::StrCat(work, ", ", setup_.name, ": ", result.out, result.err));
    }
    return f;
  }

 private:
  const Setup setup_;
  support::CertificateAuthority ca_{"kube_bench"};
  support::NetNs ns_{"kube_bench"};
  std::unique_ptr<support::FakeApi> api_;
};

// --- what is said

double Megabytes(int64_t kb) { return static_cast<double>(kb) / 1024; }

std::string Line(const std::string& name, const Figures& f) {
  return absl::StrFormat("%-32s %8.2f s %8.1f MB %8.1f MB %8.1f MB %8.2f MB", name, f.seconds, Megabytes(f.peak_kb),
                         Megabytes(f.steady_kb), Megabytes(f.used_kb), static_cast<double>(f.bytes) / 1e6);
}

std::string Json(const std::string& name, const Figures& f) {
  return absl::StrFormat(
      R"(  {"name": "%s", "seconds": %.3f, "peak_rss_kb": %d, "steady_rss_kb": %d, "heap_used_kb": %d, "wire_bytes": %d})",
      name, f.seconds, f.peak_kb, f.steady_kb, f.used_kb, f.bytes);
}

// Takes the options of the other benchmarks: --benchmark_filter as far as it says "kube", and the format.
int Main(const std::vector<std::string>& args) {
  bool json = false;
  for (const absl::string_view arg : args) {
    json = json || arg == "--json" || arg == "--benchmark_format=json";
    absl::string_view filter = arg;
    if (absl::ConsumePrefix(&filter, "--benchmark_filter=") && !absl::StrContains(filter, "kube")) return 0;
  }
  if (!json) {
    absl::PrintF("kube_bench: %d Services x %d endpoints from the API server\n%-32s %10s %11s %11s %11s %11s\n",
                 kServices, kEndpoints, "", "time", "peak RSS", "steady RSS", "heap used", "on the wire");
  }
  std::vector<std::string> objects;
  const auto say = [&](const std::string& name, const Figures& figures) {
    if (json) {
      objects.push_back(Json(name, figures));
      return;
    }
    absl::PrintF("%s\n", Line(name, figures));
    fflush(stdout);
  };
  for (const Setup& setup : kSetups) {
    Server server(setup);
    // The first to come waits for the server to write every object down.
    server.Measure(kModel);
    if (&setup == kSetups) say("a process that does nothing", server.Measure(kIdle));
    // The agent last: it fills the kernel.
    for (const char* work : {kModel, kAgent}) say(absl::StrCat(work, ", ", setup.name), server.Measure(work));
  }
  if (json) {
    absl::PrintF("{\"services\": %d, \"endpoints\": %d, \"cases\": [\n%s\n]}\n", kServices, kEndpoints,
                 absl::StrJoin(objects, ",\n"));
  }
  return 0;
}

}  // namespace
}  // namespace pointsman::bench

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (!args.empty() && args[0] == pointsman::bench::kChild) {
    return pointsman::bench::RunClient({args.begin() + 1, args.end()});
  }
  return pointsman::bench::Main(args);
}
