// SPDX-License-Identifier: Apache-2.0
//
// A plain client for the tests of FakeApi, and what reads its answers.
#pragma once

#include <curl/curl.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "gtest/gtest.h"

#include "tests/support/fake_api/fake_api.h"

namespace pointsman::support {

inline constexpr char kProtobuf[] = "Accept: application/vnd.kubernetes.protobuf,application/json";
inline constexpr char kJson[] = "Accept: application/json";
inline constexpr char kServices[] = "/api/v1/services";
inline constexpr char kSlices[] = "/apis/discovery.k8s.io/v1/endpointslices";
inline constexpr char kNodes[] = "/api/v1/nodes";
inline constexpr char kCidrs[] = "/apis/networking.k8s.io/v1/servicecidrs";
inline constexpr char kWatchList[] =
    "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
inline constexpr absl::Duration kPatience = absl::Seconds(20);

inline bool Eventually(const std::function<bool()>& holds) {
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(absl::Milliseconds(5))) {
    if (holds()) return true;
  }
  return holds();
}

inline const CertificateAuthority& Ca() {
  static const auto& ca = *new CertificateAuthority("test CA");
  return ca;
}

struct Reply {
  CURLcode result = CURLE_OK;
  long code = 0;
  std::map<std::string, std::string> headers;
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct Request {
  std::string path;
  std::vector<std::string> headers = {kProtobuf};
  Certificate certificate;
  std::string ca = Ca().pem();
  std::string method = "GET";
  bool decompress = true;
};

// A GET on a thread of its own.
class Transfer {
 public:
  Transfer(const FakeApi& api, Request request) : request_(std::move(request)), url_(api.url() + request_.path) {
    thread_ = std::thread([this] { Perform(); });
  }
  ~Transfer() {
    cancelled_ = true;
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Until it is over.
  Reply Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), [&] { return over_; })) << request_.path;
    return reply_;
  }
  // Until the body fulfils something; what came by then.
  Reply WaitFor(const std::function<bool(const std::string& body)>& enough) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, absl::ToChronoSeconds(kPatience), [&] { return enough(reply_.body); }))
        << request_.path << ": " << reply_.body;
    return reply_;
  }
  Reply soFar() {
    const std::lock_guard lock(mutex_);
    return reply_;
  }
  bool over() {
    const std::lock_guard lock(mutex_);
    return over_;
  }

 private:
  static size_t TakeHeader(char* data, size_t size, size_t count, void* user) {
    auto& self = *static_cast<Transfer*>(user);
    const std::lock_guard lock(self.mutex_);
    const absl::string_view line(data, size * count);
    const size_t colon = line.find(": ");
    if (colon != absl::string_view::npos) {
      self.reply_.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
          std::string(absl::StripAsciiWhitespace(line.substr(colon + 2)));
    } else if (const std::vector<std::string> words = absl::StrSplit(line, ' ');
               absl::StartsWith(line, "HTTP/") && words.size() > 1) {
      self.reply_.code = std::stol(words[1]);
    }
    self.changed_.notify_all();
    return line.size();
  }
  static size_t TakeBody(char* data, size_t size, size_t count, void* user) {
    auto& self = *static_cast<Transfer*>(user);
    const std::lock_guard lock(self.mutex_);
    self.reply_.body.append(data, size * count);
    self.changed_.notify_all();
    return size * count;
  }

  void Perform() {
    CURL* curl = curl_easy_init();
    curl_slist* headers = nullptr;
    for (const std::string& line : request_.headers) headers = curl_slist_append(headers, line.c_str());
    const auto blob = [&](CURLoption option, const std::string& text) {
      curl_blob value = {.data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_COPY};
      curl_easy_setopt(curl, option, &value);
    };
    curl_easy_setopt(curl, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, TakeHeader);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, TakeBody);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
    if (request_.decompress) curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
    blob(CURLOPT_CAINFO_BLOB, request_.ca);
    if (!request_.certificate.key.empty()) {
      blob(CURLOPT_SSLCERT_BLOB, request_.certificate.certificate);
      blob(CURLOPT_SSLKEY_BLOB, request_.certificate.key);
    }
    curl_multi_add_handle(multi_, curl);
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    for (int running = 1; running > 0 && !cancelled_;) {
      curl_multi_perform(multi_, &running);
      if (running > 0) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
    int left = 0;
    if (const CURLMsg* message = curl_multi_info_read(multi_, &left); message != nullptr) result = message->data.result;
    curl_multi_remove_handle(multi_, curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    const std::lock_guard lock(mutex_);
    reply_.result = result;
    over_ = true;
    changed_.notify_all();
  }

  Request request_;
  std::string url_;
  CURLM* multi_ = curl_multi_init();
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  Reply reply_;
  bool over_ = false;
  std::thread thread_;
};

inline Reply Get(const FakeApi& api, Request request) { return Transfer(api, std::move(request)).Wait(); }

// --- reading what came

template <typename Message>
Message Parse(const std::string& bytes) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message;
}

inline kube::Unknown Open(const std::string& enveloped) {
  EXPECT_EQ(enveloped.substr(0, 4), std::string("k8s\0", 4));
  return Parse<kube::Unknown>(enveloped.substr(std::min<size_t>(4, enveloped.size())));
}

// A list of ours has no message of its own: the fields are read as those of a message with the same numbers.
template <typename Message>
std::vector<Message> Items(const std::string& body, kube::ListMeta* meta = nullptr) {
  const std::string raw = Open(body).raw();
  std::vector<Message> items;
  google::protobuf::UnknownFieldSet fields;
  EXPECT_TRUE(fields.ParseFromString(raw));
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    if (field.number() == 2) items.push_back(Parse<Message>(field.length_delimited()));
    if (field.number() == 1 && meta != nullptr) *meta = Parse<kube::ListMeta>(field.length_delimited());
  }
  return items;
}

struct Event {
  std::string type;
  std::string name;
  std::string version;
  bool end = false;  // annotated k8s.io/initial-events-end
  std::string raw;   // protobuf, without envelope
  kube::Unknown envelope;

  friend std::ostream& operator<<(std::ostream& out, const Event& event) {
    return out << event.type << " " << event.name << "@" << event.version;
  }
};

inline std::vector<Event> Events(const std::string& body) {
  std::vector<Event> events;
  size_t at = 0;
  while (at + 4 <= body.size()) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(body[at + i]);
    if (at + 4 + size > body.size()) break;
    const auto frame = Parse<kube::WatchFrame>(body.substr(at + 4, size));
    Event event = {.type = frame.type()};
    event.envelope = Open(frame.object().raw());
    event.raw = event.envelope.raw();
    if (event.type != "ERROR") {
      const auto object = Parse<kube::ServiceCIDR>(event.raw);  // field 1 is the metadata of all of them
      event.name = object.metadata().name();
      event.version = object.metadata().resource_version();
      event.end = object.metadata().annotations().count("k8s.io/initial-events-end") != 0;
    }
    events.push_back(std::move(event));
    at += 4 + size;
  }
  return events;
}

// "ADDED web", …
inline std::vector<std::string> Told(const std::string& body) {
  std::vector<std::string> told;
  for (const Event& event : Events(body)) {
    told.push_back(absl::StrCat(event.type, event.name.empty() ? "" : " ", event.name, event.end ? " end" : ""));
  }
  return told;
}

inline std::function<bool(const std::string&)> AtLeast(size_t events) {
  return [events](const std::string& body) { return Events(body).size() >= events; };
}

inline kube::Status StatusOf(const std::string& body) { return Parse<kube::Status>(Open(body).raw()); }

// What is known of a message, for comparing. (Comparison by reflection reads maps, and the distribution's library lays
// them out in another way than what is compiled for the thread sanitizer.)
inline std::string Known(const google::protobuf::Message& message) {
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &json).ok());
  return json;
}

// The same of an object, without what the server adds.
template <typename Message>
std::string KnownObject(Message object) {
  object.mutable_metadata()->clear_resource_version();
  object.mutable_metadata()->clear_creation_timestamp();
  object.mutable_metadata()->mutable_annotations()->erase("kubectl.kubernetes.io/last-applied-configuration");
  return Known(object);
}

// --- objects

inline kube::Service Web(const std::string& name = "web") {
  kube::Service service;
  service.mutable_metadata()->set_name(name);
  service.mutable_metadata()->set_namespace_("shop");
  service.mutable_spec()->set_cluster_ip("192.0.2.10");
  service.mutable_spec()->add_cluster_ips("192.0.2.10");
  service.mutable_spec()->set_type("ClusterIP");
  kube::ServicePort* port = service.mutable_spec()->add_ports();
  port->set_name("http");
  port->set_protocol("TCP");
  port->set_port(80);
  service.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip("198.51.100.1");
  return service;
}

inline kube::EndpointSlice Slice(const std::string& name = "web-1", int endpoints = 1) {
  kube::EndpointSlice slice;
  slice.mutable_metadata()->set_name(name);
  slice.mutable_metadata()->set_namespace_("shop");
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = "web";
  slice.set_address_type("IPv4");
  for (int i = 0; i < endpoints; ++i) {
    kube::Endpoint* endpoint = slice.add_endpoints();
    endpoint->add_addresses(absl::StrCat("203.0.113.", i + 1));
    endpoint->mutable_conditions()->set_ready(true);
    endpoint->set_node_name("node-a");
  }
  slice.add_ports()->set_port(8080);
  return slice;
}

inline kube::Node NodeA() {
  kube::Node node;
  node.mutable_metadata()->set_name("node-a");
  node.mutable_spec()->set_pod_cidr("203.0.113.0/24");
  kube::NodeAddress* address = node.mutable_status()->add_addresses();
  address->set_type("InternalIP");
  address->set_address("198.51.100.7");
  return node;
}

inline kube::ServiceCIDR Cidr() {
  kube::ServiceCIDR cidr;
  cidr.mutable_metadata()->set_name("kubernetes");
  cidr.mutable_spec()->add_cidrs("192.0.2.0/24");
  return cidr;
}

}  // namespace pointsman::support
