// SPDX-License-Identifier: Apache-2.0
//
// Values as bytes, for memory alone: nobody else reads them. PackWriter and PackReader have the same functions, so
// that one list of fields serves for both. Equal values become equal bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "pointsman/net.h"
#include "pointsman/status.h"

namespace pointsman {

class PackWriter {
 public:
  static constexpr bool kReads = false;

  const std::string& bytes() const { return bytes_; }

  // Of an integer or an enumeration that is mostly below 128.
  template <typename T>
  void Number(const T& number) {
    uint64_t rest = static_cast<uint64_t>(number);
    for (; rest >= 0x80; rest >>= 7) bytes_.push_back(static_cast<char>(rest | 0x80));
    bytes_.push_back(static_cast<char>(rest));
  }
  template <typename T>
  void Byte(const T& byte) {
    bytes_.push_back(static_cast<char>(byte));
  }
  void Text(absl::string_view text) {
    Number(text.size());
    Bytes(text);
  }
  void Bytes(absl::string_view bytes) { bytes_.append(bytes.data(), bytes.size()); }
  // Text that is much like `model`.
  void Like(absl::string_view model, absl::string_view text);
  // The text of an address, most probably.
  void Address(const std::string& text);
  void IpBytes(const IpAddr& addr);
  void Span(absl::Duration duration);

  template <typename T>
  bool Has(const std::optional<T>& optional) {
    Byte(optional.has_value());
    return optional.has_value();
  }
  template <typename List, typename Each>
  void ForEach(const List& list, Each each) {
    Number(list.size());
    for (const auto& element : list) each(element);
  }

 private:
  std::string bytes_;
};

// Of bytes that a PackWriter wrote.
class PackReader {
 public:
  static constexpr bool kReads = true;

  explicit PackReader(absl::string_view bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }

  template <typename T>
  void Number(T& number) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = Next();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    number = static_cast<T>(value);
  }
  template <typename T>
  void Byte(T& byte) {
    byte = static_cast<T>(Next());
  }
  absl::string_view View() {
    size_t size = 0;
    Number(size);
    return Take(size);
  }
  absl::string_view Take(size_t size) {
    PM_CHECK(size <= rest_.size());
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  void Text(std::string& text) { Assign(View(), text); }
  void Like(absl::string_view model, std::string& text);
  void Address(std::string& text);
  void IpBytes(Family family, std::string& text);
  void Span(absl::Duration& duration);

  template <typename T>
  bool Has(std::optional<T>& optional) {
    if (Next() == 0) return false;
    optional.emplace();
    return true;
  }
  template <typename List, typename Each>
  void ForEach(List& list, Each each) {
    size_t size = 0;
    Number(size);
    list.resize(size);
    for (auto& element : list) each(element);
  }

 private:
  static void Assign(absl::string_view from, std::string& text) { text.assign(from.data(), from.size()); }
  uint8_t Next() { return static_cast<uint8_t>(Take(1)[0]); }

  absl::string_view rest_;
};

// The address, if `text` is what FormatIp makes of it.
std::optional<IpAddr> ParseCanonicalIp(const std::string& text);

}  // namespace pointsman
