// SPDX-License-Identifier: Apache-2.0
#include "agent/source/yaml_tree.h"

#include <algorithm>
#include <istream>
#include <memory_resource>
#include <new>
#include <streambuf>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "yaml-cpp/depthguard.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace pointsman {
namespace {

// How often aliases may repeat what is there: a document may grow tenfold, and small ones by this many nodes.
constexpr uint64_t kAliasSlack = 100'000;
constexpr uint64_t kAliasFactor = 10;

constexpr char kNoSeparator[] = "no document separator";

TextPosition PositionOf(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(absl::string_view text) {
    // The get area is never written through; std::streambuf only has no const form.
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

bool IsPlainTag(absl::string_view tag) {
  return tag == "?" || absl::EndsWith(tag, ":int") || absl::EndsWith(tag, ":bool") || absl::EndsWith(tag, ":float") ||
         absl::EndsWith(tag, ":null");
}

bool RepeatsKey(absl::Span<const YamlEntry> entries) {
  absl::flat_hash_set<absl::string_view> seen;
  const bool few = entries.size() <= 16;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].merged || entries[i].key.empty()) continue;
    if (!few) {
      if (!seen.insert(entries[i].key).second) return true;
      continue;
    }
    for (size_t j = 0; j < i; ++j) {
      if (!entries[j].merged && entries[j].key == entries[i].key) return true;
    }
  }
  return false;
}

// Builds one document's tree from the parser's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(absl::string_view text, absl::FunctionRef<void(const YamlNode&)> document)
      : text_(text), document_(document) {}

  const std::optional<YamlError>& error() const { return error_; }
  // Offset and position of the last quoted scalar, if there was one.
  const std::optional<std::pair<size_t, TextPosition>>& last_quoted() const { return last_quoted_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    const auto begin = static_cast<size_t>(mark.pos);
    // A stray comma makes the parser see one empty document after the other where it stands.
    if (begin_ && (begin <= *begin_ || !BeginsDocument(begin))) Fail(PositionOf(mark), kNoSeparator);
    begin_ = begin;
    arena_.release();
    open_.clear();
    anchors_.clear();
    nodes_ = 0;
    largest_ = 0;
    merged_ = 0;
    root_ = nullptr;
  }

  void OnDocumentEnd() override {
    if (!error_ && root_ != nullptr) document_(*root_);
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(NewNode(YamlNode::Type::kNull, mark, anchor), 1);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (error_) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end() || found->second.open) {
      Fail(PositionOf(mark), "an alias refers to the node it is part of");
      return;
    }
    Add(found->second.node, found->second.size);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode* node = NewNode(YamlNode::Type::kScalar, mark, anchor);
    node->plain = IsPlainTag(tag);
    node->text = Copy(value);
    if (tag == "!") last_quoted_.emplace(static_cast<size_t>(mark.pos), node->position);
    Add(node, 1);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(NewNode(YamlNode::Type::kSequence, mark, anchor), anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(NewNode(YamlNode::Type::kMap, mark, anchor), anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Anchor {
    const YamlNode* node = nullptr;
    uint64_t size = 1;  // nodes, aliases counted as often as they occur
    bool open = false;
  };
  struct Level {
    YamlNode* node;
    YAML::anchor_t anchor;
    uint64_t size = 1;
    std::vector<const YamlNode*> children;  // of a map: key, value, key, value
  };

  // The parser begins a new document wherever the last one cannot go on.
  bool BeginsDocument(size_t at) const {
    const absl::string_view rest = text_.substr(std::min(at, text_.size()));
    const absl::string_view before = absl::StripTrailingAsciiWhitespace(text_.substr(0, std::min(at, text_.size())));
    const bool json = absl::StartsWith(rest, "{") && absl::EndsWith(before, "}");
    return rest.empty() || json || absl::StartsWith(rest, "---") || absl::StartsWith(rest, "%") ||
           absl::EndsWith(before, "\n...");
  }

  void Fail(TextPosition position, std::string message) {
    if (!error_) error_ = YamlError{position, std::move(message)};
  }

  YamlNode* NewNode(YamlNode::Type type, const YAML::Mark& mark, YAML::anchor_t anchor) {
    auto* node = new (arena_.allocate(sizeof(YamlNode), alignof(YamlNode))) YamlNode;
    node->type = type;
    node->position = PositionOf(mark);
    ++nodes_;
    if (anchor != 0) anchors_[anchor] = {node, 1, false};
    return node;
  }

  absl::string_view Copy(absl::string_view text) {
    if (text.empty()) return {};
    char* data = static_cast<char*>(arena_.allocate(text.size(), 1));
    std::copy(text.begin(), text.end(), data);
    return {data, text.size()};
  }

  template <typename T>
  absl::Span<const T> CopyAll(const std::vector<T>& values) {
    if (values.empty()) return {};
    constexpr size_t kSize = sizeof(T);  // NOLINT(bugprone-sizeof-expression): of pointers too
    T* data = static_cast<T*>(arena_.allocate(values.size() * kSize, alignof(T)));
    std::uninitialized_copy(values.begin(), values.end(), data);
    return {data, values.size()};
  }

  void Open(YamlNode* node, YAML::anchor_t anchor) {
    if (error_) return;
    if (anchor != 0) anchors_[anchor].open = true;
    open_.push_back({node, anchor, 1, {}});
  }

  void Close() {
    if (error_ || open_.empty()) return;
    Level level = std::move(open_.back());
    open_.pop_back();
    if (level.node->type == YamlNode::Type::kSequence) {
      level.node->items = CopyAll(level.children);
    } else {
      level.node->entries = CopyAll(EntriesOf(level));
      level.node->repeats_key |= RepeatsKey(level.node->entries);
    }
    if (level.anchor != 0) anchors_[level.anchor] = {level.node, level.size, false};
    Add(level.node, level.size);
  }

  // Merge keys go first, so that a key of the map itself counts, being later.
  std::vector<YamlEntry> EntriesOf(const Level& level) {
    std::vector<YamlEntry> entries;
    const auto merge = [&](const YamlNode& from) {
      merged_ += from.entries.size();
      for (YamlEntry entry : from.entries) {
        entry.merged = true;
        entries.push_back(entry);
      }
    };
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t i = 0; i + 1 < level.children.size(); i += 2) {
        const YamlNode& key = *level.children[i];
        const YamlNode& value = *level.children[i + 1];
        const bool is_merge = key.type == YamlNode::Type::kScalar && key.plain && key.text == "<<";
        if (is_merge && pass == 0) {
          // Among several sources the first counts, so it goes last.
          // clang 14 cannot compile the reverse view of libstdc++ 12. NOLINTNEXTLINE(modernize-loop-convert)
          for (auto source = value.items.rbegin(); source != value.items.rend(); ++source) merge(**source);
          merge(value);
        } else if (!is_merge && pass == 1) {
          entries.push_back({key.text, key.position, false, &value});
        }
        if (TooLarge(key.position)) return {};
      }
    }
    return entries;
  }

  bool TooLarge(TextPosition position) {
    if (largest_ + merged_ <= kAliasSlack + kAliasFactor * nodes_) return false;
    Fail(position, "aliases repeat too much of this document");
    return true;
  }

  void Add(const YamlNode* node, uint64_t size) {
    if (error_) return;
    if (open_.empty()) {
      root_ = node;
      return;
    }
    Level& parent = open_.back();
    parent.size += size;
    largest_ = std::max(largest_, parent.size);
    if (TooLarge(node->position)) return;
    parent.node->repeats_key |= node->repeats_key;
    parent.children.push_back(node);
  }

  const absl::string_view text_;
  const absl::FunctionRef<void(const YamlNode&)> document_;
  std::optional<size_t> begin_;  // where the latest document begins
  std::pmr::monotonic_buffer_resource arena_;
  std::vector<Level> open_;
  absl::flat_hash_map<YAML::anchor_t, Anchor> anchors_;
  uint64_t nodes_ = 0;
  uint64_t largest_ = 0;  // node so far, aliases counted as often as they occur
  uint64_t merged_ = 0;   // entries brought by merge keys
  const YamlNode* root_ = nullptr;
  std::optional<std::pair<size_t, TextPosition>> last_quoted_;
  std::optional<YamlError> error_;
};

// The parser takes the end of the text for the end of a quoted scalar.
bool QuoteIsClosed(absl::string_view text, size_t begin) {
  if (begin >= text.size() || (text[begin] != '"' && text[begin] != '\'')) return true;
  const char quote = text[begin];
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 >= text.size() || text[i + 1] != '\'') return true;
      ++i;
    }
  }
  return false;
}

}  // namespace

std::optional<YamlError> ParseYaml(absl::string_view text, absl::FunctionRef<void(const YamlNode&)> document) {
  TreeBuilder builder(text, document);
  ViewBuffer buffer(text);
  std::optional<YamlError> error;
  try {
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (!builder.error() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::DeepRecursion& e) {
    error = YamlError{PositionOf(e.mark), "nested too deeply"};
  } catch (const YAML::Exception& e) {
    error = YamlError{PositionOf(e.mark), e.msg};
  } catch (const std::exception& e) {
    error = YamlError{{}, absl::StrCat("the parser gave up: ", e.what())};
  }
  if (builder.error()) return builder.error();
  // Where a quote is not closed, whatever the parser says of what follows is beside the point.
  if (builder.last_quoted() && !QuoteIsClosed(text, builder.last_quoted()->first)) {
    return YamlError{builder.last_quoted()->second, "illegal EOF in scalar"};
  }
  return error;
}

}  // namespace pointsman
