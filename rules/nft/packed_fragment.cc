// SPDX-License-Identifier: Apache-2.0
//
//   block   := size of the namespace . size of namespace/name . namespace/name . shrinkable . elements . shared
//   list    := number of elements . run ...
//   run     := SetNumber . number of elements . element ...
//   element := what it has . key [end] [data | code . chain] [comment]
//   bytes   := how many are the same at the front . at the back . how many between . those between
//              (a key or data: as in the one before; an end: as in its key)
//   text    := which recent text begins like it . for how long . how much more . that
//
// All numbers are LEB128.
#include "rules/nft/packed_fragment.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "rules/nft/element_order.h"
#include "rules/nft/layout.h"

namespace pointsman::nft {
namespace {

// What an element has besides its key.
enum : uint8_t { kHasEnd = 1, kHasData = 2, kHasVerdict = 4, kHasComment = 8 };

// Comments and chains come again, or begin like the Service's name. Views of what is held elsewhere.
class RecentTexts {
 public:
  explicit RecentTexts(absl::string_view first) { Add(first); }

  void Add(absl::string_view text) { texts_[added_++ % texts_.size()] = text; }
  absl::string_view at(size_t index) const { return texts_[index]; }

  struct Beginning {
    size_t index = 0;
    size_t length = 0;
  };
  // The text that has most in common with `text` at the front.
  Beginning Closest(absl::string_view text) const {
    Beginning best;
    for (size_t i = 0; i < std::min(added_, texts_.size()); ++i) {
      const auto end = std::mismatch(text.begin(), text.end(), texts_[i].begin(), texts_[i].end()).first;
      const auto length = static_cast<size_t>(end - text.begin());
      if (length > best.length) best = {i, length};
    }
    return best;
  }

 private:
  std::array<absl::string_view, 8> texts_;
  size_t added_ = 0;
};

class Writer {
 public:
  Writer(size_t ns_size, absl::string_view full_name, size_t elements) : texts_(full_name) {
    out_.reserve(2 * full_name.size() + 64 + elements * 16);
    Number(ns_size);
    Number(full_name.size());
    Append(full_name);
  }

  void Flag(bool flag) { Byte(flag ? 1 : 0); }

  void List(const std::vector<SetElement>& list) {
    Number(list.size());
    for (auto next = list.begin(); next != list.end();) {
      const auto end = std::find_if(next, list.end(), [&](const SetElement& e) {
        return e.family != next->family || !SameSet(e.set, next->set);
      });
      Number(NumberOf(next->family, next->set));
      Number(static_cast<size_t>(end - next));
      for (; next != end; ++next) Put(next->element);
    }
  }

  std::unique_ptr<const uint8_t[]> Finish() const {
    auto block = std::make_unique_for_overwrite<uint8_t[]>(out_.size());
    std::memcpy(block.get(), out_.data(), out_.size());
    return block;
  }

 private:
  void Put(const Element& element) {
    const auto& [end, data, comment] = element.value;
    const auto* bytes = std::get_if<Bytes>(&data);
    const auto* verdict = std::get_if<Verdict>(&data);
    Byte((end->empty() ? 0 : kHasEnd) | (bytes != nullptr ? kHasData : 0) | (verdict != nullptr ? kHasVerdict : 0) |
         (comment->empty() ? 0 : kHasComment));
    Difference(element.key, key_);
    key_ = &element.key;
    if (!end->empty()) Difference(*end, key_);
    if (bytes != nullptr) {
      Difference(*bytes, data_);
      data_ = bytes;
    }
    if (verdict != nullptr) {
      Byte(static_cast<int>(verdict->code));
      Text(*verdict->chain);
    }
    if (!comment->empty()) Text(*comment);
  }

  void Difference(const Bytes& bytes, const Bytes* before) {
    static const auto* const kNone = new Bytes;
    const Bytes& other = before == nullptr ? *kNone : *before;
    const auto front = std::mismatch(bytes.begin(), bytes.end(), other.begin(), other.end());
    const auto at_front = static_cast<size_t>(front.first - bytes.begin());
    // What is the same at the front does not count at the back once more.
    const size_t most = std::min(bytes.size(), other.size()) - at_front;
    size_t at_back = 0;
    while (at_back < most && bytes[bytes.size() - 1 - at_back] == other[other.size() - 1 - at_back]) ++at_back;
    const size_t between = bytes.size() - at_front - at_back;
    Number(at_front);
    Number(at_back);
    Number(between);
    Append({reinterpret_cast<const char*>(bytes.data()) + at_front, between});
  }

  void Text(absl::string_view text) {
    const RecentTexts::Beginning beginning = texts_.Closest(text);
    Number(beginning.index);
    Number(beginning.length);
    Number(text.size() - beginning.length);
    Append(text.substr(beginning.length));
    if (beginning.length < text.size()) texts_.Add(text);
  }

  void Number(size_t value) {
    for (; value >= 0x80; value >>= 7) Byte(static_cast<int>(value & 0x7f) | 0x80);
    Byte(static_cast<int>(value));
  }
  void Byte(int value) { out_.push_back(static_cast<char>(value)); }
  void Append(absl::string_view text) { out_.append(text.data(), text.size()); }

  std::string out_;
  RecentTexts texts_;
  const Bytes* key_ = nullptr;
  const Bytes* data_ = nullptr;
};

class Reader {
 public:
  explicit Reader(const uint8_t* block)
      : next_(block), ns_size_(Number()), full_name_(Take(Number())), texts_(full_name_) {}

  absl::string_view ns() const { return full_name_.substr(0, ns_size_); }
  absl::string_view name() const { return full_name_.substr(ns_size_ + 1); }

  bool Flag() { return *next_++ != 0; }

  std::vector<SetElement> List() {
    std::vector<SetElement> list;
    const size_t size = Number();
    list.reserve(size);
    while (list.size() < size) {
      const auto set = static_cast<SetNumber>(Number());
      for (size_t count = Number(); count > 0; --count) {
        SetElement& e = list.emplace_back();
        e.family = FamilyOf(set);
        e.set = NameOf(set);
        Get(e.element);
      }
    }
    return list;
  }

 private:
  void Get(Element& element) {
    const uint8_t has = *next_++;
    Difference(key_);
    element.key = key_;
    if ((has & kHasEnd) != 0) {
      Bytes end = key_;
      Difference(end);
      element.value.end = std::move(end);
    }
    if ((has & kHasData) != 0) {
      Difference(data_);
      element.value.data = data_;
    }
    if ((has & kHasVerdict) != 0) {
      Verdict& verdict = element.value.data.emplace<Verdict>();
      verdict.code = static_cast<Verdict::Code>(static_cast<int8_t>(*next_++));
      Text(verdict.chain);
    }
    if ((has & kHasComment) != 0) Text(element.value.comment);
  }

  // Makes `bytes` what comes after them.
  void Difference(Bytes& bytes) {
    const size_t at_front = Number();
    const size_t at_back = Number();
    const size_t between = Number();
    if (const size_t size = at_front + between + at_back; size != bytes.size()) {
      Bytes longer(size);
      std::copy_n(bytes.begin(), at_front, longer.begin());
      std::copy_n(bytes.end() - static_cast<std::ptrdiff_t>(at_back), at_back,
                  longer.end() - static_cast<std::ptrdiff_t>(at_back));
      bytes = std::move(longer);
    }
    std::copy_n(next_, between, bytes.begin() + static_cast<std::ptrdiff_t>(at_front));
    next_ += between;
  }

  // What is recent is viewed where it was read to; a Rare keeps it there when the element moves.
  void Text(Rare<std::string>& out) {
    const absl::string_view like = texts_.at(Number());
    const absl::string_view beginning = like.substr(0, Number());
    const absl::string_view rest = Take(Number());
    out = absl::StrCat(beginning, rest);
    if (!rest.empty()) texts_.Add(*out);
  }

  size_t Number() {
    size_t value = 0;
    for (int shift = 0;; shift += 7) {
      const uint8_t byte = *next_++;
      value |= static_cast<size_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  absl::string_view Take(size_t size) {
    const absl::string_view taken(reinterpret_cast<const char*>(next_), size);
    next_ += size;
    return taken;
  }

  const uint8_t* next_;
  const size_t ns_size_;
  const absl::string_view full_name_;
  RecentTexts texts_;
  Bytes key_;
  Bytes data_;
};

}  // namespace

PackedFragment::PackedFragment(const NamespacedName& name, const Fragment& fragment) {
  const std::string full_name = absl::StrCat(name.ns, "/", name.name);
  Writer writer(name.ns.size(), full_name, fragment.elements.size() + fragment.shared.size());
  writer.Flag(fragment.shrinkable);
  writer.List(fragment.elements);
  writer.List(fragment.shared);
  block_ = writer.Finish();
}

NamespacedName PackedFragment::Name() const { return {std::string(ns()), std::string(name())}; }
absl::string_view PackedFragment::ns() const { return Reader(block_.get()).ns(); }
absl::string_view PackedFragment::name() const { return Reader(block_.get()).name(); }
bool PackedFragment::shrinkable() const { return Reader(block_.get()).Flag(); }

Fragment PackedFragment::Unpack() const {
  Reader reader(block_.get());
  Fragment fragment;
  fragment.shrinkable = reader.Flag();
  fragment.elements = reader.List();
  fragment.shared = reader.List();
  return fragment;
}

void PackedFragment::Replace(PackedFragment other) const { block_ = std::move(other.block_); }

}  // namespace pointsman::nft
