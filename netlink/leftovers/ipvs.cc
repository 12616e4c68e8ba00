// SPDX-License-Identifier: Apache-2.0
#include "netlink/leftovers/ipvs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "netlink/core/ask.h"
#include "netlink/core/error.h"
#include "netlink/leftovers/request.h"
#include "netlink/leftovers/uapi.h"
#include "pointsman/status.h"

namespace pointsman::nl {
namespace {

constexpr size_t kMessageSize = 512;
constexpr size_t kReceiveSize = 16384;
constexpr size_t kHeaders = sizeof(nlmsghdr) + sizeof(genlmsghdr);

// "0A600050:0050" or "[2001:0db8:…:0050]:0050": the kernel prints IPv4 in one number, and ports in hex.
std::optional<SocketAddr> ParseHexSocketAddr(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return std::nullopt;
  absl::string_view host = text.substr(0, colon);
  uint32_t port = 0;
  if (!absl::SimpleHexAtoi(text.substr(colon + 1), &port) || port > 0xffff) return std::nullopt;
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return std::nullopt;
    const std::optional<IpAddr> addr = IpAddr::Parse(host);
    if (!addr.has_value()) return std::nullopt;
    return SocketAddr{*addr, static_cast<uint16_t>(port)};
  }
  uint32_t number = 0;
  if (host.size() != 8 || !absl::SimpleHexAtoi(host, &number)) return std::nullopt;
  number = htonl(number);
  uint8_t bytes[4];
  std::memcpy(bytes, &number, sizeof(bytes));
  return SocketAddr{IpAddr::FromBytes(bytes), static_cast<uint16_t>(port)};
}

// A message to a family of generic netlink.
struct GenericMessage {
  GenericMessage(uint16_t family, uint8_t command, uint8_t version, uint16_t flags) : buffer(kMessageSize) {
    header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = family;
    header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header->nlmsg_seq = 1;
    auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(header, sizeof(genlmsghdr)));
    generic->cmd = command;
    generic->version = version;
  }
  ByteSpan bytes() const { return ByteSpan(buffer).first(header->nlmsg_len); }

  std::vector<uint8_t> buffer;
  nlmsghdr* header = nullptr;
};

absl::StatusOr<uint16_t> FamilyId(Transport& generic) {
  GenericMessage message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0);
  mnl_attr_put_strz(message.header, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
  uint16_t id = 0;
  PM_RETURN_IF_ERROR(Ask(generic, message.bytes(), [&](ByteSpan answer) {
    const Attrs attrs(answer.subspan(std::min(kHeaders, answer.size())));
    const ByteSpan value = attrs.Raw(CTRL_ATTR_FAMILY_ID);  // in host order, unlike those of nf_tables
    if (value.size() == sizeof(id)) std::memcpy(&id, value.data(), sizeof(id));
    return false;
  }));
  if (id == 0) return absl::DataLossError("generic netlink does not tell the number of IPVS");
  return id;
}

class GenericSocket final : public Transport {
 public:
  explicit GenericSocket(mnl_socket* socket) : socket_(socket), buffer_(kReceiveSize) {}
  ~GenericSocket() override { mnl_socket_close(socket_); }

  absl::Status Send(ByteSpan datagram) override {
    if (mnl_socket_sendto(socket_, datagram.data(), datagram.size()) >= 0) return absl::OkStatus();
    return ErrnoStatus(errno, "send to generic netlink");
  }
  absl::StatusOr<ByteSpan> Receive() override {
    while (true) {
      const ssize_t size = recv(mnl_socket_get_fd(socket_), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (size >= 0) return ByteSpan(buffer_.data(), static_cast<size_t>(size));
      if (errno == EAGAIN) return ByteSpan();
      if (errno != EINTR) return ErrnoStatus(errno, "receive from generic netlink");
    }
  }
  absl::StatusOr<std::unique_ptr<Transport>> Reopen() override { return OpenGeneric(); }

 private:
  mnl_socket* const socket_;
  std::vector<uint8_t> buffer_;
};

}  // namespace

std::vector<Match> ParseVirtualServers(absl::string_view text) {
  std::vector<Match> servers;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 2) continue;
    const std::optional<Protocol> protocol = ParseProtocol(words[0]);
    const std::optional<SocketAddr> addr = ParseHexSocketAddr(words[1]);
    if (protocol.has_value() && addr.has_value()) servers.push_back({addr->addr, *protocol, addr->port});
  }
  return servers;
}

std::vector<Match> FindVirtualServers(absl::Span<const IpAddr> addresses) {
  std::ifstream file("/proc/thread-self/net/ip_vs");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::vector<Match> servers = ParseVirtualServers(text);
  const auto foreign = [&](const Match& server) {
    return !std::binary_search(addresses.begin(), addresses.end(), server.dest);
  };
  servers.erase(std::remove_if(servers.begin(), servers.end(), foreign), servers.end());
  std::sort(servers.begin(), servers.end());
  return servers;
}

absl::StatusOr<std::unique_ptr<Transport>> OpenGeneric() {
  mnl_socket* raw = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
  if (raw == nullptr) return ErrnoStatus(errno, "open a generic netlink socket");
  std::unique_ptr<Transport> socket = std::make_unique<GenericSocket>(raw);
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) < 0) return ErrnoStatus(errno, "bind a netlink socket");
  return absl::StatusOr<std::unique_ptr<Transport>>(std::move(socket));
}

absl::Status RemoveVirtualServer(Transport& generic, const Match& server) {
  const std::string attempted = absl::StrCat("remove IPVS virtual server ", FormatMatch(server));
  const absl::StatusOr<uint16_t> family = FamilyId(generic);
  if (!family.ok()) return Annotate(family.status(), attempted);
  GenericMessage message(*family, IPVS_CMD_DEL_SERVICE, IPVS_GENL_VERSION, NLM_F_ACK);
  nlattr* service = mnl_attr_nest_start(message.header, IPVS_CMD_ATTR_SERVICE);
  const bool v4 = server.dest.family() == Family::kIpv4;
  mnl_attr_put_u16(message.header, IPVS_SVC_ATTR_AF, v4 ? AF_INET : AF_INET6);
  mnl_attr_put_u16(message.header, IPVS_SVC_ATTR_PROTOCOL, static_cast<uint16_t>(server.protocol));
  uint8_t addr[16] = {};  // of either family
  std::memcpy(addr, server.dest.bytes().data(), server.dest.bytes().size());
  mnl_attr_put(message.header, IPVS_SVC_ATTR_ADDR, sizeof(addr), addr);
  mnl_attr_put_u16(message.header, IPVS_SVC_ATTR_PORT, htons(server.port));
  mnl_attr_nest_end(message.header, service);
  PM_RETURN_IF_ERROR(Annotate(generic.Send(message.bytes()), attempted));
  const absl::StatusOr<Answer> answer = ReadAnswer(generic, message.header->nlmsg_seq);
  if (!answer.ok()) return Annotate(answer.status(), attempted);
  if (answer->error == 0 || answer->error == ESRCH) return absl::OkStatus();
  return ErrnoStatus(answer->error, attempted, answer->extack);
}

}  // namespace pointsman::nl
