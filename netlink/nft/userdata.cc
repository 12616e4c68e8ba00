// SPDX-License-Identifier: Apache-2.0
#include "netlink/nft/userdata.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "netlink/core/uapi.h"

namespace pointsman::nl {
namespace {

// A value is at most 255 bytes, and no object of ours has more than four of them.
constexpr uint32_t kBufferSize = 1024;

struct FreeUserdata {
  void operator()(nftnl_udata_buf* buffer) const { nftnl_udata_buf_free(buffer); }
};
using Buffer = std::unique_ptr<nftnl_udata_buf, FreeUserdata>;

Buffer NewBuffer() { return Buffer(nftnl_udata_buf_alloc(kBufferSize)); }

std::vector<uint8_t> Take(const Buffer& buffer) {
  const auto* data = static_cast<const uint8_t*>(nftnl_udata_buf_data(buffer.get()));
  return {data, data + nftnl_udata_buf_len(buffer.get())};
}

// Numbers that nft gives its own things; it stores them, so they are ABI. nft 1.0.6: include/expression.h (enum
// expr_types), include/proto.h (enum proto_desc_id), src/{expression,payload,meta,numgen}.c (the entries of each
// description).
enum : uint32_t { kExprPayload = 7, kExprMeta = 9, kExprConcat = 13, kExprNumgen = 23 };
enum : uint32_t { kProtoTransport = 11, kProtoIp = 12, kProtoIp6 = 13 };
enum : uint32_t { kTransportDport = 2, kIpDaddr = 12, kIp6Daddr = 9 };
enum : uint8_t { kPayloadProto = 0, kPayloadField = 1 };
enum : uint8_t { kMetaKey = 0 };
enum : uint8_t { kNumgenType = 0, kNumgenModulus = 1, kNumgenOffset = 2 };
enum : uint32_t { kByteorderInvalid = 0, kByteorderHost = 1, kByteorderBig = 2 };

// {EXPR, DATA { ... }}
class Description {
 public:
  Description(nftnl_udata_buf* buffer, uint32_t expr) : buffer_(buffer) {
    nftnl_udata_put_u32(buffer_, NFTNL_UDATA_SET_TYPEOF_EXPR, expr);
    data_ = nftnl_udata_nest_start(buffer_, NFTNL_UDATA_SET_TYPEOF_DATA);
  }
  ~Description() { nftnl_udata_nest_end(buffer_, data_); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  void Put(uint8_t type, uint32_t value) { nftnl_udata_put_u32(buffer_, type, value); }

 private:
  nftnl_udata_buf* buffer_;
  nftnl_udata* data_;
};

void DescribeField(nftnl_udata_buf* buffer, nft::Field field) {
  const auto payload = [buffer](uint32_t proto, uint32_t which) {
    Description d(buffer, kExprPayload);
    d.Put(kPayloadProto, proto);
    d.Put(kPayloadField, which);
  };
  switch (field) {
    case nft::Field::kIpv4Addr:
      return payload(kProtoIp, kIpDaddr);
    case nft::Field::kIpv6Addr:
      return payload(kProtoIp6, kIp6Daddr);
    case nft::Field::kInetService:
      return payload(kProtoTransport, kTransportDport);
    case nft::Field::kInetProto: {
      Description d(buffer, kExprMeta);
      d.Put(kMetaKey, NFT_META_L4PROTO);
      return;
    }
    case nft::Field::kMark: {
      Description d(buffer, kExprMeta);
      d.Put(kMetaKey, NFT_META_MARK);
      return;
    }
    case nft::Field::kInteger: {
      Description d(buffer, kExprNumgen);
      d.Put(kNumgenType, NFT_NG_RANDOM);
      d.Put(kNumgenModulus, 2);
      d.Put(kNumgenOffset, 0);
      return;
    }
  }
}

void DescribeFields(nftnl_udata_buf* buffer, uint8_t type, const std::vector<nft::Field>& fields) {
  nftnl_udata* nest = nftnl_udata_nest_start(buffer, type);
  if (fields.size() == 1) {
    DescribeField(buffer, fields.front());
  } else {
    Description concat(buffer, kExprConcat);
    for (size_t i = 0; i < fields.size(); ++i) {
      nftnl_udata* part = nftnl_udata_nest_start(buffer, static_cast<uint8_t>(i));
      DescribeField(buffer, fields[i]);
      nftnl_udata_nest_end(buffer, part);
    }
  }
  nftnl_udata_nest_end(buffer, nest);
}

uint32_t Byteorder(const std::vector<nft::Field>& fields) {
  if (fields.size() != 1) return kByteorderInvalid;
  switch (fields.front()) {
    case nft::Field::kInteger:
    case nft::Field::kMark:
      return kByteorderHost;
    case nft::Field::kInetProto:  // one byte
      return kByteorderInvalid;
    default:
      return kByteorderBig;
  }
}

bool HasInteger(const std::vector<nft::Field>& fields) {
  return std::find(fields.begin(), fields.end(), nft::Field::kInteger) != fields.end();
}

}  // namespace

std::vector<uint8_t> CommentUserdata(uint8_t type, absl::string_view comment) {
  if (comment.empty()) return {};
  const Buffer buffer = NewBuffer();
  nftnl_udata_put_strz(buffer.get(), type, std::string(comment).c_str());
  return Take(buffer);
}

std::string CommentIn(ByteSpan userdata, uint8_t type) {
  while (userdata.size() >= 2) {
    const uint8_t entry = userdata[0];
    const size_t length = userdata[1];
    userdata.remove_prefix(2);
    if (length > userdata.size()) return "";
    if (entry == type) {
      const auto* text = reinterpret_cast<const char*>(userdata.data());
      return {text, strnlen(text, length)};
    }
    userdata.remove_prefix(length);
  }
  return "";
}

std::vector<uint8_t> ElementUserdata(absl::string_view comment, bool open) {
  if (comment.empty() && !open) return {};
  const Buffer buffer = NewBuffer();
  if (!comment.empty()) {
    nftnl_udata_put_strz(buffer.get(), NFTNL_UDATA_SET_ELEM_COMMENT, std::string(comment).c_str());
  }
  if (open) nftnl_udata_put_u32(buffer.get(), NFTNL_UDATA_SET_ELEM_FLAGS, NFTNL_SET_ELEM_F_INTERVAL_OPEN);
  return Take(buffer);
}

std::vector<uint8_t> SetUserdata(const nft::SetSpec& spec) {
  const Buffer buffer = NewBuffer();
  nftnl_udata_put_u32(buffer.get(), NFTNL_UDATA_SET_KEYBYTEORDER, Byteorder(spec.key));
  if (spec.is_map()) nftnl_udata_put_u32(buffer.get(), NFTNL_UDATA_SET_DATABYTEORDER, Byteorder(spec.data));
  if (HasInteger(spec.key) || HasInteger(spec.data)) {
    DescribeFields(buffer.get(), NFTNL_UDATA_SET_KEY_TYPEOF, spec.key);
    if (!spec.data.empty()) DescribeFields(buffer.get(), NFTNL_UDATA_SET_DATA_TYPEOF, spec.data);
  }
  if (spec.is_map()) nftnl_udata_put_u32(buffer.get(), NFTNL_UDATA_SET_DATA_INTERVAL, 0);
  if (!spec.comment.empty()) {
    nftnl_udata_put_strz(buffer.get(), NFTNL_UDATA_SET_COMMENT, spec.comment.c_str());
  }
  return Take(buffer);
}

}  // namespace pointsman::nl
