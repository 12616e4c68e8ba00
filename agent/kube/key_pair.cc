// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/key_pair.h"

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace pointsman::kube {
namespace {

constexpr absl::string_view kBegin = "-----BEGIN ";
constexpr absl::string_view kDashes = "-----";

struct Block {
  absl::string_view label;
  absl::string_view body;
};

// Takes the next block off `text`; nullopt if there is none. A block without end is one without label.
std::optional<Block> NextBlock(absl::string_view& text) {
  const size_t begin = text.find(kBegin);
  if (begin == absl::string_view::npos) return std::nullopt;
  text.remove_prefix(begin + kBegin.size());
  const absl::string_view rest = text;
  const size_t label_end = rest.find(kDashes);
  if (label_end == absl::string_view::npos) return Block{};
  const absl::string_view label = rest.substr(0, label_end);
  const size_t body = label_end + kDashes.size();
  const size_t end = rest.find(absl::StrCat("-----END ", label, "-----"), body);
  if (label.empty() || end == absl::string_view::npos) return Block{};
  text.remove_prefix(end);
  return Block{label, rest.substr(body, end - body)};
}

// The DER of the first block whose label ends so.
std::string FirstDer(absl::string_view text, absl::string_view label) {
  while (const std::optional<Block> block = NextBlock(text)) {
    if (!absl::EndsWith(block->label, label)) continue;
    std::string der;
    return absl::Base64Unescape(block->body, &der) ? der : "";
  }
  return "";
}

enum Tag : uint8_t {
  kInteger = 0x02,
  kBitString = 0x03,
  kOctetString = 0x04,
  kObjectId = 0x06,
  kSequence = 0x30,
  kContext0 = 0xa0,
  kContext1 = 0xa1,
};

// Reads elements one after the other. After the first that is not there all are empty.
class Der {
 public:
  explicit Der(absl::string_view bytes) : rest_(bytes) {}

  bool NextIs(Tag tag) const { return !rest_.empty() && static_cast<uint8_t>(rest_[0]) == tag; }

  // The content of the next element, if it has this tag.
  absl::string_view Take(Tag tag) { return NextIs(tag) ? TakeAny() : Fail(); }

  absl::string_view TakeAny() {
    if (rest_.size() < 2) return Fail();
    size_t length = static_cast<uint8_t>(rest_[1]);
    size_t header = 2;
    if (length >= 0x80) {
      const size_t octets = length & 0x7f;
      if (octets == 0 || octets > 3 || rest_.size() < header + octets) return Fail();
      length = 0;
      for (size_t i = 0; i < octets; ++i) length = length << 8 | static_cast<uint8_t>(rest_[header + i]);
      header += octets;
    }
    if (rest_.size() - header < length) return Fail();
    const absl::string_view content = rest_.substr(header, length);
    rest_.remove_prefix(header + length);
    return content;
  }

 private:
  absl::string_view Fail() {
    rest_ = {};
    return {};
  }

  absl::string_view rest_;
};

constexpr absl::string_view kRsa = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
constexpr absl::string_view kEc = "\x2a\x86\x48\xce\x3d\x02\x01";

// What a key and its certificate have in common.
struct PublicPart {
  std::string algorithm;  // DER of the object identifier; empty: not understood
  std::string value;      // the modulus, or the point with the octet before it; empty: not told
};

PublicPart OfCertificate(absl::string_view der) {
  Der tbs(Der(Der(der).Take(kSequence)).Take(kSequence));
  if (tbs.NextIs(kContext0)) tbs.TakeAny();                           // version
  tbs.Take(kInteger);                                                 // serial number
  for (int skipped = 0; skipped < 4; ++skipped) tbs.Take(kSequence);  // signature, issuer, validity, subject
  Der info(tbs.Take(kSequence));
  const absl::string_view algorithm = Der(info.Take(kSequence)).Take(kObjectId);
  const absl::string_view bits = info.Take(kBitString);
  PublicPart part = {.algorithm = std::string(algorithm), .value = ""};
  if (bits.empty()) return {};
  if (algorithm == kRsa) part.value = std::string(Der(Der(bits.substr(1)).Take(kSequence)).Take(kInteger));
  if (algorithm == kEc) part.value = std::string(bits);
  return part;
}

std::string RsaModulus(absl::string_view der) {
  Der key(Der(der).Take(kSequence));
  key.Take(kInteger);  // version
  return std::string(key.Take(kInteger));
}

std::string EcPoint(absl::string_view der) {
  Der key(Der(der).Take(kSequence));
  key.Take(kInteger);  // version
  key.Take(kOctetString);
  if (key.NextIs(kContext0)) key.TakeAny();  // curve
  return std::string(Der(key.Take(kContext1)).Take(kBitString));
}

PublicPart OfKey(absl::string_view pem) {
  const std::string encrypted = FirstDer(pem, "ENCRYPTED PRIVATE KEY");
  if (!encrypted.empty()) return {};
  const std::string der = FirstDer(pem, "PRIVATE KEY");
  Der key(Der(der).Take(kSequence));
  key.Take(kInteger);  // version
  if (key.NextIs(kInteger)) return {std::string(kRsa), RsaModulus(der)};
  if (key.NextIs(kOctetString)) return {std::string(kEc), EcPoint(der)};
  const absl::string_view algorithm = Der(key.Take(kSequence)).Take(kObjectId);
  const absl::string_view inner = key.Take(kOctetString);
  PublicPart part = {.algorithm = std::string(algorithm), .value = ""};
  if (algorithm == kRsa) part.value = RsaModulus(inner);
  if (algorithm == kEc) part.value = EcPoint(inner);
  return part;
}

}  // namespace

bool HasWholePem(absl::string_view text, absl::string_view label) {
  bool found = false;
  while (const std::optional<Block> block = NextBlock(text)) {
    if (block->label.empty()) return false;
    found |= absl::EndsWith(block->label, label);
  }
  return found;
}

PairFit FitOf(absl::string_view certificate_pem, absl::string_view key_pem) {
  const PublicPart certificate = OfCertificate(FirstDer(certificate_pem, "CERTIFICATE"));
  const PublicPart key = OfKey(key_pem);
  for (const PublicPart& part : {certificate, key}) {
    if (part.algorithm != kRsa && part.algorithm != kEc) return PairFit::kUnknown;
  }
  if (certificate.algorithm != key.algorithm) return PairFit::kDiffers;
  if (certificate.value.empty() || key.value.empty()) return PairFit::kUnknown;
  return certificate.value == key.value ? PairFit::kFits : PairFit::kDiffers;
}

}  // namespace pointsman::kube
